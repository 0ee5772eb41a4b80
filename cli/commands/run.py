"""`spawn queue run`."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import (
    S3,
    Bucket,
    Detach,
    LeaveJobs,
    Offline,
    OnComplete,
    Prefix,
    Profile,
    Region,
    Ttl,
    parse_ttl,
    typed_on_command_line,
)

if TYPE_CHECKING:
    from spawn.store.queue_dir.paths import Roots


def run(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Queue configuration file, or `-` for stdin.")
    ],
    detach: Detach = False,
    queue_id: Annotated[
        str | None,
        typer.Option(
            "--queue-id",
            metavar="ID",
            help="Queue ID (default: the configuration's, else a generated one).",
        ),
    ] = None,
    or_resume: Annotated[
        bool,
        typer.Option(
            "--or-resume",
            help="Resume the queue if it has run before, or follow it if it is running.",
        ),
    ] = False,
    leave_jobs: LeaveJobs = False,
    ttl: Ttl = None,
    on_complete: OnComplete = "keep",
    no_s3: Annotated[
        bool,
        typer.Option(
            "--no-s3",
            help="Keep the log and results on this machine only.",
            envvar="SPAWN_NO_S3",
            rich_help_panel=S3,
        ),
    ] = False,
    bucket: Bucket = None,
    prefix: Prefix = None,
    offline: Offline = False,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Run a queue on this machine and show it until it ends.

    The queue keeps running if you close this terminal. Ctrl-C stops it gracefully, a second Ctrl-C
    at once. Exit code 0: completed; 1: failed; 130 or 143: interrupted.

    Examples:
        spawn queue run pipeline.json
        spawn queue run pipeline.json --detach --queue-id nightly
        spawn queue run pipeline.json --bucket my-results --ttl 8h
    """
    from spawn.cli import host
    from spawn.cli.support.configuration import load_configuration
    from spawn.cli.support.follow import (
        EXIT_RUNNER_DIED,
        RunnerDied,
        follow_runner,
        wait_for_ownership,
    )
    from spawn.cli.support.follow_running import follow_running
    from spawn.core.errors import InvalidArgument, RunnerAlive
    from spawn.core.values.ids import why_not_queue_id
    from spawn.runner.runner_process import RunnerProcess, RunRequest

    loaded = load_configuration(file)
    config = loaded.config
    if no_s3 and typed_on_command_line(context, "bucket", "prefix"):
        raise InvalidArgument("--no-s3 excludes --bucket and --prefix")
    parsed_ttl = parse_ttl(ttl)
    roots = host.local_roots()
    chosen = config.queue_id if queue_id is None else queue_id
    if chosen is None and or_resume:
        raise InvalidArgument("--or-resume needs a queue id", hint="--queue-id ID sets it")
    if chosen is None:
        chosen = _reserve_id(roots)
    why = why_not_queue_id(chosen)
    if why is not None:
        raise InvalidArgument(f"'{chosen}' cannot be a queue id", why=why)
    order = RunRequest(
        task="or_resume" if or_resume else "run",
        queue_id=chosen,
        state=str(roots.state),
        log=str(roots.log),
        cache=str(roots.cache),
        config=config,
        file=loaded.name,
        file_sha256=loaded.sha256,
        leave_jobs=leave_jobs,
        no_s3=no_s3,
        bucket=bucket,
        prefix=prefix,
        region=region,
        profile=profile,
        offline=offline,
        ttl=parsed_ttl,
        on_complete=on_complete,
    )
    if detach:
        raise typer.Exit(wait_for_ownership(RunnerProcess(order), chosen))
    code = None
    while code is None:
        try:
            code = follow_runner(RunnerProcess(order), roots, chosen)
        except RunnerAlive:
            if not or_resume:
                raise
            code = follow_running(roots, chosen)
        except RunnerDied as died:
            died.exit_code = EXIT_RUNNER_DIED if or_resume else died.exit_code
            raise
    raise typer.Exit(code)


def _reserve_id(roots: "Roots") -> str:
    """Reserve an id made of the current time, or of the next free second."""
    from spawn.cli import host
    from spawn.core.values.ids import new_queue_id

    at = host.now().astimezone()
    while True:
        chosen = new_queue_id(at)
        try:
            roots.queue(chosen).folder.mkdir(parents=True)
        except FileExistsError:
            at += timedelta(seconds=1)
        else:
            return chosen
