"""Wire a runner together. The only place that knows every part of it."""

import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals

import msgspec
from msgspec import structs

from spawn import __version__
from spawn.core import resumption
from spawn.core.config import canonical
from spawn.core.errors import QueueExists, QueueNotFound, RunnerAlive, SpawnError
from spawn.core.events import Data, Draft, Event, QueueResumed, QueueStarted
from spawn.core.moments import moment
from spawn.core.state import JobState, QueueState
from spawn.core.submission import config_sha256, submit
from spawn.runner import machine
from spawn.runner.launcher import ProcessLauncher
from spawn.runner.loop import Plans, Runner
from spawn.runner.machine import ownership
from spawn.runner.poller import Poller
from spawn.runner.ports import Requested
from spawn.runner.publisher import ThreadPublisher
from spawn.runner.start import Committed, News, Refused, RunOrder, Said
from spawn.store import lock, queues
from spawn.store.failpoints import reached
from spawn.store.identity import owner
from spawn.store.log.ledger import Ledger
from spawn.store.objects.folder import FolderStore
from spawn.store.paths import Roots
from spawn.store.requests import Inbox
from spawn.store.tail import tail

UNEXPECTED = 70
"""Exit code of an error that is ours: systemd starts the runner again after it."""
LAST_LINES = 10
CLAIM = "_spawn/queue.json"
"""The configuration as it was submitted, which also says whose prefix this is."""


class SystemClock:
    """See `Clock`."""

    def wall(self) -> datetime:
        """See `Clock.wall`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()


def main() -> int:
    """Run the queue that stdin orders; tell what happens on the descriptor that argv names."""
    tell = _Teller(int(sys.argv[1]))
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=RunOrder)
        state = _run(order, tell)
    except SpawnError as error:
        tell(Refused(error.what, error.why, error.hint, error.exit_code))
        return error.exit_code
    except OSError as error:
        tell(Refused("the runner cannot run", str(error), "", 1))
        return 1
    except Exception:
        traceback.print_exc()
        why = traceback.format_exc().strip().splitlines()[-1]
        hint = "the queue's runner.log has where"
        tell(Refused("the runner met an error of its own", why, hint, UNEXPECTED))
        return UNEXPECTED
    return _exit_code(state)


def _run(order: RunOrder, tell: "Callable[[News], None]") -> QueueState:
    roots = Roots(Path(order.state), Path(order.log), Path(order.cache))
    known = order.task in ("resume", "cancel")
    paths = queues.find(roots, order.queue_id) if known else queues.make(roots, order.queue_id)
    held = lock.take(paths.lock)
    if held is None:
        raise _alive(order)
    reached("runner.locked")
    _redirect(paths.runner_log)
    launcher = ProcessLauncher(os.environb)  # before any thread and any SQLite
    ledger = Ledger(paths.events, order.queue_id)
    clock = SystemClock()
    if ledger.empty:
        if order.config is None or known:
            raise QueueNotFound(f"queue {order.queue_id} was never submitted")
        drafts = submit(
            order.config, file=order.file, file_sha256=order.file_sha256, version=__version__
        )
        ledger.stage(drafts, at=clock.wall())
    elif order.task == "run":
        raise _exists(order.queue_id, ledger.state)
    elif ledger.state.ended and order.task in ("or_resume", "cancel"):
        return ledger.state
    state = ledger.state
    plans = _plans(order, state, tell)
    prefix = state.config.result_s3_prefix or order.queue_id
    objects = FolderStore(roots.objects / prefix.strip("/"))
    _claim(objects, order.queue_id, state)
    reached("runner.claimed")
    kind = QueueStarted if state.state == "pending" else QueueResumed
    poller = Poller()
    launcher.serve(paths, order.queue_id, state.config.kill_grace, poller)
    publisher = ThreadPublisher(objects, poller.post)
    inbox = Inbox(paths.requests)
    if state.ended:
        for request in inbox.read():
            inbox.done(request.id)  # it was meant for what the queue was before its end
    poller.watch(inbox, lambda: map(Requested, inbox.read()), also_unasked=True)
    for request in inbox.read():
        poller.post(Requested(request))

    def say(text: str) -> None:
        with suppress(OSError):  # its disk may be what is full
            print(text, file=sys.stderr, flush=True)
        tell(Said(text))

    def committed(events: list[Event[Data]]) -> None:
        if events:
            tell(Committed(events[-1].seq))

    def last_lines(job: JobState) -> tuple[str, ...]:
        return tail(Path(job.log_file), LAST_LINES, after=job.log_offset)

    runner = Runner(
        ledger=ledger,
        launcher=launcher,
        publisher=publisher,
        clock=clock,
        waiter=poller,
        opening=[Draft(ownership(kind, objects.location))],
        epoch=state.epoch + 1,
        fraction=random.random,
        last_lines=last_lines,
        committed=committed,
        say=say,
        answered=inbox.done,
        plans=plans,
    )
    state = runner.run()
    publisher.close()
    launcher.close()
    ledger.close()
    os.close(held)
    return state


def _plans(order: RunOrder, state: QueueState, tell: "Callable[[News], None]") -> Plans:
    """What this order wants of the queue that is there.

    Raises:
        NothingToDo, InvalidArgument: See `resumption.check`.
    """
    config = None
    if order.task == "or_resume" and order.config and state.epoch:
        if config_sha256(order.config) != state.config_sha256:
            tell(Said("the configuration has changed since; the queue goes on with its own"))
    elif order.task == "resume":
        whole = resumption.config_of(state)
        config = structs.replace(order.config or whole, queue_id=state.config.queue_id)
        if order.global_timeout is not None:
            config = structs.replace(config, global_timeout=order.global_timeout)
        if not resumption.changes(state, config):
            config = None
        resumption.check(state, retry_failed=order.retry_failed, config=config)
    boot_id = state.owner.boot_id if state.owner else ""
    return Plans(
        by=order.by or owner(),
        retry_failed=order.retry_failed,
        retry_uploads=order.task == "resume",
        config=config,
        cancel=order.task == "cancel",
        leave_jobs=order.leave_jobs,
        rebooted=bool(boot_id and machine.boot_id() not in ("", boot_id)),
    )


class _Teller:
    """Tells whoever started the runner, as long as they listen."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)

    def __call__(self, news: News) -> None:
        with suppress(OSError):  # nobody listens, or too slowly: the log says it all
            os.write(self._fd, msgspec.json.encode(news) + b"\n")


def _redirect(path: Path) -> None:
    """From here on stderr is the queue's `runner.log`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    os.dup2(fd, 2)
    os.close(fd)


def _exit_code(state: QueueState) -> int:
    if state.state == "interrupted":
        return 128 + (Signals[state.detail] if state.detail in Signals.__members__ else 1)
    return 0 if state.state == "completed" else 1


def _claim(objects: FolderStore, queue_id: str, state: QueueState) -> None:
    """Take the prefix for this queue, for ever: two queues must not share their results' place.

    Raises:
        QueueExists: Another queue has it.
    """
    jobs = tuple(job.config for job in state.jobs.values())
    config = structs.replace(state.config, queue_id=queue_id, jobs=jobs)
    objects.put(CLAIM, canonical.encode(config))
    owner = canonical.decode(objects.get(CLAIM)).queue_id
    if owner != queue_id:
        raise QueueExists(
            f"the results of queue {owner} are at {objects.location}",
            why="two queues cannot keep theirs in one place",
            hint="another result_s3_prefix, or none, keeps them apart",
        )


def _alive(order: RunOrder) -> RunnerAlive:
    return RunnerAlive(
        f"queue {order.queue_id} is being run by another process",
        hint=f"`spawn queue status {order.queue_id}` shows it",
    )


def _exists(queue_id: str, state: QueueState) -> QueueExists:
    resume = f"`spawn queue resume {queue_id}` goes on with it, " * (state.state != "completed")
    return QueueExists(
        f"queue {queue_id} was run before",
        why=f"submitted {moment(state.submitted_at).astimezone():%Y-%m-%d %H:%M:%S %Z}, "
        f"now {state.state}",
        hint=f"{resume}`--queue-id NEW` runs it anew",
    )
