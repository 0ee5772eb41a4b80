"""A plan that uses every launch option, with names that need quoting."""

from spawn.store.aws.boot.plan import BootPlan

PLAN = BootPlan(
    launch_id="l-1",
    queue_id="nightly",
    region="us-east-1",
    bucket="b",
    prefix="a 'b' %h $x \"é\"/nightly/",
    files={"queue-config.json": "0" * 64, "requirements.txt": "1" * 64},
    env_parameter="/spawn-queue/nightly/l-1/env",
    ttl_at="2026-11-28T12:00:00Z",
    on_complete="terminate",
    bucket_owner="123456789012",
)
