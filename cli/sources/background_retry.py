"""Retry a request in the background until it succeeds."""

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 30.0
"""The interval between two tries starts at `FIRST_SECONDS` and doubles up to `LONGEST_SECONDS`."""

T = TypeVar("T")


class BackgroundRetry(Generic[T]):
    """Calls a function on a thread until it returns a result, raises, or `close` is called.

    Args:
        ask: Returns the result, or None to be called again later.
        drop: Releases a result that is not taken.
    """

    def __init__(self, ask: Callable[[], T | None], drop: Callable[[T], None]) -> None:
        self._ask = ask
        self._drop = drop
        self._lock = Lock()
        self._closed = Event()
        self._finished = Event()
        self._answer: T | None = None
        self._error: BaseException | None = None
        Thread(target=self._run, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for a result or an error; returns whether there is one."""
        return self._finished.wait(seconds)

    def take(self) -> T | None:
        """The result, once; None if there is none yet.

        Raises:
            Exception: The error that `ask` raised.
        """
        with self._lock:
            answer, self._answer = self._answer, None
            if self._error is not None:
                raise self._error
            return answer

    def close(self) -> None:
        """Stop retrying. Does not wait for a call in progress."""
        self._closed.set()
        answer = self.take() if self._error is None else None
        if answer is not None:
            self._drop(answer)

    def _run(self) -> None:
        seconds = FIRST_SECONDS
        while not self._closed.wait(seconds):
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
        self._finished.set()

    def _hand_over(self, answer: T) -> bool:
        with self._lock:
            if not self._closed.is_set():
                self._answer = answer
            return self._answer is not None
