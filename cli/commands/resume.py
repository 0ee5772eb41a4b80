"""`spawn queue resume`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spawn.cli.flags import (
    S3,
    Bucket,
    Detach,
    Identity,
    LeaveJobs,
    LocationFlags,
    Offline,
    OnComplete,
    Prefix,
    Profile,
    Queue,
    QueueId,
    Region,
    SshUser,
    Ttl,
    option,
    parse_ttl,
    typed_on_command_line,
)

if TYPE_CHECKING:
    from spawn.cli.sources.local import LocalQueue


def resume(
    context: typer.Context,
    queue_id: QueueId,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Retry failed jobs, with a fresh number of attempts."),
    ] = False,
    config: Annotated[
        Path | None,
        option("--config", "FILE", "Resume with a new configuration; completed jobs are kept."),
    ] = None,
    global_timeout: Annotated[
        str | None,
        option(
            "--global-timeout",
            "DURATION",
            "Set a new global timeout of the queue; the time used so far counts.",
        ),
    ] = None,
    queue: Queue = None,
    detach: Detach = False,
    leave_jobs: LeaveJobs = False,
    ttl: Ttl = None,
    on_complete: OnComplete = "keep",
    from_s3: Annotated[
        bool,
        typer.Option(
            "--from-s3",
            help="Take over the queue from its log in S3, on this machine.",
            rich_help_panel=S3,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With --from-s3: take over even if the owner may be alive; a job may run twice.",
            rich_help_panel=S3,
        ),
    ] = False,
    bucket: Bucket = None,
    prefix: Prefix = None,
    offline: Offline = False,
    region: Region = None,
    profile: Profile = None,
    ssh_user: SshUser = None,
    identity: Identity = None,
) -> None:
    """Resume a queue that was interrupted or has failed.

    Completed jobs are kept, and jobs that are still running are taken over. `--retry-failed` also
    works while the queue runs. `--from-s3` resumes a queue whose machine is gone. For an instance,
    the command runs there over SSH and leaves the queue running. Exit codes are those of `run`; 1
    also if there is nothing to do.

    Examples:
        spawn queue resume pipeline-20260127
        spawn queue resume i-0123456789abcdef0 --retry-failed
        spawn queue resume local --config pipeline.json --detach
        spawn queue resume pipeline-20260127 --from-s3
    """
    from spawn.cli import bootstrap, host
    from spawn.cli.sources.queue_location import find_place
    from spawn.cli.support.configuration import load_configuration
    from spawn.cli.support.follow import (
        EXIT_RUNNER_DIED,
        RunnerDied,
        follow_runner,
        wait_for_ownership,
    )
    from spawn.cli.support.runner_requests import wait_for_runner_exit
    from spawn.core.errors import InvalidArgument, RunnerAlive
    from spawn.core.values.durations import parse_duration
    from spawn.core.values.ids import is_instance_id, why_not_queue_id
    from spawn.runner.runner_process import RunnerProcess, RunRequest

    where = LocationFlags(
        queue=queue,
        from_s3=from_s3,
        bucket=bucket,
        prefix=prefix,
        region=region,
        profile=profile,
        ssh_user=ssh_user,
        identity=identity,
        place_typed=typed_on_command_line(context, "bucket", "prefix"),
    )
    parsed_ttl = parse_ttl(ttl)
    if is_instance_id(queue_id):
        from spawn.cli.support.run_on_instance import run_on_instance

        if config is not None or from_s3 or offline or leave_jobs:
            raise InvalidArgument(
                "only these options work with an instance: --retry-failed, --global-timeout, "
                "--ttl, --on-complete",
                hint=f"`ssh {queue_id}`, then the same command with `local`",
            )
        flags = ["--retry-failed"] * retry_failed
        flags += ["--global-timeout", global_timeout] if global_timeout is not None else []
        flags += ["--ttl", ttl] if ttl is not None else []
        flags += ["--on-complete", on_complete] if on_complete != "keep" else []
        raise typer.Exit(
            run_on_instance(queue_id, host.local_roots(), where, ["resume", "--detach", *flags])
        )
    if not from_s3 and typed_on_command_line(context, "bucket", "prefix"):
        raise InvalidArgument("--bucket and --prefix require --from-s3")
    loaded = None if config is None else load_configuration(config)
    try:
        limit = None if global_timeout is None else parse_duration(global_timeout)
    except ValueError as error:
        raise InvalidArgument(f"--global-timeout {global_timeout}: {error}") from None
    if from_s3:
        why = why_not_queue_id(queue_id)
        if why is not None:
            raise InvalidArgument(f"'{queue_id}' is not a queue id", why=why)
    else:
        source = bootstrap.find_local_queue(queue_id, queue=queue)
        queue_id = source.queue_id
        if source.runner_alive() and not wait_for_runner_exit(source):
            restarts = config is not None or global_timeout is not None or ttl is not None
            if restarts or on_complete != "keep" or not retry_failed:
                raise RunnerAlive(
                    f"queue {queue_id} is running",
                    hint=f"`spawn queue status {queue_id}` shows it; only `--retry-failed` works "
                    "while it runs",
                )
            raise typer.Exit(_retry_failed(source))
    roots = host.local_roots()
    if from_s3 and not (loaded and loaded.config.result_s3_bucket):  # as for commands that read
        place = find_place(roots, queue_id, where).place
        if place.bucket is not None:
            bucket, prefix, region = place.bucket, place.prefix, place.region
            profile = place.profile
    order = RunRequest(
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
        ttl=parsed_ttl,
        on_complete=on_complete,
    )
    runner = RunnerProcess(order)
    if detach:
        raise typer.Exit(wait_for_ownership(runner, queue_id))
    try:
        code = follow_runner(runner, roots, queue_id)
    except RunnerDied as died:
        # The service of an instance resumes a queue so.
        died.exit_code = EXIT_RUNNER_DIED if from_s3 else died.exit_code
        raise
    raise typer.Exit(code)


def _retry_failed(source: "LocalQueue") -> int:
    """Ask the live runner to retry the failed jobs; returns the exit code."""
    from spawn.cli.support.runner_requests import send_request
    from spawn.core.domain.events import JobReset, RequestRefused
    from spawn.core.errors import SpawnError

    with source:
        answers = send_request(source, "reset")
    reset = [event.job_id for event in answers if isinstance(event.data, JobReset)]
    if reset:
        print(f"Retrying: {', '.join(map(str, reset))}")
        return 0
    why = next((e.data.why for e in answers if isinstance(e.data, RequestRefused)), "it has ended")
    raise SpawnError(f"queue {source.queue_id} retries nothing", why=why)
