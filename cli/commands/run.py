"""`spawn queue run`."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import (
    Bucket,
    Detach,
    LeaveJobs,
    Offline,
    OnComplete,
    Prefix,
    Profile,
    Region,
    Ttl,
    ttl_of,
    typed,
)

if TYPE_CHECKING:
    from spawn.store.paths import Roots


def run(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The queue's configuration, or `-` for stdin.")
    ],
    detach: Detach = False,
    no_s3: Annotated[
        bool,
        typer.Option("--no-s3", help="Keep everything on this machine.", envvar="SPAWN_NO_S3"),
    ] = False,
    bucket: Bucket = None,
    prefix: Prefix = None,
    region: Region = None,
    profile: Profile = None,
    offline: Offline = False,
    queue_id: Annotated[
        str | None,
        typer.Option(
            "--queue-id", metavar="ID", help="Instead of the file's, or of a generated one."
        ),
    ] = None,
    or_resume: Annotated[
        bool,
        typer.Option(
            "--or-resume", help="Go on with the queue if it was run before; follow it if it runs."
        ),
    ] = False,
    leave_jobs: LeaveJobs = False,
    ttl: Ttl = None,
    on_complete: OnComplete = "keep",
) -> None:
    """Run a queue here and show it until it ends.

    It goes on without this terminal. Ctrl-C stops it in good order, a second Ctrl-C at once. Exit
    code 0: completed; 1: failed; 130 or 143: interrupted.
    """
    from spawn.cli import bootstrap
    from spawn.cli.configuration import load
    from spawn.cli.follow import DIED, RunnerDied, detached, follow
    from spawn.cli.join import join
    from spawn.core.errors import InvalidArgument, RunnerAlive
    from spawn.core.ids import why_not_queue_id
    from spawn.runner.start import RunnerProcess, RunOrder

    loaded = load(file)
    config = loaded.config
    if no_s3 and typed(context, "bucket", "prefix"):
        raise InvalidArgument("--no-s3 excludes --bucket and --prefix")
    limit = ttl_of(ttl)
    roots = bootstrap.machine()
    chosen = config.queue_id if queue_id is None else queue_id
    if chosen is None and or_resume:
        raise InvalidArgument("--or-resume needs the queue's id", hint="--queue-id ID names it")
    if chosen is None:
        chosen = _fresh_id(roots)
    why = why_not_queue_id(chosen)
    if why is not None:
        raise InvalidArgument(f"'{chosen}' cannot be a queue id", why=why)
    order = RunOrder(
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
        ttl=limit,
        on_complete=on_complete,
    )
    if detach:
        raise typer.Exit(detached(RunnerProcess(order), chosen))
    code = None
    while code is None:
        try:
            code = follow(RunnerProcess(order), roots, chosen)
        except RunnerAlive:
            if not or_resume:
                raise
            code = join(roots, chosen)
        except RunnerDied as died:
            died.exit_code = DIED if or_resume else died.exit_code
            raise
    raise typer.Exit(code)


def _fresh_id(roots: "Roots") -> str:
    """Reserve an id of this second, or of the first one after it that is free."""
    from spawn.cli import bootstrap
    from spawn.core.ids import new_queue_id

    at = bootstrap.now().astimezone()
    while True:
        chosen = new_queue_id(at)
        try:
            roots.queue(chosen).folder.mkdir(parents=True)
        except FileExistsError:
            at += timedelta(seconds=1)
        else:
            return chosen
