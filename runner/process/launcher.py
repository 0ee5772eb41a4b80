"""Starts attempts: runs the zygote, which forks supervisors, and gives orders to supervisors."""

import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from threading import Thread

from spawn.core.domain.attempt_exit import AttemptExit, StopCause
from spawn.core.domain.state import JobState
from spawn.runner.interpreter import python_command
from spawn.runner.poller import Poller
from spawn.runner.ports import CannotPrepare, CannotStart, Ended, LoopMessage, Prepared
from spawn.runner.process.environment import environment, interruption_file
from spawn.runner.process.stray_processes import kill_attempt
from spawn.runner.process.supervisor_protocol import (
    AttemptEnded,
    Go,
    Message,
    Order,
    PrepareFailed,
    Ready,
    Stop,
    receive,
    send,
)
from spawn.runner.process.supervisor_socket import connect, peer
from spawn.runner.process.supervisor_watchdog import SupervisorWatchdog, resume
from spawn.runner.threads import keep_running
from spawn.store import failpoints
from spawn.store.aws.boot import locations
from spawn.store.files import flush_to_disk, replace_file
from spawn.store.queue_dir import lock, record
from spawn.store.queue_dir.paths import QueuePaths

LOCK_SECONDS = 1.0
"""Poll interval for the lock of an attempt whose supervisor cannot be reached."""

DISMISS_SECONDS = 5.0
"""Timeout for a dismissed supervisor to hang up."""

ANSWER_SECONDS = 10.0
"""Timeout for a supervisor to prepare an attempt, which blocks the loop."""

MARGIN_SECONDS = 5.0
"""Time beyond its timeout and grace after which an attempt's supervisor is killed."""

_HIDDEN = {failpoints.VARIABLE.encode(), locations.SERVICE_VARIABLE.encode()}
"""Variables for the runner only, which jobs do not get."""

MAX_IDLE = 2
"""Supervisors kept for the next orders; each holds a process at its gate."""


class ProcessLauncher:
    """A `Launcher` of processes. Create it before any thread and any SQLite connection.

    Args:
        environ: The runner's environment.
    """

    def __init__(self, environ: Mapping[bytes, bytes]) -> None:
        self._environ = {name: value for name, value in environ.items() if name not in _HIDDEN}
        self._zygote = _Zygote()
        self._idle = [self._zygote.fork_supervisor()]
        self._foreseen: dict[tuple[str, int], tuple[socket.socket, Order]] = {}
        self._adopted: set[str] = set()
        self._channels: dict[str, socket.socket] = {}
        self._open: dict[str, tuple[str, int | None]] = {}
        self._watch = SupervisorWatchdog()

    def serve(
        self, paths: QueuePaths, queue_id: str, kill_grace: Callable[[], float], poller: Poller
    ) -> None:
        """Set the queue whose attempts this launches, and the poller that reports their ends.

        Args:
            kill_grace: Called for each attempt, because a new configuration may change it.
        """
        self._paths = paths
        self._queue_id = queue_id
        self._kill_grace = kill_grace
        self._poller = poller
        poller.poll_regularly(self._resume_stopped)

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        """Hold an attempt's command at the gate, by a supervisor that already does if possible."""
        foreseen = self._foreseen.pop((job.config.job_id, attempt), None)
        answer = None
        if foreseen is not None:
            channel, order = foreseen
            answer = _answer(channel, ANSWER_SECONDS)
            if not _is_open_and_silent(channel):  # the supervisor may have died since it was ready
                answer = None
                self._dismiss(channel, order.folder)
        if not isinstance(answer, Ready):
            channel, order = self._send_order(job, attempt)
            answer = _answer(channel, ANSWER_SECONDS)
        if not isinstance(answer, Ready):
            channel.close()
            self._zygote.resume()  # a job may have stopped it
            died = "its supervisor died or does not respond"
            why = answer.why if isinstance(answer, PrepareFailed) else died
            raise CannotPrepare(f"job {job.config.job_id} cannot start now", why=why)
        token = order.token
        self._channels[token] = channel
        self._open[token] = order.folder, answer.pid
        self._watch.add(token, answer.supervisor, _max_seconds(job, order.kill_grace))
        self._poller.watch(channel, lambda: self._receive_end(token))
        return Prepared(
            token=token,
            pid=answer.pid,
            folder=order.folder,
            log_file=order.job_log,
            log_offset=answer.log_offset,
        )

    def foresee(self, job: JobState, attempt: int) -> None:
        """Send the order to a supervisor now, so that `prepare` need not wait for it."""
        key = job.config.job_id, attempt
        if key not in self._foreseen:
            with suppress(CannotPrepare, CannotStart):
                self._foreseen[key] = self._send_order(job, attempt)
        for other in self._foreseen.keys() - {key}:
            channel, order = self._foreseen.pop(other)
            self._dismiss(channel, order.folder)

    def open_gate(self, token: str) -> None:
        """Open the gate."""
        with suppress(OSError):  # the supervisor died: `Ended` reports it
            send(self._channels[token], Go())

    def abandon(self, token: str) -> None:
        """Drop a prepared attempt and its folder."""
        channel = self._channels.pop(token)
        folder, _ = self._open.pop(token)
        self._watch.forget(token)
        self._poller.forget(channel)
        self._dismiss(channel, folder)

    def ran_here(self, job: JobState) -> bool:
        """Whether the attempt's folder is in this queue's folder."""
        return self._paths.has(job.folder)

    def adopt(self, job: JobState) -> None:
        """Connect to the attempt's supervisor; wait for its lock if that fails."""
        channel = connect(job.token)
        if channel is None:
            self._open[job.token] = job.folder, None
            wait = partial(
                keep_running, f"wait for {job.token}", lambda: self._wait_for_lock(job.token)
            )
            Thread(target=wait, daemon=True).start()
            return
        self._open[job.token] = job.folder, job.pid
        self._adopted.add(job.token)
        self._channels[job.token] = channel
        self._watch.add(job.token, peer(channel)[0], _max_seconds(job, self._kill_grace()))
        self._poller.watch(channel, lambda: self._receive_end(job.token))

    def warn(self, token: str, deadline: str) -> None:
        """Write the deadline to the attempt's interruption file, atomically."""
        folder = self._open[token][0]
        replace_file(interruption_file(folder), f"{deadline}\n".encode(), durable=True)
        flush_to_disk(folder)

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        """Send the stop to the attempt's supervisor."""
        with suppress(OSError, KeyError):
            send(self._channels[token], Stop(cause=cause, grace=grace))
            self._watch.limit(token, grace + MARGIN_SECONDS)

    def end(self, job: JobState, cause: StopCause, grace: float) -> None:
        """End an attempt that is neither prepared nor adopted here, and wait until it is over."""
        channel = connect(job.token)
        if channel is None:
            kill_attempt(job.token, None)
            return
        with channel, suppress(OSError):
            send(channel, Stop(cause=cause, grace=grace))
            resume(peer(channel)[0])
            _answer(channel, grace + DISMISS_SECONDS)

    def close(self) -> None:
        """End the zygote and idle supervisors; supervisors of open attempts keep running."""
        for channel, order in self._foreseen.values():
            self._dismiss(channel, order.folder)
        for channel in self._idle:
            channel.close()
        self._zygote.close()

    def _send_order(self, job: JobState, attempt: int) -> tuple[socket.socket, Order]:
        """Send an order to an idle or new supervisor; returns the channel to it."""
        token = token_hex(8)
        config = job.config
        folder = str(self._paths.attempt(config.job_id, attempt, token))
        log = self._paths.job_log(config.job_id)
        order = Order(
            token=token,
            folder=folder,
            job_log=str(log),
            job_log_link=str(log.parent.parent / log.name),
            command=config.command,
            working_directory=config.working_directory,
            environment=environment(
                self._environ,
                config.environment,
                queue_id=self._queue_id,
                job_id=config.job_id,
                attempt=attempt,
                folder=folder,
                token=token,
            ),
            timeout=config.timeout,
            kill_grace=self._kill_grace(),
        )
        channel = self._idle_supervisor()
        with suppress(OSError):  # the supervisor died: no answer will come
            send(channel, order)
        return channel, order

    def _idle_supervisor(self) -> socket.socket:
        while self._idle:
            channel = self._idle.pop()
            if _is_open_and_silent(channel):  # before an order it can only send `Unable`
                return channel
            channel.close()
        return self._zygote.fork_supervisor()

    def _dismiss(self, channel: socket.socket, folder: str) -> None:
        """End a supervisor whose command is still at the gate, and remove the attempt's folder."""
        with channel, suppress(OSError):
            channel.settimeout(DISMISS_SECONDS)
            channel.shutdown(socket.SHUT_WR)
            while channel.recv(1024):
                pass
        rmtree(folder, ignore_errors=True)

    def _receive_end(self, token: str) -> Iterator[LoopMessage]:
        channel = self._channels.pop(token)
        self._watch.forget(token)
        self._poller.forget(channel)
        message = receive(channel)
        if isinstance(message, AttemptEnded):
            del self._open[token]
            exit_ = AttemptExit(*message.exit)
            if token in self._adopted or exit_.unended or len(self._idle) >= MAX_IDLE:
                self._adopted.discard(token)
                channel.close()
            else:
                self._idle.append(channel)
            yield Ended(token, exit_)
        else:
            channel.close()
            yield self._read_end(token)

    def _resume_stopped(self) -> Iterator[LoopMessage]:
        """Resume the zygote and supervisors that were stopped by a signal."""
        self._zygote.resume()
        self._watch.resume_stopped()
        return iter(())

    def _wait_for_lock(self, token: str) -> None:
        """Wait for a supervisor that cannot be reached: one in another network namespace shows only
        by its lock that it is alive."""
        held = Path(self._open[token][0]) / "lock"
        while lock.is_held(held):
            time.sleep(LOCK_SECONDS)
        self._poller.post(self._read_end(token))

    def _read_end(self, token: str) -> Ended:
        """The end of an attempt whose supervisor has ended; kills the processes it left."""
        folder, pid = self._open.pop(token)
        exit_ = record.read(Path(folder) / "record", token)
        if exit_ is not None and exit_.observed:
            return Ended(token, exit_)
        left = kill_attempt(token, pid)
        return Ended(token, exit_ and exit_._replace(unended=left), left)


def _answer(channel: socket.socket, seconds: float) -> Message | None:
    """Wait up to `seconds` for a message; None if none arrives."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    try:
        return receive(channel) if poll.poll(seconds * 1000) else None
    except OSError:
        return None


def _max_seconds(job: JobState, grace: float) -> float | None:
    """Seconds within which a working supervisor ends an attempt; None without a timeout."""
    timeout = job.config.timeout
    return None if timeout is None else timeout + grace + MARGIN_SECONDS


def _is_open_and_silent(channel: socket.socket) -> bool:
    """Whether the other end is open and has sent nothing."""
    try:
        channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


class _Zygote:
    """The zygote process, restarted when it has died."""

    def __init__(self) -> None:
        self._start()

    def fork_supervisor(self) -> socket.socket:
        """Fork a supervisor; returns the channel to it.

        Raises:
            CannotPrepare: The zygote cannot be started or reached.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise CannotPrepare("a supervisor cannot be started", why=str(error)) from error
        with theirs:
            try:
                socket.send_fds(self._requests, [b"f"], [theirs.fileno()])
            except OSError:
                self.close()
                self._start()
                try:
                    socket.send_fds(self._requests, [b"f"], [theirs.fileno()])
                except OSError as error:
                    raise CannotPrepare("the zygote cannot be reached", why=str(error)) from error
        return ours

    def resume(self) -> None:
        """Resume the zygote if a signal has stopped it."""
        resume(self._process.pid)

    def close(self) -> None:
        """End the zygote by closing its channel."""
        self._requests.close()
        self.resume()
        self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*python_command("spawn.runner.process.zygote"), str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotPrepare("the zygote cannot be started", why=str(error)) from error
        self._requests = ours
