"""`spawn queue cancel`."""

import typer

from spawn.cli.flags import Identity, LocationFlags, Profile, Queue, QueueId, Region, SshUser


def cancel(
    queue_id: QueueId,
    queue: Queue = None,
    region: Region = None,
    profile: Profile = None,
    ssh_user: SshUser = None,
    identity: Identity = None,
) -> None:
    """Cancel a queue: stop its running jobs and start no more.

    The status of the queue becomes `failed (cancelled)`. For an instance, the command runs there
    over SSH. Exit code 1 if the queue has already ended.

    Examples:
        spawn queue cancel pipeline-20260127
        spawn queue cancel i-0123456789abcdef0
        spawn queue cancel local --queue nightly
    """
    import sys

    from spawn.core.values.ids import is_instance_id

    if is_instance_id(queue_id):
        from spawn.cli.host import local_roots
        from spawn.cli.support.run_on_instance import run_on_instance

        where = LocationFlags(
            queue=queue, region=region, profile=profile, ssh_user=ssh_user, identity=identity
        )
        raise typer.Exit(run_on_instance(queue_id, local_roots(), where, ["cancel"]))

    from spawn.cli import bootstrap, host
    from spawn.cli.support.follow import wait_for_exit
    from spawn.cli.support.runner_requests import send_request
    from spawn.core.errors import SpawnError
    from spawn.core.values.durations import format_duration as duration
    from spawn.runner.runner_process import RunnerProcess, RunRequest

    with bootstrap.find_local_queue(queue_id, queue=queue) as source:
        source.refresh()
        before = source.state.state if source.state.ended else ""
        if not before and source.runner_alive():
            grace = duration(source.state.config.kill_grace)
            print(f"Stopping running jobs; this takes up to {grace}.", file=sys.stderr)
            send_request(source, "cancel")
            source.refresh()
        if not source.state.ended:
            # No runner is alive: a new one stops the remaining jobs and writes the log.
            roots = host.local_roots()
            order = RunRequest(
                task="cancel",
                queue_id=source.queue_id,
                state=str(roots.state),
                log=str(roots.log),
                cache=str(roots.cache),
            )
            wait_for_exit(RunnerProcess(order), source.queue_id)
            source.refresh()
        state = source.state
    if before or state.reason != "cancelled":
        cancelled = state.reason == "cancelled"
        raise SpawnError(
            f"queue {source.queue_id} {'was' if cancelled else 'has'} already "
            f"{'cancelled' if cancelled else state.state}",
            why="" if cancelled else "it ended before it could be cancelled",
            hint=f"`spawn queue status {source.queue_id}` shows how it ended",
        )
    print(f"Queue {source.queue_id} is cancelled")
