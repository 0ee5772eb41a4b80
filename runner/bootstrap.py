"""The runner's process: takes its order and the queue's lock, and tries to own the queue."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import structs

from spawn.core.boot.names import SERVICE
from spawn.core.errors import CorruptLog, RunnerAlive, SpawnError, UnreadableEvent
from spawn.runner.exit_code import exit_code
from spawn.runner.guardian import UNEXPECTED, Before
from spawn.runner.launcher import ProcessLauncher
from spawn.runner.placing import place_of_copy
from spawn.runner.session import Overtaken, Session
from spawn.runner.start import News, Over, Refused, RunOrder, Said
from spawn.runner.telling import Teller
from spawn.store import lock, queues
from spawn.store.failpoints import reached
from spawn.store.files import regular
from spawn.store.instance import instance
from spawn.store.objects.port import StoreError, Unavailable
from spawn.store.owning import newest_epoch
from spawn.store.paths import QueuePaths, Roots
from spawn.store.place import open_place
from spawn.store.replica.lease import Owned
from spawn.store.replica.rebuild import NoCopy, rebuild

OUT_OF_REACH = 75
"""Exit code of a takeover that finds the store out of reach: the same again later may do, and
systemd tries it. Only under its unit; a person gets the manual page's 1.
Source: `EX_TEMPFAIL` of sysexits(3)."""
_AGAIN = "nothing of the queue is here yet; the same command, once the store can be reached"
TAKEOVERS = 5
"""How often a takeover that somebody else wins is tried."""


def main(data: bytes, before: Before) -> int:
    """Run the queue of an order; tell what happens on the descriptor that argv names."""
    tell = Teller(int(sys.argv[1]), before.fd)
    order = msgspec.json.decode(data, type=RunOrder)
    if before.died:
        order = _rest(order, before.seconds)
    try:
        code = _run(order, tell, before)
        tell(Over())
        return code
    except SpawnError as error:
        alive = isinstance(error, RunnerAlive)
        passes = order.from_s3 and isinstance(error, Unavailable)
        code = OUT_OF_REACH if passes and SERVICE in os.environ else error.exit_code
        hint = error.hint or (_AGAIN if passes else "")
        tell(Refused(error.what, error.why, hint, code, alive))
        return code
    except OSError as error:
        tell(Refused("the runner cannot run", str(error), "", 1))
        return 1
    except Exception:
        traceback.print_exc()
        why = traceback.format_exc().strip().splitlines()[-1]
        hint = "the queue's runner.log has where"
        if tell.guarded:
            tell(Said(f"the runner met an internal error: {why}; {hint}"))
        else:
            tell(Refused("the runner met an internal error", why, hint, UNEXPECTED))
        return UNEXPECTED


def _rest(order: RunOrder, seconds: float) -> RunOrder:
    """What is left of an order whose runner owned the queue and died.

    Args:
        seconds: Since that one began.
    """
    changes = order.config is not None or order.global_timeout is not None
    keeps = order.task == "cancel" or (order.task == "resume" and changes)
    ttl = order.ttl
    if ttl is not None and ttl.seconds is not None:
        ttl = structs.replace(ttl, seconds=ttl.seconds - seconds)
    return structs.replace(
        order,
        task=order.task if keeps else "or_resume",
        retry_failed=False,
        from_s3=False,
        force=False,
        ttl=ttl,
    )


def _run(order: RunOrder, tell: Teller, before: Before) -> int:
    roots = Roots(Path(order.state), Path(order.log), Path(order.cache))
    here = order.task == "cancel" or (order.task == "resume" and not order.from_s3)
    here = here or bool(before.died)  # a folder that was removed meanwhile is not made anew
    paths = queues.find(roots, order.queue_id) if here else queues.make(roots, order.queue_id)
    held = lock.take(paths.lock)
    if held is None:
        raise _alive(order)
    reached("runner.locked")
    queues.close_to_others(paths)  # an earlier version left it open
    _redirect(paths.runner_log)
    if before.died:
        _say(f"the runner has died ({before.died}) and was started again", tell)
    launcher = ProcessLauncher(os.environb)  # before any thread and any SQLite
    nonce, against = before.nonce, ""
    for _ in range(TAKEOVERS):
        order, session = _open(order, roots, paths, launcher, tell, nonce, against, before.died)
        try:
            state = session.run()
        except Overtaken:
            against = session.against
            session.close()
            session.discard()
            continue
        except SpawnError:
            ours = session.ours
            session.close()
            if not ours:
                session.discard()  # nothing is left of a queue that never was, or is another's
            raise
        session.close()
        launcher.close()
        if session.fenced:
            _put_aside(paths, state.epoch, tell)
        os.close(held)
        if session.removed:
            return 1
        if session.unsaid:
            return 128 + session.unsaid
        return 1 if session.fenced else exit_code(state)
    raise Owned(
        f"queue {order.queue_id} was taken over by others again and again",
        hint="see who else runs `resume --from-s3`",
    )


def _open(
    order: RunOrder,
    roots: Roots,
    paths: QueuePaths,
    launcher: ProcessLauncher,
    tell: Teller,
    nonce: str,
    against: str,
    died: str,
) -> tuple[RunOrder, Session]:
    """Open a queue's log; one that is damaged is restored from its copy first.

    Returns:
        The order, changed where the damaged log was given up, and the session.

    Raises:
        CorruptLog: It cannot be restored, or is not to be.
    """
    try:
        return order, Session(order, roots, paths, launcher, tell, nonce, against, died)
    except UnreadableEvent:
        raise  # a newer version wrote it
    except CorruptLog as error:
        if order.task == "run":
            raise
        damage = error
    place = place_of_copy(order, paths.events, instance(os.environ), roots.objects)
    store = open_place(place, roots.objects)
    try:
        events, kept = rebuild(paths.events, order.queue_id, store)
    except StoreError as error:
        error.what = f"{damage.what}, and {error.what}"
        raise
    except CorruptLog as error:
        if isinstance(error, NoCopy) or not (order.from_s3 and order.force):
            raise _unrestored(order.queue_id, damage, error) from None
        kept = queues.put_aside(paths, newest_epoch(paths.folder), "damaged")
        queues.make(roots, order.queue_id)
        lock.take(paths.lock)  # held, as the one that was put aside, until this process ends
        _redirect(paths.runner_log)
        _say(f"{damage}; it cannot be restored: {error}; what was here is kept in {kept}", tell)
        order = structs.replace(
            order,
            no_s3=place.bucket is None,
            bucket=place.bucket,
            prefix=place.prefix,
            region=place.region,
        )
    else:
        text = f"{damage}; {events} events were restored from {store.location}"
        _say(text + f"; the damaged log is kept in {kept}" * kept.exists(), tell)
    return order, Session(order, roots, paths, launcher, tell, nonce, against, died)


def _unrestored(queue_id: str, damage: CorruptLog, error: CorruptLog) -> CorruptLog:
    hint = (
        f"`spawn queue resume {queue_id} --from-s3 --force` goes on with what the copy has; what "
        "happened after that is lost, and jobs may run again"
    )
    if isinstance(error, NoCopy):
        hint = "restore it from a backup"
    why = f"{damage.why}; it cannot be restored from its copy: {error}"
    return CorruptLog(damage.what, seq=damage.seq, why=why.removeprefix("; "), hint=hint)


def _put_aside(paths: QueuePaths, epoch: int, tell: Callable[[News], None]) -> None:
    """Keep the folder of a queue that somebody else owns, under a name that says so."""
    kept = queues.put_aside(paths, epoch)
    _say(f"somebody else owns the queue; what was here is kept in {kept}", tell)


def _say(text: str, tell: Callable[[News], None]) -> None:
    print(text, file=sys.stderr, flush=True)
    tell(Said(text))


def _redirect(path: Path) -> None:
    """From here on stderr is the queue's `runner.log`."""
    fd = regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(fd, 2)
    os.close(fd)


def _alive(order: RunOrder) -> RunnerAlive:
    return RunnerAlive(
        f"queue {order.queue_id} is being run by another process",
        hint=f"`spawn queue status {order.queue_id}` shows it",
    )
