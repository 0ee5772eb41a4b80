"""Take back what would cost, when a launch fails or is interrupted."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from spawn.core.errors import SpawnError

Say = Callable[[str], None]


class Undo:
    """Steps back, the newest first. Each says what to do by hand where it cannot be taken."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._steps: list[tuple[Callable[[], str | None], str]] = []

    def add(self, step: Callable[[], str | None], by_hand: str) -> None:
        """Remember a step.

        Args:
            step: Takes it; returns what to say, or nothing. Raises `SpawnError`.
            by_hand: What a person does instead.
        """
        self._steps.append((step, by_hand))

    def drop(self) -> None:
        """The newest step has nothing to take back after all."""
        self._steps.pop()

    def keep(self) -> None:
        """All went well: nothing is taken back any more."""
        self._steps.clear()

    def take(self) -> None:
        """Take all steps back; one that fails is said, and hides no other."""
        while self._steps:
            step, by_hand = self._steps.pop()
            try:
                said = step()
            except SpawnError as error:
                self._say(f"Warning: {error}; {by_hand}")
            except KeyboardInterrupt:
                self._say(f"Warning: interrupted; {by_hand}")
            else:
                if said:
                    self._say(said)


@contextmanager
def undoing(say: Say) -> Iterator[Undo]:
    """Take back what was made, however the block ends before `keep`: by an error, Ctrl-C, SIGTERM
    or the end of the terminal."""
    undo = Undo(say)
    before = {each: signal.signal(each, _end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield undo
    except BaseException:
        undo.take()
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
