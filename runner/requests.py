"""What the loop was asked while it runs, and what it answers."""

from collections.abc import Callable, Iterator

from spawn.core import decide
from spawn.core.events import Draft, RequestRefused
from spawn.core.state import QueueState
from spawn.store.failpoints import reached
from spawn.store.requests import Request, Unreadable


class Requests:
    """Requests of people, each kept until its answer is in the log. A cancel's is the queue's end.

    Args:
        answered: Told the id of each request whose answer is durable.
    """

    def __init__(self, answered: Callable[[str], None]) -> None:
        self._answered = answered
        self._open: list[Request | Unreadable] = []
        self._cancels: list[str] = []

    def take(self, request: Request | Unreadable) -> None:
        """Note a request."""
        if isinstance(request, Request) and request.kind == "cancel":
            self._cancels.append(request.id)
        else:
            self._open.append(request)

    def drafts(self, state: QueueState, *, leaving: bool) -> Iterator[list[Draft]]:
        """The answers; the state must have taken each before the next is asked for. The same again
        until `written`.

        Args:
            leaving: Whether the queue is being stopped.
        """
        for request in self._open:
            if request.id in state.answered:
                continue  # by a runner that could not take the file away, or died before it did
            why = _why_refused(request, state, leaving=leaving)
            if why:
                yield [Draft(RequestRefused(request=request.id, why=why))]
            elif isinstance(request, Request):
                yield decide.reset_failed(state, by=request.by, request=request.id)

    def written(self) -> None:
        """The log has taken all of that."""
        for request in self._open:
            reached("runner.answered")
            self._answered(request.id)
        self._open.clear()

    def ended(self) -> None:
        """The log has taken the queue's end."""
        for request_id in self._cancels:
            self._answered(request_id)


def _why_refused(request: Request | Unreadable, state: QueueState, *, leaving: bool) -> str:
    """Why a request for another try cannot be followed; empty where it can."""
    if isinstance(request, Unreadable):
        return f"it cannot be read: {request.why}"
    if leaving:
        return "the queue is being stopped"
    return "" if state.failed else "no job has failed"
