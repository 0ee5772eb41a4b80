"""Starts attempts: a zygote that forks supervisors, one of them always ready."""

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

from spawn.core.boot import names
from spawn.core.exit import Exit, StopCause
from spawn.core.state import JobState
from spawn.runner.environment import environment, interruption_file
from spawn.runner.interpreter import python
from spawn.runner.messages import Go, Message, Order, Over, Ready, Stop, Unable, receive, send
from spawn.runner.poller import Poller
from spawn.runner.ports import CannotBegin, CannotPrepare, Ended, Happening, Prepared
from spawn.runner.reattach import connect, peer
from spawn.runner.strays import kill_strays
from spawn.runner.threads import keep_running
from spawn.runner.watch import Watch, rouse
from spawn.store import failpoints, lock, record
from spawn.store.durable import sync
from spawn.store.files import replace
from spawn.store.paths import QueuePaths

LOCK_SECONDS = 1.0
"""How often the lock of an attempt that cannot be reached is looked at."""

DISMISS_SECONDS = 5.0
"""How long a supervisor that is sent away may take to say goodbye."""

ANSWER_SECONDS = 10.0
"""How long one may take to prepare an attempt: the loop waits for it."""

MARGIN_SECONDS = 5.0
"""How long an attempt may last beyond its timeout and its grace before its supervisor is ended."""

_HIDDEN = {failpoints.VARIABLE.encode(), names.SERVICE.encode()}
"""What a job is not told: it is for the runner alone."""

IDLE = 2
"""Supervisors that are kept for orders to come: each holds a process at its gate."""


class ProcessLauncher:
    """Launches real processes. Made before the runner opens threads or SQLite.

    Args:
        environ: The runner's environment.
    """

    def __init__(self, environ: Mapping[bytes, bytes]) -> None:
        self._environ = {name: value for name, value in environ.items() if name not in _HIDDEN}
        self._zygote = _Zygote()
        self._idle = [self._zygote.supervisor()]
        self._ahead: dict[tuple[str, int], tuple[socket.socket, Order]] = {}
        self._adopted: set[str] = set()
        self._channels: dict[str, socket.socket] = {}
        self._open: dict[str, tuple[str, int | None]] = {}
        self._watch = Watch()

    def serve(
        self, paths: QueuePaths, queue_id: str, kill_grace: Callable[[], float], poller: Poller
    ) -> None:
        """Say whose attempts these are, and where their ends are waited for.

        Args:
            kill_grace: Asked for each attempt: a new configuration may change it.
        """
        self._paths = paths
        self._queue_id = queue_id
        self._kill_grace = kill_grace
        self._poller = poller
        poller.look(self._look)

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        """See `Launcher.prepare`."""
        ahead = self._ahead.pop((job.config.job_id, attempt), None)
        answer = None
        if ahead is not None:
            channel, order = ahead
            answer = _answer(channel, ANSWER_SECONDS)
            if not _is_silent(channel):  # it was ready long ago, and may have died since
                answer = None
                self._dismiss(channel, order.folder)
        if not isinstance(answer, Ready):
            channel, order = self._order(job, attempt)
            answer = _answer(channel, ANSWER_SECONDS)
        if not isinstance(answer, Ready):
            channel.close()
            self._zygote.rouse()  # it may be stopped
            died = "its supervisor died, or does not answer"
            why = answer.why if isinstance(answer, Unable) else died
            raise CannotPrepare(f"job {job.config.job_id} cannot start now", why=why)
        token = order.token
        self._channels[token] = channel
        self._open[token] = order.folder, answer.pid
        self._watch.add(token, answer.supervisor, _longest(job, order.kill_grace))
        self._poller.watch(channel, lambda: self._over(token))
        return Prepared(
            token=token,
            pid=answer.pid,
            folder=order.folder,
            log_file=order.job_log,
            log_offset=answer.log_offset,
        )

    def foresee(self, job: JobState, attempt: int) -> None:
        """See `Launcher.foresee`. Its supervisor gets the order now, and holds the command."""
        coming = job.config.job_id, attempt
        if coming not in self._ahead:
            with suppress(CannotPrepare, CannotBegin):
                self._ahead[coming] = self._order(job, attempt)
        for other in self._ahead.keys() - {coming}:
            channel, order = self._ahead.pop(other)
            self._dismiss(channel, order.folder)

    def go(self, token: str) -> None:
        """See `Launcher.go`."""
        with suppress(OSError):  # its supervisor died: `Ended` says so
            send(self._channels[token], Go())

    def abandon(self, token: str) -> None:
        """See `Launcher.abandon`."""
        channel = self._channels.pop(token)
        folder, _ = self._open.pop(token)
        self._watch.forget(token)
        self._poller.forget(channel)
        self._dismiss(channel, folder)

    def holds(self, job: JobState) -> bool:
        """See `Launcher.holds`."""
        return self._paths.has(job.folder)

    def adopt(self, job: JobState) -> None:
        """See `Launcher.adopt`."""
        channel = connect(job.token)
        if channel is None:
            self._open[job.token] = job.folder, None
            outwait = partial(
                keep_running, f"wait for {job.token}", lambda: self._outwait(job.token)
            )
            Thread(target=outwait, daemon=True).start()
            return
        self._open[job.token] = job.folder, job.pid
        self._adopted.add(job.token)
        self._channels[job.token] = channel
        self._watch.add(job.token, peer(channel)[0], _longest(job, self._kill_grace()))
        self._poller.watch(channel, lambda: self._over(job.token))

    def warn(self, token: str, deadline: str) -> None:
        """See `Launcher.warn`. The file is there as a whole, or not at all."""
        folder = self._open[token][0]
        replace(interruption_file(folder), f"{deadline}\n".encode(), durable=True)
        sync(folder)

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        """See `Launcher.stop`."""
        with suppress(OSError, KeyError):
            send(self._channels[token], Stop(cause=cause, grace=grace))
            self._watch.hurry(token, grace + MARGIN_SECONDS)

    def end(self, job: JobState, cause: StopCause, grace: float) -> None:
        """End an attempt that is no longer ours to follow, and wait until it is over."""
        channel = connect(job.token)
        if channel is None:
            kill_strays(job.token, None)
            return
        with channel, suppress(OSError):
            send(channel, Stop(cause=cause, grace=grace))
            rouse(peer(channel)[0])
            _answer(channel, grace + DISMISS_SECONDS)

    def close(self) -> None:
        """End the zygote. Supervisors of open attempts live on."""
        for channel, order in self._ahead.values():
            self._dismiss(channel, order.folder)
        for channel in self._idle:
            channel.close()
        self._zygote.close()

    def _order(self, job: JobState, attempt: int) -> tuple[socket.socket, Order]:
        """Hand an order to a supervisor that has nothing to do, or to a new one."""
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
        channel = self._supervisor()
        with suppress(OSError):  # it died: no answer will come
            send(channel, order)
        return channel, order

    def _supervisor(self) -> socket.socket:
        while self._idle:
            channel = self._idle.pop()
            if _is_silent(channel):  # what it has to say before an order is that it cannot
                return channel
            channel.close()
        return self._zygote.supervisor()

    def _dismiss(self, channel: socket.socket, folder: str) -> None:
        """End a supervisor whose command was not let go, and what it made."""
        with channel, suppress(OSError):
            channel.settimeout(DISMISS_SECONDS)
            channel.shutdown(socket.SHUT_WR)
            while channel.recv(1024):
                pass
        rmtree(folder, ignore_errors=True)

    def _over(self, token: str) -> Iterator[Happening]:
        channel = self._channels.pop(token)
        self._watch.forget(token)
        self._poller.forget(channel)
        message = receive(channel)
        if isinstance(message, Over):
            del self._open[token]
            exit_ = Exit(*message.exit)
            if token in self._adopted or exit_.unended or len(self._idle) >= IDLE:
                self._adopted.discard(token)
                channel.close()
            else:
                self._idle.append(channel)
            yield Ended(token, exit_)
        else:
            channel.close()
            yield self._end(token)

    def _look(self) -> Iterator[Happening]:
        """Let whoever of ours was stopped go on."""
        self._zygote.rouse()
        self._watch.look()
        return iter(())

    def _outwait(self, token: str) -> None:
        """Wait for a supervisor that cannot be reached: from another network namespace the lock
        alone tells that it lives."""
        held = Path(self._open[token][0]) / "lock"
        while lock.is_held(held):
            time.sleep(LOCK_SECONDS)
        self._poller.post(self._end(token))

    def _end(self, token: str) -> Ended:
        folder, pid = self._open.pop(token)
        exit_ = record.read(Path(folder) / "record", token)
        if exit_ is not None and exit_.seen:
            return Ended(token, exit_)
        left = kill_strays(token, pid)
        return Ended(token, exit_ and exit_._replace(unended=left), left)


def _answer(channel: socket.socket, seconds: float) -> Message | None:
    """Wait so long for a message; None when none comes."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    try:
        return receive(channel) if poll.poll(seconds * 1000) else None
    except OSError:
        return None


def _longest(job: JobState, grace: float) -> float | None:
    """Seconds after which an attempt that has a timeout is over, if its supervisor is at work."""
    timeout = job.config.timeout
    return None if timeout is None else timeout + grace + MARGIN_SECONDS


def _is_silent(channel: socket.socket) -> bool:
    """Whether the other end is there, and has sent nothing."""
    try:
        channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


class _Zygote:
    """The zygote process, started again when it died."""

    def __init__(self) -> None:
        self._start()

    def supervisor(self) -> socket.socket:
        """Have a supervisor forked; returns the channel to it.

        Raises:
            CannotPrepare: No zygote can be started.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise CannotPrepare("no supervisor can be asked for", why=str(error)) from error
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

    def rouse(self) -> None:
        """Let it go on, should somebody have stopped it."""
        rouse(self._process.pid)

    def close(self) -> None:
        """End the zygote by hanging up."""
        self._requests.close()
        self.rouse()
        self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [*python("spawn.runner.zygote"), str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotPrepare("no process can be started", why=str(error)) from error
        self._requests = ours
