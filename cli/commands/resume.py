"""`spawn queue resume`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import (
    Bucket,
    Detach,
    Identity,
    LeaveJobs,
    Offline,
    OnComplete,
    Prefix,
    Profile,
    Queue,
    QueueId,
    Region,
    SshUser,
    Ttl,
    Where,
    option,
    ttl_of,
    typed,
)

if TYPE_CHECKING:
    from spawn.cli.sources.local import LocalQueue


def resume(
    context: typer.Context,
    queue_id: QueueId,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed jobs again, with a fresh budget.")
    ] = False,
    config: Annotated[
        Path | None,
        option("--config", "FILE", "Go on with this configuration; completed jobs keep."),
    ] = None,
    global_timeout: Annotated[
        str | None,
        option(
            "--global-timeout",
            "DURATION",
            "The queue's whole time from now on, what has passed included.",
        ),
    ] = None,
    detach: Detach = False,
    leave_jobs: LeaveJobs = False,
    from_s3: Annotated[
        bool,
        typer.Option("--from-s3", help="Take the queue over from its log in S3, on this machine."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --from-s3: though its owner may be alive. A job may run twice."
        ),
    ] = False,
    bucket: Bucket = None,
    prefix: Prefix = None,
    region: Region = None,
    profile: Profile = None,
    offline: Offline = False,
    queue: Queue = None,
    ssh_user: SshUser = None,
    identity: Identity = None,
    ttl: Ttl = None,
    on_complete: OnComplete = "keep",
) -> None:
    """Go on with a queue that was interrupted or has failed.

    Jobs that still run are taken up, completed ones keep. A queue that runs now can be told
    `--retry-failed`. `--from-s3` goes on with one whose machine is gone. On an instance the `spawn`
    there goes on with it, and leaves it running. Exit codes are those of `run`; 1 also when there
    is nothing to do.
    """
    from spawn.cli import bootstrap
    from spawn.cli.ask import outlasted
    from spawn.cli.configuration import load
    from spawn.cli.follow import DIED, RunnerDied, detached, follow
    from spawn.cli.sources.place import place_of
    from spawn.core.durations import parse
    from spawn.core.errors import InvalidArgument, RunnerAlive
    from spawn.core.ids import is_instance_id, why_not_queue_id
    from spawn.runner.start import RunnerProcess, RunOrder

    where = Where(
        queue=queue,
        from_s3=from_s3,
        bucket=bucket,
        prefix=prefix,
        region=region,
        profile=profile,
        ssh_user=ssh_user,
        identity=identity,
        typed=typed(context, "bucket", "prefix"),
    )
    lasts = ttl_of(ttl)
    if is_instance_id(queue_id):
        from spawn.cli.remote.command import on_instance

        if config is not None or from_s3 or offline or leave_jobs:
            raise InvalidArgument(
                "only these go with an instance: --retry-failed, --global-timeout, --ttl, "
                "--on-complete",
                hint=f"`ssh {queue_id}`, then the same with `local`",
            )
        flags = ["--retry-failed"] * retry_failed
        flags += ["--global-timeout", global_timeout] if global_timeout is not None else []
        flags += ["--ttl", ttl] if ttl is not None else []
        flags += ["--on-complete", on_complete] if on_complete != "keep" else []
        raise typer.Exit(
            on_instance(queue_id, bootstrap.machine(), where, ["resume", "--detach", *flags])
        )
    if not from_s3 and typed(context, "bucket", "prefix"):
        raise InvalidArgument("--bucket and --prefix go with --from-s3")
    loaded = None if config is None else load(config)
    try:
        limit = None if global_timeout is None else parse(global_timeout)
    except ValueError as error:
        raise InvalidArgument(f"--global-timeout {global_timeout}: {error}") from None
    if from_s3:
        why = why_not_queue_id(queue_id)
        if why is not None:
            raise InvalidArgument(f"'{queue_id}' is not a queue id", why=why)
    else:
        source = bootstrap.find_local(queue_id, queue=queue)
        queue_id = source.queue_id
        if source.runner_alive() and not outlasted(source):
            told = config is not None or global_timeout is not None or ttl is not None
            if told or on_complete != "keep" or not retry_failed:
                raise RunnerAlive(
                    f"queue {queue_id} is running",
                    hint=f"`spawn queue status {queue_id}` shows it; a new configuration needs "
                    "it stopped, and `--retry-failed` alone does not",
                )
            raise typer.Exit(_ask(source))
    roots = bootstrap.machine()
    if from_s3 and not (loaded and loaded.config.result_s3_bucket):  # as the commands that read
        place = place_of(roots, queue_id, where).place
        if place.bucket is not None:
            bucket, prefix, region = place.bucket, place.prefix, place.region
            profile = place.profile
    order = RunOrder(
        task="resume",
        queue_id=queue_id,
        state=str(roots.state),
        log=str(roots.log),
        cache=str(roots.cache),
        config=None if loaded is None else loaded.config,
        file="" if loaded is None else loaded.name,
        file_sha256="" if loaded is None else loaded.sha256,
        retry_failed=retry_failed,
        global_timeout=limit,
        leave_jobs=leave_jobs,
        from_s3=from_s3,
        force=force,
        offline=offline,
        bucket=bucket if from_s3 else None,
        prefix=prefix if from_s3 else None,
        region=region,
        profile=profile,
        ttl=lasts,
        on_complete=on_complete,
    )
    runner = RunnerProcess(order)
    if detach:
        raise typer.Exit(detached(runner, queue_id))
    try:
        code = follow(runner, roots, queue_id)
    except RunnerDied as died:
        died.exit_code = DIED if from_s3 else died.exit_code  # an instance takes a queue over so
        raise
    raise typer.Exit(code)


def _ask(source: "LocalQueue") -> int:
    """Have the live runner try failed jobs again."""
    from spawn.cli.ask import ask
    from spawn.core.errors import SpawnError
    from spawn.core.events import JobReset, RequestRefused

    with source:
        answers = ask(source, "reset")
    reset = [event.job_id for event in answers if isinstance(event.data, JobReset)]
    if reset:
        print(f"Trying again: {', '.join(map(str, reset))}")
        return 0
    why = next((e.data.why for e in answers if isinstance(e.data, RequestRefused)), "it has ended")
    raise SpawnError(f"queue {source.queue_id} tries nothing again", why=why)
