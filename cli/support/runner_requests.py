"""Send a request to a live runner and wait for the events that answer it."""

import time
from typing import Literal

from spawn.cli import host
from spawn.cli.sources.local import LocalQueue
from spawn.core.domain.events import (
    Data,
    Event,
    JobReset,
    QueueCompleted,
    QueueFailed,
    RequestRefused,
)
from spawn.core.errors import RunnerAlive, SpawnError
from spawn.core.values.timestamps import format_timestamp
from spawn.store.identity import owner
from spawn.store.queue_dir import requests

POLL_SECONDS = 0.1
RUNNER_EXIT_SECONDS = 60.0


def send_request(source: LocalQueue, kind: Literal["cancel", "reset"]) -> list[Event[Data]]:
    """Send a request and wait for its answer.

    Returns:
        The events that answer it; empty when the runner exited first and the request was withdrawn.

    Raises:
        SpawnError: The request cannot be written: the disk is full, or the queue belongs to
            another user.
    """
    source.refresh()
    if source.state.ended:
        return []
    folder = source.paths.requests
    try:
        request = requests.post_request(folder, kind, by=owner(), at=format_timestamp(host.now()))
    except OSError as error:
        raise _cannot_send(source, kind, error) from error
    while True:
        alive = source.runner_alive()
        answers = [event for event in source.follow() if _answers(event, request)]
        if answers:
            return answers
        if not alive or source.state.ended:
            requests.withdraw(folder, request.id)
            return []
        time.sleep(POLL_SECONDS)


def _cannot_send(source: LocalQueue, kind: str, error: OSError) -> SpawnError:
    hint = "only root and the user who runs the queue can send requests"
    if not isinstance(error, PermissionError):
        hint = "free some space on its disk"
        if kind == "cancel" and source.state.owner is not None:
            pid = source.state.owner.pid
            hint += f", or stop the queue with `kill {pid}`; a second `kill` stops it at once"
    return SpawnError(
        f"cannot {_ACTIONS[kind]} queue {source.queue_id}",
        why=f"cannot write to {source.paths.requests}: {error.strerror or error}",
        hint=hint,
    )


_ACTIONS = {"cancel": "cancel", "reset": "retry the failed jobs of"}


def wait_for_runner_exit(source: LocalQueue) -> bool:
    """Wait for a runner that only uploads the rest of the log after the queue has ended or stopped.

    Returns:
        Whether the runner has exited; False at once if the queue is still pending or running.

    Raises:
        RunnerAlive: The runner is still alive after `RUNNER_EXIT_SECONDS`: the store is
            unreachable.
    """
    with source:
        source.refresh()
        if source.state.state in ("pending", "running"):
            return False
    until = time.monotonic() + RUNNER_EXIT_SECONDS
    while source.runner_alive():
        if time.monotonic() > until:
            raise RunnerAlive(
                f"the previous runner of queue {source.queue_id} is still running",
                why="it is uploading the rest of the log to the object store",
                hint=f"`spawn queue status {source.queue_id}` shows what delays it; SIGTERM to the "
                "runner stops it",
            )
        time.sleep(POLL_SECONDS)
    return True


def _answers(event: Event[Data], request: requests.Request) -> bool:
    data = event.data
    if isinstance(data, RequestRefused):
        return request.id in data.request
    if request.kind == "cancel":
        return isinstance(data, QueueCompleted | QueueFailed)
    return isinstance(data, JobReset) and data.request == request.id
