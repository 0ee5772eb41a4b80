"""The user data of an instance: cloud-init writes the boot files and runs the bootstrap."""

import base64
import gzip
import json
import re
import shlex
from importlib import resources
from math import ceil

from spawn.store.aws.boot import locations
from spawn.store.aws.boot.plan import BootPlan

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
        locations.RUNNER_UNIT: runner_unit(plan),
        locations.FEED_UNIT: feed_unit(plan),
    }
    files = [_file(name, "0700", content=_compressed(_script(name))) for name in _SCRIPTS]
    files += [_file(name, "0600", content=text) for name, text in texts.items()]
    document = {"write_files": files, "runcmd": [["/bin/bash", f"{locations.BOOT}/bootstrap.sh"]]}
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
        "OBJECTS": plan.prefix + locations.launch_prefix(plan.launch_id),
        "BOOT_LOG": f"{plan.prefix}_spawn/boot.log",
        "ENV_PARAMETER": plan.env_parameter or "",
        "POWER_OFF": "" if plan.on_complete == "keep" else "yes",
        "WORK": locations.work_folder(plan.queue_id),
        "EVENTS": locations.log_path(plan.queue_id),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _file(name: str, mode: str, *, content: str | dict[str, str]) -> dict[str, str]:
    fields = {"content": content} if isinstance(content, str) else content
    return {"path": f"{locations.BOOT}/{name}", "permissions": mode, **fields}


def _compressed(data: bytes) -> dict[str, str]:
    zipped = gzip.compress(data, mtime=0)
    return {"encoding": "gz+b64", "content": base64.b64encode(zipped).decode()}


def _script(name: str) -> bytes:
    """Read a boot script, which runs on the instance before spawn is installed."""
    return resources.files(__package__).joinpath("instance", name).read_bytes()


_SPAWN = "/usr/local/bin/spawn"
_DRAIN_SECONDS = 90
"""Time after the kill grace for uploading the rest of the log and output."""
_MIN_STOP_SECONDS = 120
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+=,-]+")
_UNEXPECTED = 70
"""Exit code of a runner with an internal error; see `runner.bootstrap`."""
_UNREACHABLE = 75
"""Exit code of a takeover that could not reach S3, if `locations.SERVICE` is set."""


def runner_unit(plan: BootPlan) -> str:
    """Return the runner's unit.

    If the queue has ended, the service exits at once with the queue's exit code. systemd restarts
    it only after an abnormal exit.
    """
    stop = max(_MIN_STOP_SECONDS, ceil(plan.kill_grace) + _DRAIN_SECONDS)
    environment = [f"PATH={job_path(plan.user)}", "LANG=C.UTF-8", f"{locations.SERVICE_VARIABLE}=1"]
    store = {
        "SPAWN_BUCKET_OWNER": plan.bucket_owner,
        "SPAWN_SSE": plan.sse,
        "SPAWN_SSE_KMS_KEY_ID": plan.sse_key,
    }
    environment += [quote_word(f"{name}={value}") for name, value in store.items() if value]
    lines = [
        "[Unit]",
        f"Description=spawn: queue {plan.queue_id}",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"User={plan.user}",
        f"WorkingDirectory={locations.work_folder(plan.queue_id)}",
        *(f"Environment={each}" for each in environment),
        *([f"EnvironmentFile={locations.ENVIRONMENT}"] if plan.env_parameter else []),
        f"ExecStart={' '.join(map(quote_word, runner_command(plan)))}",
        f"ExecStopPost=+/bin/bash {locations.BOOT}/bootstrap.sh refused",
        "KillMode=process",
        "Delegate=yes",
        "OOMPolicy=continue",
        "Restart=on-abnormal",
        "RestartSec=10",
        f"RestartForceExitStatus={_UNEXPECTED} {_UNREACHABLE}",
        "SuccessExitStatus=130 143",
        f"TimeoutStopSec={stop}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def feed_unit(plan: BootPlan) -> str:
    """Return the feed's unit; the feed keeps running after the queue has ended."""
    lines = [
        "[Unit]",
        "Description=spawn: read-only status of this machine's queues on loopback",
        "After=network.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"User={plan.user}",
        f"ExecStart={_SPAWN} queue feed",
        "Restart=always",
        "RestartSec=5",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def runner_command(plan: BootPlan) -> list[str]:
    """Return the command of the runner's unit.

    A takeover happens once: when the log is on this machine, a restart resumes from it.
    """
    where = ["--bucket", plan.bucket, "--prefix", plan.prefix.strip("/"), "--region", plan.region]
    end = ["--ttl", plan.ttl_at] if plan.ttl_at is not None else []
    end += ["--on-complete", plan.on_complete] if plan.on_complete != "keep" else []
    config = f"{locations.work_folder(plan.queue_id)}/{locations.CONFIG}"
    run = [_SPAWN, "queue", "run", "--or-resume", config, "--queue-id", plan.queue_id]
    run += [*where, *end]
    if not plan.resume:
        return run
    take = [_SPAWN, "queue", "resume", plan.queue_id, "--from-s3"]
    take += [*(["--force"] if plan.force else []), *where, *end]
    take += ["--retry-failed"] if plan.retry_failed else []
    log = locations.log_path(plan.queue_id)
    script = f"if [ -e {log} ]; then exec {shlex.join(run)}; fi; exec {shlex.join(take)}"
    return ["/bin/sh", "-c", script]


def job_path(user: str) -> str:
    """Return the `PATH` of the jobs.

    spawn's `python` and `pip` come first. They exist only if neither the image nor the launch's
    setup has a `python`.
    """
    home = "/root" if user == "root" else f"/home/{user}"
    system = ("local/sbin", "local/bin", "sbin", "bin")
    usual = [f"/usr/{each}" for each in system]
    return ":".join([f"{home}/.local/bin", f"{locations.HOME}/bin", *usual, "/sbin", "/bin"])


def quote_word(word: str) -> str:
    """Quote a word of a command for systemd, so that nothing in it is expanded."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + escaped.replace("\n", "\\n") + '"'
