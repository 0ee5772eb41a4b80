"""The services of an instance: the runner of its queue, and the feed that tells about it.

Source: systemd.service(5), systemd.exec(5), systemd.kill(5).
"""

import re
import shlex
from math import ceil

from spawn.core.boot import names
from spawn.core.boot.plan import BootPlan

_SPAWN = "/usr/local/bin/spawn"
_DRAIN_SECONDS = 90
"""What follows a stop's grace: the rest of log and output goes to S3."""
_LEAST_STOP_SECONDS = 120
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+=,-]+")
_UNEXPECTED = 70
"""Exit code of a runner that met an error of its own; see `runner.bootstrap`."""
_OUT_OF_REACH = 75
"""Of one that was to take a queue over, while S3 could not be reached, as `names.SERVICE` asks."""


def runner(plan: BootPlan) -> str:
    """The unit of the runner. A queue that has ended ends it at once, with the queue's exit code,
    and nothing but an abnormal end starts it again."""
    stop = max(_LEAST_STOP_SECONDS, ceil(plan.kill_grace) + _DRAIN_SECONDS)
    environment = [f"PATH={path(plan.user)}", "LANG=C.UTF-8", f"{names.SERVICE}=1"]
    store = {
        "SPAWN_BUCKET_OWNER": plan.bucket_owner,
        "SPAWN_SSE": plan.sse,
        "SPAWN_SSE_KMS_KEY_ID": plan.sse_key,
    }
    environment += [quote(f"{name}={value}") for name, value in store.items() if value]
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
        f"WorkingDirectory={names.folder(plan.queue_id)}",
        *(f"Environment={each}" for each in environment),
        *([f"EnvironmentFile={names.ENVIRONMENT}"] if plan.env_parameter else []),
        f"ExecStart={' '.join(map(quote, command(plan)))}",
        f"ExecStopPost=+/bin/bash {names.BOOT}/bootstrap.sh refused",
        "KillMode=process",
        "Delegate=yes",
        "OOMPolicy=continue",
        "Restart=on-abnormal",
        "RestartSec=10",
        f"RestartForceExitStatus={_UNEXPECTED} {_OUT_OF_REACH}",
        "SuccessExitStatus=130 143",
        f"TimeoutStopSec={stop}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def feed(plan: BootPlan) -> str:
    """The unit of the feed. It stays when the queue has ended."""
    lines = [
        "[Unit]",
        "Description=spawn: tells of this machine's queues on its loopback",
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


def command(plan: BootPlan) -> list[str]:
    """What the runner's unit executes. A queue that is taken over is so once: afterwards its log is
    here, and a restart goes on with that."""
    where = ["--bucket", plan.bucket, "--prefix", plan.prefix.strip("/"), "--region", plan.region]
    end = ["--ttl", plan.ttl_at] if plan.ttl_at is not None else []
    end += ["--on-complete", plan.on_complete] if plan.on_complete != "keep" else []
    config = f"{names.folder(plan.queue_id)}/{names.CONFIG}"
    run = [_SPAWN, "queue", "run", "--or-resume", config, "--queue-id", plan.queue_id]
    run += [*where, *end]
    if not plan.resume:
        return run
    take = [_SPAWN, "queue", "resume", plan.queue_id, "--from-s3"]
    take += [*(["--force"] if plan.force else []), *where, *end]
    take += ["--retry-failed"] if plan.retry_failed else []
    log = names.events(plan.queue_id)
    script = f"if [ -e {log} ]; then exec {shlex.join(run)}; fi; exec {shlex.join(take)}"
    return ["/bin/sh", "-c", script]


def path(user: str) -> str:
    """Where the jobs' programs are looked for. Our `python` and `pip` come before the image's, and
    are there only where the image, or the launch's setup, has no `python`."""
    home = "/root" if user == "root" else f"/home/{user}"
    system = ("local/sbin", "local/bin", "sbin", "bin")
    usual = [f"/usr/{each}" for each in system]
    return ":".join([f"{home}/.local/bin", f"{names.HOME}/bin", *usual, "/sbin", "/bin"])


def quote(word: str) -> str:
    """A word of a command as systemd reads it, nothing in it expanded."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + escaped.replace("\n", "\\n") + '"'
