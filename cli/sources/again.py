"""Ask again and again, beside what a command does, whether somebody answers by now."""

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 30.0
"""How long until the next look: twice as long each time, at most this."""

T = TypeVar("T")


class Again(Generic[T]):
    """Asks on a thread of its own, until there is an answer, an error, or nobody wants either.

    Args:
        ask: Gives the answer; None: not yet. What it raises is the end.
        drop: Lets go of an answer that nobody takes.
    """

    def __init__(self, ask: Callable[[], T | None], drop: Callable[[T], None]) -> None:
        self._ask = ask
        self._drop = drop
        self._lock = Lock()
        self._over = Event()
        self._news = Event()
        self._answer: T | None = None
        self._error: BaseException | None = None
        Thread(target=self._run, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for news, at most so long; returns whether there is any."""
        return self._news.wait(seconds)

    def take(self) -> T | None:
        """The answer, once; None: not yet.

        Raises:
            Exception: What asking ended in.
        """
        with self._lock:
            answer, self._answer = self._answer, None
            if self._error is not None:
                raise self._error
            return answer

    def close(self) -> None:
        """Ask no more; who is asked just now is not waited for."""
        self._over.set()
        answer = self.take() if self._error is None else None
        if answer is not None:
            self._drop(answer)

    def _run(self) -> None:
        seconds = FIRST_SECONDS
        while not self._over.wait(seconds):
            seconds = min(LONGEST_SECONDS, 2 * seconds)
            try:
                answer = self._ask()
            except BaseException as error:
                self._error = error
                break
            if answer is not None and not self._hand_over(answer):
                self._drop(answer)
            if answer is not None:
                break
        self._news.set()

    def _hand_over(self, answer: T) -> bool:
        with self._lock:
            if not self._over.is_set():
                self._answer = answer
            return self._answer is not None
