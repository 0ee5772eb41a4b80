"""Ask something of a live runner, and wait for the events that answer."""

import time
from typing import Literal

from spawn.cli import bootstrap
from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import RunnerAlive, SpawnError
from spawn.core.events import Data, Event, JobReset, QueueCompleted, QueueFailed, RequestRefused
from spawn.core.moments import stamp
from spawn.store import requests
from spawn.store.identity import owner

POLL_SECONDS = 0.1
OUTLAST_SECONDS = 60.0


def ask(source: LocalQueue, kind: Literal["cancel", "reset"]) -> list[Event[Data]]:
    """Leave a request and wait for its answer.

    Returns:
        The events that answer; empty when the runner went before it could, and the request is
        withdrawn.

    Raises:
        SpawnError: The request cannot be left: the disk is full, or the queue another user's.
    """
    source.refresh()
    if source.state.ended:
        return []
    folder = source.paths.requests
    try:
        request = requests.post(folder, kind, by=owner(), at=stamp(bootstrap.now()))
    except OSError as error:
        raise _unheard(source, kind, error) from error
    while True:
        alive = source.runner_alive()
        answers = [event for event in source.follow() if _answers(event, request)]
        if answers:
            return answers
        if not alive or source.state.ended:
            requests.withdraw(folder, request.id)
            return []
        time.sleep(POLL_SECONDS)


def _unheard(source: LocalQueue, kind: str, error: OSError) -> SpawnError:
    """Why a request could not be left, and what to do instead."""
    hint = "only the user who runs the queue, and root, may ask"
    if not isinstance(error, PermissionError):
        hint = "free some space on its disk"
        if kind == "cancel" and source.state.owner is not None:
            pid = source.state.owner.pid
            hint += f", or stop the queue by `kill {pid}`; the same twice stops it at once"
    return SpawnError(
        f"queue {source.queue_id} could not be asked to {_WORDS[kind]}",
        why=f"nothing can be written to {source.paths.requests}: {error.strerror or error}",
        hint=hint,
    )


_WORDS = {"cancel": "end", "reset": "try again what failed"}


def outlasted(source: LocalQueue) -> bool:
    """Wait for a runner whose queue has ended, or was stopped, and which only brings the rest of
    the log to the object store.

    Returns:
        Whether it is gone.

    Raises:
        RunnerAlive: It is still at it after a while: the store cannot be reached.
    """
    with source:
        source.refresh()
        if source.state.state in ("pending", "running"):
            return False
    until = time.monotonic() + OUTLAST_SECONDS
    while source.runner_alive():
        if time.monotonic() > until:
            raise RunnerAlive(
                f"the last runner of queue {source.queue_id} is still at work",
                why="it brings the rest of the log to the object store",
                hint=f"`spawn queue status {source.queue_id}` says what holds it up; a signal to "
                "it ends it",
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
