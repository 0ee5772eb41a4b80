"""Main function of the runner's process: locks the queue and runs its sessions."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import structs

from spawn.core.errors import CorruptLog, RunnerAlive, SpawnError, UnreadableEvent, joined
from spawn.runner.guardian import INTERNAL_ERROR, RunnerContext
from spawn.runner.ports import CannotPrepare
from spawn.runner.process.launcher import ProcessLauncher
from spawn.runner.runner_process import (
    RunnerError,
    RunnerExited,
    RunnerMessage,
    RunRequest,
    WarningMessage,
    exit_code,
)
from spawn.runner.session.reporter import Reporter
from spawn.runner.session.session import Overtaken, Session
from spawn.runner.session.storage_place import place_of_copy
from spawn.store import queues
from spawn.store.aws.boot.locations import SERVICE_VARIABLE
from spawn.store.aws.this_machine import detect_instance
from spawn.store.failpoints import mark
from spawn.store.files import open_regular
from spawn.store.log.ownership_time import newest_epoch
from spawn.store.log.write import LogFull
from spawn.store.objects.interface import StoreError, Unavailable
from spawn.store.objects.location import open_place
from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import QueuePaths, Roots
from spawn.store.replica.lease import OwnedElsewhere
from spawn.store.replica.restore_log import NoCopy, rebuild

STORE_UNREACHABLE = 75
"""Exit code of a takeover that cannot reach the store, under the systemd unit only: systemd retries
it. Elsewhere the exit code is 1, as the manual page says.
Source: `EX_TEMPFAIL` of sysexits(3)."""
_RETRY_HINT = "nothing was restored; run the same command again when the store can be reached"
MAX_TAKEOVERS = 5
"""How often to try a takeover that other machines win."""


def main(data: bytes, context: RunnerContext) -> int:
    """Run the queue of an order; messages go to the descriptor in argv. Returns the exit code."""
    report = Reporter(int(sys.argv[1]), context.guardian_fd)
    order = msgspec.json.decode(data, type=RunRequest)
    if context.previous_death:
        order = _restart_order(order, context.elapsed)
    try:
        code = _run(order, report, context)
        report(RunnerExited())
        return code
    except (LogFull, CannotPrepare, OSError) as error:
        if context.previous_death:  # a full disk, or no process: the guardian tries again
            report(WarningMessage(f"the runner could not be restarted: {error}"))
            return INTERNAL_ERROR
        if isinstance(error, SpawnError):
            report(RunnerError(error.what, error.why, error.hint, error.exit_code))
            return error.exit_code
        report(RunnerError("the runner failed", str(error), "", 1))
        return 1
    except SpawnError as error:
        alive = isinstance(error, RunnerAlive)
        temporary = order.from_s3 and isinstance(error, Unavailable)
        code = (
            STORE_UNREACHABLE if temporary and SERVICE_VARIABLE in os.environ else error.exit_code
        )
        hint = error.hint or (_RETRY_HINT if temporary else "")
        report(RunnerError(error.what, error.why, hint, code, alive))
        return code
    except Exception:
        traceback.print_exc()
        why = traceback.format_exc().strip().splitlines()[-1]
        what, hint = "internal error in the runner", "see the traceback in the queue's runner.log"
        if report.guarded:
            report(WarningMessage(f"{what}: {why}; {hint}"))
        else:
            report(RunnerError(what, why, hint, INTERNAL_ERROR))
        return INTERNAL_ERROR


def _restart_order(order: RunRequest, seconds: float) -> RunRequest:
    """The order for a restart after a runner that owned the queue has died.

    Args:
        seconds: Time since the first runner of the order started.
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


def _run(order: RunRequest, report: Reporter, context: RunnerContext) -> int:
    roots = Roots(Path(order.state), Path(order.log), Path(order.cache))
    died = context.previous_death
    must_exist = order.task == "cancel" or (order.task == "resume" and not order.from_s3)
    must_exist = must_exist or bool(died)  # do not recreate a folder that was removed meanwhile
    paths = (
        queues.find_queue(roots, order.queue_id)
        if must_exist
        else queues.create_folder(roots, order.queue_id)
    )
    held = lock.acquire(paths.lock)
    if held is None:
        raise _runner_alive(order)
    mark("runner.locked")
    queues.restrict_access(paths)  # earlier versions left it readable by others
    _redirect_stderr(paths.runner_log)
    if died:
        _say(f"the runner died ({died}) and was restarted", report)
    launcher = ProcessLauncher(os.environb)  # before any thread and any SQLite connection
    nonce, against = context.nonce, ""
    for _ in range(MAX_TAKEOVERS):
        order, session = _open_session(order, roots, paths, launcher, report, nonce, against, died)
        try:
            state = session.run()
        except Overtaken:
            against = session.against
            session.close()
            session.discard()
            continue
        except SpawnError:
            has_own_events = session.has_own_events
            session.close()
            if not has_own_events:
                session.discard()  # an empty or only fetched log would pass for a queue's
            raise
        session.close()
        launcher.close()
        if session.fenced:
            _put_aside(paths, state.epoch, report)
        os.close(held)
        if session.removed:
            return 1
        if session.unlogged_signal:
            return 128 + session.unlogged_signal
        return 1 if session.fenced else exit_code(state)
    raise OwnedElsewhere(
        f"queue {order.queue_id} was taken over by other machines {MAX_TAKEOVERS} times in a row",
        hint="find out which other machines run `resume --from-s3`",
    )


def _open_session(
    order: RunRequest,
    roots: Roots,
    paths: QueuePaths,
    launcher: ProcessLauncher,
    report: Reporter,
    nonce: str,
    against: str,
    died: str,
) -> tuple[RunRequest, Session]:
    """Open a session; a damaged log is restored from its copy first.

    Returns:
        The session and its order, which changes if the damaged log was put aside.

    Raises:
        CorruptLog: The log cannot be restored, or the order does not allow it.
    """
    try:
        return order, Session(order, roots, paths, launcher, report, nonce, against, died)
    except UnreadableEvent:
        raise  # written by a newer version, not damaged
    except CorruptLog as error:
        if order.task == "run":
            raise
        damage = error
    place = place_of_copy(order, paths.events, detect_instance(os.environ), roots.objects)
    store = open_place(place, roots.objects)
    try:
        events, kept = rebuild(paths.events, order.queue_id, store)
    except StoreError as error:
        raise error.with_what(f"{damage.what}, and {error.what}") from error
    except CorruptLog as error:
        if isinstance(error, NoCopy) or not (order.from_s3 and order.force):
            raise _unrestored(order.queue_id, damage, error) from None
        kept = queues.put_aside(paths, newest_epoch(paths.folder), "damaged")
        queues.create_folder(roots, order.queue_id)
        lock.acquire(paths.lock)  # held until this process ends, as is the one that was put aside
        _redirect_stderr(paths.runner_log)
        _say(f"{damage}; it cannot be restored: {error}; the old folder is kept as {kept}", report)
        order = structs.replace(
            order,
            no_s3=place.bucket is None,
            bucket=place.bucket,
            prefix=place.prefix,
            region=place.region,
        )
    else:
        text = f"{damage}; {events} events were restored from {store.location}"
        _say(text + f"; the damaged log is kept in {kept}" * kept.exists(), report)
    return order, Session(order, roots, paths, launcher, report, nonce, against, died)


def _unrestored(queue_id: str, damage: CorruptLog, error: CorruptLog) -> CorruptLog:
    hint = (
        f"`spawn queue resume {queue_id} --from-s3 --force` continues from the copy; later events "
        "are lost, and jobs may run again"
    )
    if isinstance(error, NoCopy):
        hint = "restore the log from a backup"
    why = joined(damage.why, f"it cannot be restored from its copy: {error}")
    return CorruptLog(damage.what, seq=damage.seq, why=why, hint=hint)


def _put_aside(paths: QueuePaths, epoch: int, report: Callable[[RunnerMessage], None]) -> None:
    """Rename the folder of a queue that another runner owns."""
    kept = queues.put_aside(paths, epoch)
    _say(f"another runner owns the queue; the local folder is kept as {kept}", report)


def _say(text: str, report: Callable[[RunnerMessage], None]) -> None:
    print(text, file=sys.stderr, flush=True)
    report(WarningMessage(text))


def _redirect_stderr(path: Path) -> None:
    """Redirect stderr to the queue's `runner.log`."""
    fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(fd, 2)
    os.close(fd)


def _runner_alive(order: RunRequest) -> RunnerAlive:
    return RunnerAlive(
        f"queue {order.queue_id} is being run by another process",
        hint=f"`spawn queue status {order.queue_id}` shows it",
    )
