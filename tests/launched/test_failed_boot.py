"""An instance with a failed boot ends as after its queue's end, and writes the cause to S3."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.launched.test_spot import BUCKET, QUEUE, Owner
from tests.support.instances import REGION, Person
from tests.support.machine import machine
from tests.support.queues import job
from tests.support.s3 import Server, free_port
from tests.support.wait import wait_until

from spawn.store.aws.boot import locations

pytestmark = [pytest.mark.gate, pytest.mark.long, pytest.mark.tool("debootstrap")]

END = "spawn-end-of-instance"
SCRIPT = "/opt/spawn-queue/boot/bootstrap.sh"


@pytest.fixture
def owner(tmp_path: Path, aws: Server) -> Iterator[Owner]:
    """A user whose setup fails."""
    person = Person(tmp_path / "laptop", aws)
    made = Owner(person, aws)
    config = {"queue_id": QUEUE, "jobs": [job("one", "true")]}
    (made.folder / "q.json").write_text(json.dumps(config))
    (made.folder / "setup.sh").write_text("#!/bin/sh\necho no such driver\nexit 3\n")
    try:
        yield made
    finally:
        person.close()


def test_an_instance_with_a_failed_boot_ends_as_on_complete_says(
    tmp_path: Path, owner: Owner
) -> None:
    flags = ("--batch-queue", "q.json", "--setup", "setup.sh", "--on-complete", "terminate")
    instance = owner.launch(*flags)
    port, feed = free_port(), owner.person.port
    with machine(tmp_path, owner.aws, instance, region=REGION, port=port, feed_port=feed) as made:
        wait_until(
            lambda: made.inside("systemctl", "is-active", f"{END}.timer").stdout == "active\n",
            seconds=300,
            what="its end is planned",
        )
        key = f"{QUEUE}/_spawn/boot.log"
        told = owner.aws.client().get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        assert "no such driver" in told
        assert f"to keep it: sudo systemctl stop {END}.timer" in told
        shown = owner.person.spawn("status", QUEUE)
        assert "powers this instance off in 15 minutes" in shown.out
        again = made.inside("systemd-run", "--wait", "--quiet", "/bin/bash", SCRIPT)
        assert again.returncode == 1
        assert made.inside("systemctl", "is-active", f"{END}.timer").stdout == "active\n"
        events = Path(locations.log_path(QUEUE))
        made.inside("install", "-d", str(events.parent))
        made.inside("touch", str(events))
        assert made.inside("systemctl", "start", f"{END}.service").returncode == 0
        assert "poweroff" not in made.inside("systemctl", "list-jobs").stdout, (
            "its runner has started"
        )
        made.inside("rm", str(events))
        made.inside("systemctl", "start", "--no-block", f"{END}.service")
        wait_until(lambda: not made.runs, seconds=60, what="it ends")
