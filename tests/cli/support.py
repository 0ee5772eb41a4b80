"""Run the real `spawn` on an isolated machine."""

import json
import os
import pty
import subprocess
import sysconfig
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import IO, Any

from tests.support import warm
from tests.support.wait import wait_until
from tests.support.warm import SPAWN

from spawn.store.queue_dir import lock
from spawn.store.queue_dir.paths import QueuePaths, Roots, roots

SCRIPTS = sysconfig.get_path("scripts")
SECONDS = 30.0
"""Timeout of a command, which only a hang exceeds."""

GOLDEN = Path(__file__).parent / "golden"

Json = Any
Ended = subprocess.CompletedProcess[str]


class Home:
    """An isolated machine: `SPAWN_HOME` in `folder`, and a working directory beside it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "home"
        self.work = folder / "work"
        self.work.mkdir()
        self._gate = folder / "gate"
        self.environment = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join((SCRIPTS, os.environ.get("PATH", os.defpath))),
            "SPAWN_HOME": str(self.root),
            "TZ": "America/Los_Angeles",
        }

    def __call__(
        self, *arguments: str, stdin: bytes = b"", seconds: float = SECONDS, **environment: str
    ) -> Ended:
        """Run a command to its end, with pipes for its output."""
        done = warm.run(
            [SPAWN, *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.work,
            env=self.environment | environment,
            timeout=seconds,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(arguments, done.returncode, out, err)

    def bash(self, script: str, *, seconds: float = SECONDS, **environment: str) -> Ended:
        """Run a shell script to its end, with `spawn` on its PATH."""
        return subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            cwd=self.work,
            env=self.environment | environment,
            timeout=seconds,
            check=False,
        )

    @contextmanager
    def started(
        self, *command: str, stdout: int | IO[Any] | None = None, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command, any program; the end of the block kills it."""
        with warm.spawn(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.work,
            env=self.environment | environment,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def unread(self, *arguments: str, **environment: str) -> Ended:
        """Run a command with a stdout pipe that is closed before the start."""
        read, write = os.pipe()
        os.close(read)
        try:
            with self.started(SPAWN, *arguments, stdout=write, **environment) as process:
                _, err = process.communicate(timeout=SECONDS)
        finally:
            os.close(write)
        return subprocess.CompletedProcess(arguments, process.returncode, "", err)

    def on_terminal(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a command on a terminal of 100 columns; returns its exit code and its output."""
        keyboard, screen = pty.openpty()
        termios.tcsetwinsize(screen, (40, 100))
        process = warm.spawn(
            [SPAWN, *arguments],
            stdin=screen,
            stdout=screen,
            stderr=screen,
            cwd=self.work,
            env=self.environment | {"TERM": "xterm-256color"} | environment,
        )
        os.close(screen)
        try:
            drawn = b"".join(_until_closed(keyboard))
            return process.wait(SECONDS), drawn.decode()
        finally:
            process.kill()
            process.wait()
            os.close(keyboard)

    def config(self, value: Json, name: str = "queue.json") -> str:
        """Write a configuration, or any bytes; returns the file's name."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        (self.work / name).write_bytes(data)
        return name

    def waiting(self, job_id: str, **fields: Json) -> Json:
        """Return a job that runs until `open_gate`, or at most for a limited time."""
        line = f"for _ in {{1..600}}; do [ -e '{self._gate}' ] && exit; sleep 0.05; done; exit 9"
        return {"job_id": job_id, "command": line, **fields}

    def open_gate(self) -> None:
        """Let all present and future jobs of `waiting` on this machine end."""
        self._gate.touch()

    def status(self, target: str = "local", *flags: str) -> Json:
        """Return the status as JSON."""
        return json.loads(self("queue", "status", target, "--json", *flags).stdout)

    @property
    def roots(self) -> Roots:
        """Folders of this machine."""
        return roots(self.environment)

    def queue(self, queue_id: str) -> QueuePaths:
        """Return the file paths of a queue."""
        return self.roots.queue(queue_id)

    def close(self) -> None:
        """Wait until everything that still runs has ended."""
        self.open_gate()
        locks = [folder / "runner.lock" for folder in self.roots.queues.glob("*")]
        wait_until(
            lambda: not any(map(lock.is_held, locks)), seconds=SECONDS, what="the runners' end"
        )


def chain(home: Home, *job_ids: str) -> Sequence[Json]:
    """Return jobs that wait for the gate and depend on one another."""
    before = [None, *job_ids]
    return [
        home.waiting(job_id, **({"depends_on": [need]} if need else {}))
        for need, job_id in zip(before, job_ids, strict=False)
    ]


def _until_closed(descriptor: int) -> Iterator[bytes]:
    """Return a terminal's output up to the moment at which no process has it open."""
    deadline = time.monotonic() + SECONDS
    while True:
        ready, _, _ = select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, "the terminal was not closed in time"
        try:
            yield os.read(descriptor, 65536)
        except OSError:  # EIO: the last process has closed it
            return
