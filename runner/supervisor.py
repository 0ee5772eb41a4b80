"""The process that owns one attempt at a time and outlives the runner.

Forked from the zygote. Its life: fork the command's process, wait for an order, prepare, hold the
command at the gate, let it go, keep its output, end it when asked, leave a record; then again, as
long as its runner is there. The lock on the attempt's folder says that it still owns that one.
"""

import os
import select
import signal
import socket
import time
from contextlib import suppress
from typing import NoReturn

from spawn.core.exit import Exit, StopCause
from spawn.runner import tree
from spawn.runner.command import execute
from spawn.runner.messages import Go, Order, Over, Ready, Stop, Unable, pack, receive, send
from spawn.runner.output import Output
from spawn.runner.prctl import become_subreaper
from spawn.runner.reattach import accept, listen
from spawn.store import lock, record
from spawn.store.failpoints import reached

DRAIN_SECONDS = 1.0
"""How long output may keep coming after the command's end."""

LEAVE_SECONDS = 1.0
"""How long processes that we may not end, another user's, have to end with all others."""
_CHUNK = 256 * 1024
_CHANNEL = 3


def supervise(channel_fd: int) -> NoReturn:
    """Be a supervisor: carry out one order of the channel after another, and exit."""
    status = 1
    try:
        channel = _detach(channel_fd)
        while True:
            try:
                command = _Command()
            except OSError as error:  # no process, or no descriptor, to be had
                send(channel, Unable(why=str(error)))
                break
            reached("supervisor.forked")
            order = _next_order(channel)
            if order is None or not _attempt(channel, order, command):
                break
        status = 0
    except BaseException:  # there is nobody above to raise it to
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)  # whoever waits at the gate sees its end, and exits unexecuted


def _next_order(channel: socket.socket) -> Order | None:
    """Wait for an order; a stop that came too late for the attempt before is passed over."""
    while (message := receive(channel)) is not None:
        if isinstance(message, Order):
            reached("supervisor.ordered")
            return message
    return None


def _detach(channel_fd: int) -> socket.socket:
    """Keep the channel and stderr, leave everything else of the zygote behind."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    if channel_fd != _CHANNEL:
        os.dup2(channel_fd, _CHANNEL, inheritable=False)
    os.closerange(_CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    become_subreaper()
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=_CHANNEL)


def _attempt(channel: socket.socket, order: Order, command: "_Command") -> bool:
    """Carry out an order; returns whether there may be another."""
    try:
        attempt = _Attempt(channel, order, command)
    except OSError as error:
        _remove(order.folder)
        send(channel, Unable(why=str(error)))
        return False
    return attempt.run()


class _Command:
    """A process that will be a command. It is forked before anybody needs it, and waits."""

    def __init__(self) -> None:
        self.signals = _signal_pipe()
        gate, self._gate = os.pipe()
        out, err = os.pipe(), os.pipe()
        # Until it has its own signals nothing may reach the child: our handlers would eat it.
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

    def tell(self, order: Order) -> None:
        """Let it know what it will execute.

        Raises:
            OSError: It is gone.
        """
        data = pack(order)
        while data:
            data = data[os.write(self._gate, data) :]

    def go(self) -> None:
        """Open the gate. A command that is gone by now has an end of its own."""
        with suppress(BrokenPipeError):
            os.write(self._gate, pack(Go()))
        os.close(self._gate)

    def dismiss(self) -> None:
        """Close the gate for ever: it exits unexecuted."""
        os.close(self._gate)
        os.waitpid(self.pid, 0)


class _Attempt:
    """One attempt, from its folder to its record."""

    def __init__(self, channel: socket.socket, order: Order, command: _Command) -> None:
        self._channel = channel
        self._listener = listen(order.token)
        self._runners = {channel.fileno(): channel}
        self._order = order
        self._command = command
        os.makedirs(order.folder)
        held = lock.take(f"{order.folder}/lock")
        assert held is not None, "the folder is new"
        self._lock = held  # the command never has it
        self._record = record.preallocate(f"{order.folder}/record")
        reached("supervisor.folder")
        self._output = Output(order.folder, order.job_log)
        self._stop: StopCause | None = None
        self._kill_at: float | None = None
        self._exit: tuple[int, float, int] | None = None
        self._unended: tuple[int, ...] = ()
        self._signals = command.signals
        self._pipes = command.pipes
        command.tell(order)
        send(
            channel,
            Ready(pid=command.pid, supervisor=os.getpid(), log_offset=self._output.offset),
        )
        reached("supervisor.ready")

    def run(self) -> bool:
        """Wait for the word, see the command to its end, leave the record.

        Returns:
            Whether the runner that gave the order is still there.
        """
        if not isinstance(receive(self._channel), Go):
            self._command.dismiss()
            self._leave(Exit(exit_code=0, began=False))
            return False
        began = time.monotonic()
        self._command.go()
        reached("supervisor.went")
        if self._output.begin():
            _point(self._order.job_log_link, self._order.job_log)
        self._watch(began)
        reached("supervisor.ended")
        wall = time.monotonic() - began
        self._sweep()
        reached("supervisor.swept")
        self._drain()
        self._output.close()
        reached("supervisor.drained")
        # A command that we may not end is over for us, and has no status yet: say KILL, as it was.
        status, cpu, peak = self._exit or (signal.SIGKILL, 0.0, 0)
        code = os.waitstatus_to_exitcode(status)
        self._leave(
            Exit(
                exit_code=code if code >= 0 else 128 - code,
                signal=_name(-code) if code < 0 else None,
                stop=self._stop,
                wall_seconds=round(wall, 3),
                cpu_seconds=round(cpu, 3),
                peak_memory_bytes=peak,
                output_dropped_bytes=self._output.dropped,
                unended=self._unended,
            )
        )
        if self._unended:
            return False  # they are below this process, and no part of another attempt
        return self._channel.fileno() in self._runners

    def _watch(self, began: float) -> None:
        """Keep output and signals moving until the command has ended."""
        poll = select.poll()
        for fd in (*self._pipes, self._signals, self._listener.fileno(), *self._runners):
            poll.register(fd, select.POLLIN)
        timeout = self._order.timeout
        deadline = None if timeout is None else began + timeout
        while True:
            self._reap()
            if self._exit is not None and not self._graced():
                return
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                self._end("timeout", self._order.kill_grace)
                deadline = None
            if self._kill_at is not None and now >= self._kill_at:
                killed, refused = tree.signal_all(os.getpid(), signal.SIGKILL)
                if refused and not any(map(tree.is_alive, killed)):
                    return  # who is left is not ours to end, and not to be waited for
                self._kill_at = now + 0.1  # a child may have been born in between
            next_at = min((t for t in (deadline, self._kill_at) if t is not None), default=None)
            # `poll` takes 31 bits of milliseconds: a timeout of weeks is waited for in parts.
            wait = None if next_at is None else min(max(0.0, next_at - now), 3600) * 1000 + 1
            for fd, _ in poll.poll(wait):
                if fd in self._pipes:
                    if not self._read(fd):
                        poll.unregister(fd)
                elif fd == self._signals:
                    if signal.SIGTERM in os.read(fd, 4096):
                        self._end("host", self._order.kill_grace)
                elif fd == self._listener.fileno():
                    runner = accept(self._listener)
                    if runner is not None:
                        self._runners[runner.fileno()] = runner
                        poll.register(runner, select.POLLIN)
                else:
                    message = receive(self._runners[fd])
                    if message is None:
                        poll.unregister(fd)  # that runner is gone; the attempt goes on
                        self._runners.pop(fd).close()
                    elif isinstance(message, Stop):
                        self._end(message.cause, message.grace)

    def _graced(self) -> bool:
        """Whether something below a command that was stopped and ended still has its grace."""
        return self._stop is not None and any(tree.descendants(os.getpid()))

    def _end(self, cause: StopCause, grace: float) -> None:
        """Begin to end the attempt; the first cause stands, a shorter grace counts."""
        kill_at = time.monotonic() + grace
        if self._stop is None:
            reached("supervisor.stopping")
            self._stop = cause
            with suppress(OSError):  # should we die now, why the attempt ended is still known
                killed = Exit(exit_code=137, signal="SIGKILL", stop=cause, seen=False)
                record.write(self._record, self._order.token, killed)
            tree.signal_all(os.getpid(), signal.SIGTERM, signal.SIGCONT)
            reached("supervisor.stopped")
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)

    def _reap(self) -> None:
        """Reap what has ended, orphans that were adopted included."""
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

    def _sweep(self) -> None:
        """Kill whatever the command left behind; nothing of an attempt outlives it, but for
        processes of another user: those are named."""
        until = time.monotonic() + LEAVE_SECONDS
        while True:
            killed, refused = tree.signal_all(os.getpid(), signal.SIGKILL)
            if not killed and not refused:
                return
            if not refused:
                with suppress(ChildProcessError):
                    os.waitpid(-1, 0)
            elif time.monotonic() >= until and not any(map(tree.is_alive, killed)):
                self._unended = tuple(sorted(refused))
                return
            else:
                time.sleep(0.01)  # a wait for children might be for one that we may not end
            self._reap()

    def _drain(self) -> None:
        """Take the output that is still in the pipes."""
        until = time.monotonic() + DRAIN_SECONDS
        while self._pipes:
            ready, _, _ = select.select(list(self._pipes), [], [], max(0, until - time.monotonic()))
            if not ready:
                return
            for fd in ready:
                self._read(fd)

    def _read(self, fd: int) -> bool:
        """Move a chunk of output; returns whether there may be more."""
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

    def _leave(self, exit_: Exit) -> None:
        """Write the record, however long that takes, and tell; without it the lock stays held."""
        while True:
            try:
                record.write(self._record, self._order.token, exit_)
                break
            except OSError:
                time.sleep(1)
        reached("supervisor.recorded")
        self._listener.close()
        for fd in (self._lock, self._record, self._signals, *self._pipes):
            os.close(fd)
        for runner in self._runners.values():
            with suppress(OSError):  # that runner is gone
                send(runner, Over(tuple(exit_)))
            if runner is not self._channel:
                runner.close()


def _name(number: int) -> str:
    """A signal's name: `SIGKILL`, `SIGRTMIN+6`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def _signal_pipe() -> int:
    """Turn SIGCHLD and SIGTERM into bytes on a descriptor, so that `poll` wakes for them."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if before >= 0:
        os.close(before)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return read


def _point(link: str, target: str) -> None:
    """Let the short path lead to the newest queue's log. A real file in its place stays."""
    with suppress(OSError):
        try:
            os.symlink(target, link)
        except FileExistsError:
            if os.readlink(link) == target:  # raises where it is a real file
                return
            fresh = f"{link}.{os.getpid()}"
            os.symlink(target, fresh)
            os.replace(fresh, link)


def _remove(folder: str) -> None:
    """Take away what was made of an attempt that cannot be."""
    with suppress(OSError):
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)
