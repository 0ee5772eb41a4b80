"""Starts attempts: a zygote that forks supervisors, one of them always ready."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from threading import Thread

from spawn.core.decide import StopCause
from spawn.core.state import JobState
from spawn.runner import record
from spawn.runner.environment import environment
from spawn.runner.messages import Go, Order, Ready, Stop, Unable, receive, send
from spawn.runner.poller import Poller
from spawn.runner.ports import CannotPrepare, Ended, Happening, Prepared
from spawn.runner.reattach import connect, kill_strays
from spawn.store import lock
from spawn.store.paths import QueuePaths

LOCK_SECONDS = 1.0
"""How often the lock of an attempt that cannot be reached is looked at."""


class ProcessLauncher:
    """Launches real processes. Made before the runner opens threads or SQLite.

    Args:
        environ: The runner's environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._zygote = _Zygote()
        self._spare: socket.socket | None = self._zygote.supervisor()
        self._channels: dict[str, socket.socket] = {}
        self._open: dict[str, tuple[str, int | None]] = {}

    def serve(self, paths: QueuePaths, queue_id: str, kill_grace: float, poller: Poller) -> None:
        """Say whose attempts these are, and where their ends are waited for."""
        self._paths = paths
        self._queue_id = queue_id
        self._kill_grace = kill_grace
        self._poller = poller

    def prepare(self, job: JobState, attempt: int) -> Prepared:
        """See `Launcher.prepare`."""
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
            kill_grace=self._kill_grace,
        )
        channel, answer = self._ask(order)
        if not isinstance(answer, Ready):
            channel.close()
            why = answer.why if isinstance(answer, Unable) else "its supervisor died"
            raise CannotPrepare(f"job {config.job_id} cannot start now", why=why)
        self._channels[token] = channel
        self._open[token] = folder, answer.pid
        self._poller.watch(channel, lambda: self._over(token))
        return Prepared(
            token=token,
            pid=answer.pid,
            folder=folder,
            log_file=order.job_log,
            log_offset=answer.log_offset,
        )

    def go(self, token: str) -> None:
        """See `Launcher.go`."""
        with suppress(OSError):  # its supervisor died: `Ended` says so
            send(self._channels[token], Go())

    def abandon(self, token: str) -> None:
        """See `Launcher.abandon`."""
        channel = self._channels.pop(token)
        folder, _ = self._open.pop(token)
        self._poller.forget(channel)
        with channel, suppress(OSError):
            channel.shutdown(socket.SHUT_WR)
            while channel.recv(1024):
                pass
        rmtree(folder, ignore_errors=True)

    def adopt(self, job: JobState) -> None:
        """See `Launcher.adopt`."""
        channel = connect(job.token)
        if channel is None:
            self._open[job.token] = job.folder, None
            Thread(target=self._outwait, args=(job.token,), daemon=True).start()
            return
        self._open[job.token] = job.folder, job.pid
        self._channels[job.token] = channel
        self._poller.watch(channel, lambda: self._over(job.token))

    def stop(self, token: str, cause: StopCause, grace: float) -> None:
        """See `Launcher.stop`."""
        with suppress(OSError, KeyError):
            send(self._channels[token], Stop(cause=cause, grace=grace))

    def close(self) -> None:
        """End the zygote. Supervisors of open attempts live on."""
        if self._spare is not None:
            self._spare.close()
        self._zygote.close()

    def _ask(self, order: Order) -> tuple[socket.socket, object]:
        """Hand an order to the supervisor that is ready, and have the next one made."""
        channel = self._spare or self._zygote.supervisor()
        self._spare = None
        try:
            send(channel, order)
            answer = receive(channel)
        except OSError:
            answer = None
        with suppress(CannotPrepare):  # then the next one is asked for when it is needed
            self._spare = self._zygote.supervisor()
        return channel, answer

    def _over(self, token: str) -> Iterator[Happening]:
        channel = self._channels.pop(token)
        self._poller.forget(channel)
        channel.close()
        yield self._end(token)

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
        if exit_ is None or not exit_.seen:
            kill_strays(token, pid)
        return Ended(token, exit_)


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

    def close(self) -> None:
        """End the zygote by hanging up."""
        self._requests.close()
        self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "spawn.runner.zygote", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotPrepare("no process can be started", why=str(error)) from error
        self._requests = ours
