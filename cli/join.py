"""Follow a queue whose runner somebody else started, as if it were ours.

A service manager that starts the command again finds the runner of the one that was killed.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spawn.cli.bootstrap import now, say
from spawn.cli.follow import TICK_SECONDS, since_ours, view_of
from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import QueueNotFound
from spawn.runner.exit_code import exit_code
from spawn.store import lock
from spawn.store.paths import Roots


def join(roots: Roots, queue_id: str) -> int | None:
    """Show a queue until its runner ends. SIGTERM and Ctrl-C are passed on to that.

    Returns:
        The exit code that the runner's end amounts to; None when it died without one, or ended
        before it owned the queue: then it is for another to go on.
    """
    paths = roots.queue(queue_id)
    say(f"Queue {queue_id} is being run by another process; following it.")
    with _asked() as asked:
        while lock.is_held(paths.lock):
            with suppress(QueueNotFound):  # its log is being made
                return _show(roots, queue_id, asked)
            time.sleep(TICK_SECONDS)
    return 128 + asked[0] if asked else None


def _show(roots: Roots, queue_id: str, asked: list[int]) -> int | None:
    with LocalQueue(roots, queue_id) as source, view_of(queue_id) as view:
        source.refresh()
        before, passed = source.seq, 0
        with LocalQueue(roots, queue_id) as earlier:
            view.events(since_ours(earlier.follow()), source)
        while True:
            alive = source.runner_alive()
            view.events(source.follow(), source)
            owner = source.state.owner
            while owner is not None and passed < len(asked):
                if _holds(owner.pid, source.paths.lock):
                    with suppress(ProcessLookupError):
                        os.kill(owner.pid, asked[passed])
                    passed += 1
                else:
                    break  # it has not said yet who it is
            if not alive:
                break
            time.sleep(TICK_SECONDS)
        state = source.state
        if state.state in ("pending", "running") or (not state.ended and source.seq == before):
            return 128 + asked[0] if asked else None
        view.close(source.report(now()))
    return exit_code(state)


def _holds(pid: int, path: Path) -> bool:
    """Whether a process has a queue's lock open: only its runner does, of a number that may be
    another's by now."""
    try:
        meant = path.stat()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found = link.stat()
                if (found.st_dev, found.st_ino) == (meant.st_dev, meant.st_ino):
                    return True
    except OSError:
        pass
    return False


@contextmanager
def _asked() -> Iterator[list[int]]:
    """The signals that came to us meanwhile, in order."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
