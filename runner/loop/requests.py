"""Requests of clients to a live runner, and their answers."""

from collections.abc import Callable, Iterator

from spawn.core.domain import decide
from spawn.core.domain.events import Draft, RequestRefused
from spawn.core.domain.state import QueueState
from spawn.store.failpoints import mark
from spawn.store.queue_dir.requests import Request, UnreadableRequest


class Requests:
    """Requests that have no answer in the log yet. A cancel's answer is the queue's end.

    Args:
        answered: Receives the id of each request whose answer is durable.
    """

    def __init__(self, answered: Callable[[str], None]) -> None:
        self._answered = answered
        self._open: list[Request | UnreadableRequest] = []
        self._cancels: list[str] = []

    def add(self, request: Request | UnreadableRequest) -> None:
        """Add a request."""
        if isinstance(request, Request) and request.kind == "cancel":
            self._cancels.append(request.id)
        else:
            self._open.append(request)

    def drafts(self, state: QueueState, *, leaving: bool) -> Iterator[list[Draft]]:
        """Yield the answers. Apply each to `state` before requesting the next. Answers repeat until
        `mark_logged`.

        Args:
            leaving: Whether the queue is being stopped.
        """
        for request in self._open:
            if request.id in state.handled_requests:
                continue  # an earlier runner has answered, but not removed the file
            why = _why_refused(request, state, leaving=leaving)
            if why:
                yield [Draft(RequestRefused(request=request.id, why=why))]
            elif isinstance(request, Request):
                yield decide.reset_failed(state, by=request.by, request=request.id)

    def mark_logged(self) -> None:
        """Remove the requests whose answers are now in the log."""
        for request in self._open:
            mark("runner.answered")
            self._answered(request.id)
        self._open.clear()

    def answer_cancels(self) -> None:
        """Report all cancels as answered, once the queue's end is in the log."""
        for request_id in self._cancels:
            self._answered(request_id)


def _why_refused(request: Request | UnreadableRequest, state: QueueState, *, leaving: bool) -> str:
    """Why failed jobs cannot be retried; empty if they can."""
    if isinstance(request, UnreadableRequest):
        return f"it cannot be read: {request.why}"
    if leaving:
        return "the queue is being stopped"
    return "" if state.failed else "no job has failed"
