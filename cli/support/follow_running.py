"""Follow a queue whose runner another process started.

A service manager that restarts the command finds the runner of the killed one still running.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spawn.cli.host import now, say
from spawn.cli.sources.local import LocalQueue
from spawn.cli.support.follow import TICK_SECONDS, events_since_resume, open_view
from spawn.core.errors import QueueNotFound
from spawn.runner.runner_process import exit_code
from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import Roots


def follow_running(roots: Roots, queue_id: str) -> int | None:
    """Show a queue until its runner exits; SIGINT and SIGTERM are forwarded to the runner.

    Returns:
        The exit code of the queue's outcome; None when the runner died, or exited before it owned
        the queue, so that the caller should start a new one.
    """
    paths = roots.queue(queue_id)
    say(f"Queue {queue_id} is being run by another process; following it.")
    with _collected_signals() as signals:
        while lock.is_held(paths.lock):
            with suppress(QueueNotFound):  # its log is being created
                return _show(roots, queue_id, signals)
            time.sleep(TICK_SECONDS)
    return 128 + signals[0] if signals else None


def _show(roots: Roots, queue_id: str, signals: list[int]) -> int | None:
    with LocalQueue(roots, queue_id) as source, open_view(queue_id) as view:
        source.refresh()
        before, sent = source.seq, 0
        with LocalQueue(roots, queue_id) as earlier:
            view.events(events_since_resume(earlier.follow()), source)
        while True:
            alive = source.runner_alive()
            view.events(source.follow(), source)
            owner = source.state.owner
            while owner is not None and sent < len(signals):
                if _has_open(owner.pid, source.paths.lock):
                    with suppress(ProcessLookupError):
                        os.kill(owner.pid, signals[sent])
                    sent += 1
                else:
                    break  # the log does not name the new runner yet
            if not alive:
                break
            time.sleep(TICK_SECONDS)
        state = source.state
        if state.state in ("pending", "running") or (not state.ended and source.seq == before):
            return 128 + signals[0] if signals else None
        view.close(source.report(now()))
    return exit_code(state)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a queue's lock file open: only the runner does. The pid of a dead
    runner may have been reused."""
    try:
        wanted = path.stat()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found = link.stat()
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    except OSError:
        pass
    return False


@contextmanager
def _collected_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, in order of arrival."""
    signals: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: signals.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
