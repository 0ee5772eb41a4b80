"""The systemd units of an instance: the runner of its queue, and the feed.

Source: systemd.service(5), systemd.exec(5), systemd.kill(5).
"""

import re
import shlex
from math import ceil

from spawn.core.boot import names
from spawn.core.boot.plan import BootPlan

_SPAWN = "/usr/local/bin/spawn"
_DRAIN_SECONDS = 90
"""Time after the kill grace for uploading the rest of the log and output."""
_MIN_STOP_SECONDS = 120
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+=,-]+")
_UNEXPECTED = 70
"""Exit code of a runner with an internal error; see `runner.bootstrap`."""
_UNREACHABLE = 75
"""Exit code of a takeover that could not reach S3, if `names.SERVICE` is set."""


def runner_unit(plan: BootPlan) -> str:
    """Return the runner's unit.

    If the queue has ended, the service exits at once with the queue's exit code. systemd restarts
    it only after an abnormal exit.
    """
    stop = max(_MIN_STOP_SECONDS, ceil(plan.kill_grace) + _DRAIN_SECONDS)
    environment = [f"PATH={job_path(plan.user)}", "LANG=C.UTF-8", f"{names.SERVICE}=1"]
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
        f"WorkingDirectory={names.folder(plan.queue_id)}",
        *(f"Environment={each}" for each in environment),
        *([f"EnvironmentFile={names.ENVIRONMENT}"] if plan.env_parameter else []),
        f"ExecStart={' '.join(map(quote_word, runner_command(plan)))}",
        f"ExecStopPost=+/bin/bash {names.BOOT}/bootstrap.sh refused",
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


def job_path(user: str) -> str:
    """Return the `PATH` of the jobs.

    spawn's `python` and `pip` come first. They exist only if neither the image nor the launch's
    setup has a `python`.
    """
    home = "/root" if user == "root" else f"/home/{user}"
    system = ("local/sbin", "local/bin", "sbin", "bin")
    usual = [f"/usr/{each}" for each in system]
    return ":".join([f"{home}/.local/bin", f"{names.HOME}/bin", *usual, "/sbin", "/bin"])


def quote_word(word: str) -> str:
    """Quote a word of a command for systemd, so that nothing in it is expanded."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + escaped.replace("\n", "\\n") + '"'
