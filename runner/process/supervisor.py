"""The process that runs one attempt at a time and outlives the runner.

The zygote forks it. It forks the command's process, waits for an order, prepares the attempt, holds
the command at the gate until `Go`, saves its output, stops it on request and writes a record. Then
it starts over, as long as its runner is connected. Its lock on the attempt's folder shows that it
is alive.
"""

import os
import select
import signal
import socket
import time
from contextlib import suppress
from typing import NoReturn

from spawn.core.domain.attempt_exit import AttemptExit, StopCause
from spawn.runner.process import process_tree
from spawn.runner.process.command import become_subreaper, execute
from spawn.runner.process.output import Output
from spawn.runner.process.supervisor_protocol import (
    AttemptEnded,
    Go,
    Order,
    PrepareFailed,
    Ready,
    Stop,
    pack,
    receive,
    send,
)
from spawn.runner.process.supervisor_socket import accept, listen
from spawn.store.failpoints import mark
from spawn.store.queue_dir import lock, record

DRAIN_SECONDS = 1.0
"""How long to wait for output after the command's end."""

LEAVE_SECONDS = 1.0
"""How long to wait for processes of another user, which cannot be killed, to end by themselves."""
_CHUNK = 256 * 1024
_CHANNEL = 3


def supervise(channel_fd: int) -> NoReturn:
    """Execute the orders that arrive on the socket `channel_fd`, and exit."""
    status = 1
    try:
        channel = _detach(channel_fd)
        while True:
            try:
                command = _Command()
            except OSError as error:  # out of processes or descriptors
                send(channel, PrepareFailed(why=str(error)))
                break
            mark("supervisor.forked")
            order = _next_order(channel)
            if order is None or not _run_order(channel, order, command):
                break
        status = 0
    except BaseException:  # a forked process must not return to the zygote's code
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)  # closes the gate: a command that waits there exits


def _next_order(channel: socket.socket) -> Order | None:
    """Wait for an order; skip a stop that came too late for the previous attempt."""
    while (message := receive(channel)) is not None:
        if isinstance(message, Order):
            mark("supervisor.ordered")
            return message
    return None


def _detach(channel_fd: int) -> socket.socket:
    """Close all descriptors of the zygote except the channel and stderr."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    if channel_fd != _CHANNEL:
        os.dup2(channel_fd, _CHANNEL, inheritable=False)
    os.closerange(_CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    become_subreaper()
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=_CHANNEL)


def _run_order(channel: socket.socket, order: Order, command: "_Command") -> bool:
    """Execute an order; returns whether there may be another."""
    try:
        attempt = _Attempt(channel, order, command)
    except OSError as error:
        _remove(order.folder)
        send(channel, PrepareFailed(why=str(error)))
        return False
    return attempt.run()


class _Command:
    """The process of a command. It is forked in advance, and waits at the gate."""

    def __init__(self) -> None:
        self.signals = _signal_pipe()
        gate, self._gate = os.pipe()
        out, err = os.pipe(), os.pipe()
        # Block signals until the child has reset its handlers: ours would swallow them.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.pid = os.fork()
        if self.pid == 0:
            execute(gate=gate, stdout=out[1], stderr=err[1])
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for fd in (gate, out[1], err[1]):
            os.close(fd)
        for fd in (out[0], err[0]):
            os.set_blocking(fd, False)
        self.pipes = {out[0]: 0, err[0]: 1}

    def send_order(self, order: Order) -> None:
        """Send the order to the process.

        Raises:
            OSError: The process has ended.
        """
        data = pack(order)
        while data:
            data = data[os.write(self._gate, data) :]

    def go(self) -> None:
        """Open the gate."""
        with suppress(BrokenPipeError):  # a process that has ended is reaped like any other
            os.write(self._gate, pack(Go()))
        os.close(self._gate)

    def dismiss(self) -> None:
        """Close the gate: the process exits without executing the command."""
        os.close(self._gate)
        os.waitpid(self.pid, 0)


class _Attempt:
    """An attempt, from the creation of its folder to its record."""

    def __init__(self, channel: socket.socket, order: Order, command: _Command) -> None:
        self._channel = channel
        self._listener = listen(order.token)
        self._runners = {channel.fileno(): channel}
        self._order = order
        self._command = command
        _create_attempt_folder(order.folder)
        held = lock.acquire(f"{order.folder}/lock")
        assert held is not None, "the folder is new"
        self._lock = held  # not inherited: the command was forked before
        self._record = record.preallocate(f"{order.folder}/record")
        mark("supervisor.folder")
        self._output = Output(order.folder, order.job_log)
        self._stop_cause: StopCause | None = None
        self._kill_at: float | None = None
        self._exit: tuple[int, float, int] | None = None
        self._unended: tuple[int, ...] = ()
        self._signals = command.signals
        self._pipes = command.pipes
        command.send_order(order)
        send(
            channel,
            Ready(pid=command.pid, supervisor=os.getpid(), log_offset=self._output.offset),
        )
        mark("supervisor.ready")

    def run(self) -> bool:
        """Wait for `Go`, run the command to its end, and write the record.

        Returns:
            Whether this supervisor may take another order.
        """
        if not isinstance(receive(self._channel), Go):
            self._command.dismiss()
            self._finish(AttemptExit(exit_code=0, started=False))
            return False
        began = time.monotonic()
        self._command.go()
        mark("supervisor.went")
        if self._output.open_job_log():
            _link_log(self._order.job_log_link, self._order.job_log)
        self._wait(began)
        mark("supervisor.ended")
        wall = time.monotonic() - began
        self._kill_rest()
        mark("supervisor.swept")
        self._drain()
        self._output.close()
        mark("supervisor.drained")
        # A command of another user may still run, without a status. Its attempt ends with SIGKILL.
        status, cpu, peak = self._exit or (signal.SIGKILL, 0.0, 0)
        code = os.waitstatus_to_exitcode(status)
        self._finish(
            AttemptExit(
                exit_code=code if code >= 0 else 128 - code,
                signal=_signal_name(-code) if code < 0 else None,
                stop=self._stop_cause,
                wall_seconds=round(wall, 3),
                cpu_seconds=round(cpu, 3),
                peak_memory_bytes=peak,
                output_dropped_bytes=self._output.dropped,
                unended=self._unended,
            )
        )
        if self._unended:
            return False  # these descendants would count as part of the next attempt
        return self._channel.fileno() in self._runners

    def _wait(self, began: float) -> None:
        """Handle output, signals and messages until the command has ended."""
        poll = select.poll()
        for fd in (*self._pipes, self._signals, self._listener.fileno(), *self._runners):
            poll.register(fd, select.POLLIN)
        timeout = self._order.timeout
        deadline = None if timeout is None else began + timeout
        while True:
            self._reap()
            if self._exit is not None and not self._in_grace():
                return
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                self._stop("timeout", self._order.kill_grace)
                deadline = None
            if self._kill_at is not None and now >= self._kill_at:
                killed, refused = process_tree.signal_all(os.getpid(), signal.SIGKILL)
                if refused and not any(map(process_tree.is_alive, killed)):
                    return  # only processes of another user are left
                self._kill_at = now + 0.1  # again: a process may have forked meanwhile
            next_at = min((t for t in (deadline, self._kill_at) if t is not None), default=None)
            # `poll` takes 31 bits of milliseconds: split a timeout of weeks.
            wait = None if next_at is None else min(max(0.0, next_at - now), 3600) * 1000 + 1
            for fd, _ in poll.poll(wait):
                if fd in self._pipes:
                    if not self._read(fd):
                        poll.unregister(fd)
                elif fd == self._signals:
                    if signal.SIGTERM in os.read(fd, 4096):
                        self._stop("host", self._order.kill_grace)
                elif fd == self._listener.fileno():
                    runner = accept(self._listener)
                    if runner is not None:
                        self._runners[runner.fileno()] = runner
                        poll.register(runner, select.POLLIN)
                else:
                    message = receive(self._runners[fd])
                    if message is None:
                        poll.unregister(fd)  # this runner has died; the attempt continues
                        self._runners.pop(fd).close()
                    elif isinstance(message, Stop):
                        self._stop(message.cause, message.grace)

    def _in_grace(self) -> bool:
        """Whether descendants of a stopped command are still within `kill_grace`."""
        return self._stop_cause is not None and any(process_tree.descendants(os.getpid()))

    def _stop(self, cause: StopCause, grace: float) -> None:
        """Start to stop the attempt; the first cause and the shortest grace apply."""
        kill_at = time.monotonic() + grace
        if self._stop_cause is None:
            mark("supervisor.stopping")
            self._stop_cause = cause
            with suppress(OSError):  # keeps the cause if this process dies now
                killed = AttemptExit(exit_code=137, signal="SIGKILL", stop=cause, observed=False)
                record.write(self._record, self._order.token, killed)
            process_tree.signal_all(os.getpid(), signal.SIGTERM, signal.SIGCONT)
            mark("supervisor.stopped")
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)

    def _reap(self) -> None:
        """Reap all ended children, including adopted orphans."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._command.pid:
                cpu = usage.ru_utime + usage.ru_stime
                self._exit = (status, cpu, usage.ru_maxrss * 1024)

    def _kill_rest(self) -> None:
        """Kill the processes that the command has left; note those of another user."""
        until = time.monotonic() + LEAVE_SECONDS
        while True:
            killed, refused = process_tree.signal_all(os.getpid(), signal.SIGKILL)
            if not killed and not refused:
                return
            if not refused:
                with suppress(ChildProcessError):
                    os.waitpid(-1, 0)
            elif time.monotonic() >= until and not any(map(process_tree.is_alive, killed)):
                self._unended = tuple(sorted(refused))
                return
            else:
                time.sleep(0.01)  # `waitpid` could wait for one that cannot be killed
            self._reap()

    def _drain(self) -> None:
        """Read the output that is still in the pipes."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._pipes:
            ready, _, _ = select.select(list(self._pipes), [], [], max(0, until - time.monotonic()))
            if not ready:
                return
            for fd in ready:
                self._read(fd)

    def _read(self, fd: int) -> bool:
        """Save a chunk of output; returns whether there may be more."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if data:
            self._output.write(self._pipes[fd], data)
            return True
        del self._pipes[fd]
        os.close(fd)
        return False

    def _finish(self, exit_: AttemptExit) -> None:
        """Write the record, release the lock, and report to all runners."""
        while True:  # until the record is written: without it a runner would call the job lost
            try:
                record.write(self._record, self._order.token, exit_)
                break
            except OSError:
                time.sleep(1)
        mark("supervisor.recorded")
        self._listener.close()
        for fd in (self._lock, self._record, self._signals, *self._pipes):
            os.close(fd)
        for runner in self._runners.values():
            with suppress(OSError):  # this runner has died
                send(runner, AttemptEnded(tuple(exit_)))
            if runner is not self._channel:
                runner.close()


def _signal_name(number: int) -> str:
    """A signal's name, such as `SIGKILL` or `SIGRTMIN+6`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def _signal_pipe() -> int:
    """Open a descriptor that `poll` wakes for: it receives SIGCHLD and SIGTERM as bytes."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if before >= 0:
        os.close(before)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return read


def _link_log(link: str, target: str) -> None:
    """Point the job log's short path to the newest queue; keep a real file at that path."""
    with suppress(OSError):
        try:
            os.symlink(target, link)
        except FileExistsError:
            if os.readlink(link) == target:  # raises for a real file
                return
            fresh = f"{link}.{os.getpid()}"
            os.symlink(target, fresh)
            os.replace(fresh, link)


def _create_attempt_folder(folder: str) -> None:
    """Create an attempt's folder, but not that of its queue, which a user may have removed.

    Raises:
        OSError: It cannot be created.
    """
    job = os.path.dirname(folder)
    for each in (os.path.dirname(job), job):
        with suppress(FileExistsError):
            os.mkdir(each)
    os.mkdir(folder)


def _remove(folder: str) -> None:
    """Remove the folder of an attempt that could not be prepared."""
    with suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)
