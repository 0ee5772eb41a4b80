"""The user data of an instance: cloud-init writes the boot files and runs the bootstrap."""

import base64
import gzip
import json
import shlex
from importlib import resources

from spawn.core.boot import names, units
from spawn.core.boot.plan import BootPlan

LIMIT = 16 * 1024
"""Maximum bytes of user data. Source: "User data" of the EC2 user guide."""
_SCRIPTS = ("bootstrap.sh", "courier.py")


def user_data(plan: BootPlan) -> bytes:
    """Make a launch's user data: a `#cloud-config` document, as JSON, which is valid YAML.

    cloud-init applies it at the first boot. The bootstrap downloads everything else.

    Raises:
        ValueError: The user data exceeds `LIMIT`.
    """
    texts = {
        "plan": _plan(plan),
        "files": "".join(f"{digest}  {name}\n" for name, digest in sorted(plan.files.items())),
        names.RUNNER_UNIT: units.runner_unit(plan),
        names.FEED_UNIT: units.feed_unit(plan),
    }
    files = [_file(name, "0700", content=_compressed(_script(name))) for name in _SCRIPTS]
    files += [_file(name, "0600", content=text) for name, text in texts.items()]
    document = {"write_files": files, "runcmd": [["/bin/bash", f"{names.BOOT}/bootstrap.sh"]]}
    data = b"#cloud-config\n" + json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    if len(data) > LIMIT:
        raise ValueError(f"user data has {len(data)} bytes; the limit of EC2 is {LIMIT}")
    return data


def _plan(plan: BootPlan) -> str:
    """Return the bootstrap's part of the plan as shell assignments."""
    values = {
        "QUEUE_ID": plan.queue_id,
        "LAUNCH_ID": plan.launch_id,
        "RUN_AS": plan.user,
        "REGION": plan.region,
        "BUCKET": plan.bucket,
        "BUCKET_OWNER": plan.bucket_owner or "",
        "SPAWN_SSE": plan.sse or "",
        "SPAWN_SSE_KMS_KEY_ID": plan.sse_key or "",
        "OBJECTS": plan.prefix + names.objects(plan.launch_id),
        "BOOT_LOG": f"{plan.prefix}_spawn/boot.log",
        "ENV_PARAMETER": plan.env_parameter or "",
        "POWER_OFF": "" if plan.on_complete == "keep" else "yes",
        "WORK": names.folder(plan.queue_id),
        "EVENTS": names.events(plan.queue_id),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _file(name: str, mode: str, *, content: str | dict[str, str]) -> dict[str, str]:
    fields = {"content": content} if isinstance(content, str) else content
    return {"path": f"{names.BOOT}/{name}", "permissions": mode, **fields}


def _compressed(data: bytes) -> dict[str, str]:
    zipped = gzip.compress(data, mtime=0)
    return {"encoding": "gz+b64", "content": base64.b64encode(zipped).decode()}


def _script(name: str) -> bytes:
    """Read a boot script, which runs on the instance before spawn is installed."""
    return resources.files(__package__).joinpath("instance", name).read_bytes()
