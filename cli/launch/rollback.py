"""Roll back what would cost money when a launch fails or is interrupted."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from spawn.core.errors import SpawnError

Say = Callable[[str], None]


class Undo:
    """Rollback steps, run newest first. Each has a message for the case that it fails."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._steps: list[tuple[Callable[[], str | None], str]] = []

    def add(self, step: Callable[[], str | None], by_hand: str) -> None:
        """Add a step.

        Args:
            step: Runs the step; returns a message to print, or None. May raise `SpawnError`.
            by_hand: What the user can do if the step fails.
        """
        self._steps.append((step, by_hand))

    def drop_last(self) -> None:
        """Remove the newest step."""
        self._steps.pop()

    def clear(self) -> None:
        """Remove all steps, after the launch has succeeded."""
        self._steps.clear()

    def run(self) -> None:
        """Run all steps; a failed step prints a warning and does not stop the others."""
        while self._steps:
            step, by_hand = self._steps.pop()
            try:
                message = step()
            except SpawnError as error:
                self._say(f"Warning: {error}; {by_hand}")
            except KeyboardInterrupt:
                self._say(f"Warning: interrupted; {by_hand}")
            else:
                if message:
                    self._say(message)


@contextmanager
def rollback_on_failure(say: Say) -> Iterator[Undo]:
    """Run the steps if the block ends by an error, SIGINT, SIGTERM or SIGHUP."""
    undo = Undo(say)
    before = {each: signal.signal(each, _exit) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield undo
    except BaseException:
        undo.run()
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
