"""Ask something of a live runner, and wait for the events that answer."""

import time
from typing import Literal

from spawn.cli import bootstrap
from spawn.cli.sources.local import LocalQueue
from spawn.core.events import Data, Event, JobReset, QueueCompleted, QueueFailed, RequestRefused
from spawn.core.moments import stamp
from spawn.store import requests
from spawn.store.identity import owner

POLL_SECONDS = 0.1


def ask(source: LocalQueue, kind: Literal["cancel", "reset"]) -> list[Event[Data]]:
    """Leave a request and wait for its answer.

    Returns:
        The events that answer; empty when the runner went before it could, and the request is
        withdrawn.

    Raises:
        OSError: The request cannot be left: the queue is another user's.
    """
    source.refresh()
    if source.state.ended:
        return []
    folder = source.paths.requests
    request = requests.post(folder, kind, by=owner(), at=stamp(bootstrap.now()))
    while True:
        alive = source.runner_alive()
        answers = [event for event in source.follow() if _answers(event, request)]
        if answers:
            return answers
        if not alive or source.state.ended:
            requests.withdraw(folder, request.id)
            return []
        time.sleep(POLL_SECONDS)


def _answers(event: Event[Data], request: requests.Request) -> bool:
    data = event.data
    if isinstance(data, RequestRefused):
        return request.id in data.request
    if request.kind == "cancel":
        return isinstance(data, QueueCompleted | QueueFailed)
    return isinstance(data, JobReset) and data.request == request.id
