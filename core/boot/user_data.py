"""What cloud-init is told: to write down how the instance boots, and to do it."""

import base64
import gzip
import json
import shlex
from importlib import resources

from spawn.core.boot import names, units
from spawn.core.boot.plan import BootPlan

LIMIT = 16 * 1024
"""Bytes that EC2 takes. Source: "User data" of the EC2 user guide."""
_SCRIPTS = ("bootstrap.sh", "courier.py")


def user_data(plan: BootPlan) -> bytes:
    """Make a launch's user data, `#cloud-config`: JSON, which is YAML.

    It is what cloud-init does on an instance's first boot. The bootstrap fetches all else.

    Raises:
        ValueError: It is larger than EC2 takes.
    """
    texts = {
        "plan": _plan(plan),
        "files": "".join(f"{digest}  {name}\n" for name, digest in sorted(plan.files.items())),
        names.RUNNER_UNIT: units.runner(plan),
        names.FEED_UNIT: units.feed(plan),
    }
    files = [_file(name, "0700", content=_packed(_script(name))) for name in _SCRIPTS]
    files += [_file(name, "0600", content=text) for name, text in texts.items()]
    document = {"write_files": files, "runcmd": [["/bin/bash", f"{names.BOOT}/bootstrap.sh"]]}
    data = b"#cloud-config\n" + json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    if len(data) > LIMIT:
        raise ValueError(f"user data of {len(data)} bytes, of which EC2 takes {LIMIT}")
    return data


def _plan(plan: BootPlan) -> str:
    """What the bootstrap needs of the plan, as a shell reads it."""
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
    told = {"content": content} if isinstance(content, str) else content
    return {"path": f"{names.BOOT}/{name}", "permissions": mode, **told}


def _packed(data: bytes) -> dict[str, str]:
    zipped = gzip.compress(data, mtime=0)
    return {"encoding": "gz+b64", "content": base64.b64encode(zipped).decode()}


def _script(name: str) -> bytes:
    """A program of this package that runs on the instance before anything of ours is installed."""
    return resources.files(__package__).joinpath("instance", name).read_bytes()
