"""Real sshds on loopback with temporary keys, and a configuration that maps an instance's id to
them."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from tests.support.wait import wait_until

INSTANCE = "i-0123456789abcdef0"
SSHD = "/usr/sbin/sshd"
NEEDED = ("ssh", "ssh-keygen", "ssh-agent", "ssh-add")
ME = pwd.getpwuid(os.getuid()).pw_name


def missing() -> str:
    """Return the missing program; empty if all are present."""
    if not os.access(SSHD, os.X_OK):
        return "sshd"
    return next((name for name in NEEDED if shutil.which(name) is None), "")


def keygen(path: Path, kind: str = "ed25519", *, passphrase: str = "", form: str = "") -> Path:
    """Create a key pair; returns the file of the private key."""
    more = ["-m", form] if form else []
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, *more]
    subprocess.run([*command, "-f", str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def public(key: Path) -> str:
    """Return the public key: type, key and comment."""
    return key.with_name(f"{key.name}.pub").read_text().strip()


class Sshd:
    """One sshd. `lines` are added at the top of its configuration, and take precedence.

    Args:
        folder: For its files.
        kinds: Types of its host keys.
        host: A loopback address.
        port: 0 for an unused one.
    """

    def __init__(
        self,
        folder: Path,
        lines: Sequence[str] = (),
        kinds: Sequence[str] = ("ed25519",),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host
        self._given = port != 0
        self.port = port or low_port()
        self.host_keys = {kind: folder / f"host_{kind}" for kind in kinds}
        for kind, path in self.host_keys.items():
            if not path.exists():
                keygen(path, kind)
        self.authorized = folder / "authorized_keys"
        self.authorized.touch()
        self.log = folder / "sshd.log"
        self.lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run until `stop`; always on the same port."""
        while True:
            self._run()
            try:
                wait_until(self._decided, seconds=30, what="sshd listens")
            except AssertionError as error:
                raise AssertionError(self.log.read_text()) from error
            if self._process is not None and self._process.poll() is None:
                self._given = True
                return
            text = self.log.read_text()
            assert "Address already in use" in text, text
            assert not self._given, text  # another process was faster
            self.port = low_port()

    def _run(self) -> None:
        config = self.folder / "sshd_config"
        keys = [f"HostKey {path}" for path in self.host_keys.values()]
        lines = [
            *self.lines,
            f"Port {self.port}",
            f"ListenAddress {self.host}",
            *keys,
            f"AuthorizedKeysFile {self.authorized}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
            "PrintLastLog no",
            "MaxStartups 100",
            "LogLevel VERBOSE",
        ]
        config.write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"]},
                start_new_session=True,
            )

    def stop(self) -> None:
        """Kill the sshd and all its connections."""
        if self._process is None:
            return
        main = self._process.pid
        # A child that is being forked would hold the port for a moment.
        with contextlib.suppress(ProcessLookupError):
            os.kill(main, signal.SIGSTOP)
        wait_until(lambda: _state(main) in "TZX", what="sshd stands still")
        children = _children(main)
        for pid in [*children, main]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        wait_until(lambda: all(_state(pid) in "ZX" for pid in children), what="its children end")

    def cut(self) -> None:
        """Kill its connections, and continue to listen."""
        assert self._process is not None
        for pid in _children(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def allow(self, *keys: Path) -> None:
        """Authorize these keys."""
        with open(self.authorized, "a") as file:
            file.writelines(f"{public(key)}\n" for key in keys)

    def known_hosts_line(self, name: str, kind: str = "ed25519") -> str:
        """Return the `known_hosts` line of its key under a name."""
        words = public(self.host_keys[kind]).split()
        return f"{name} {words[0]} {words[1]}\n"

    def logins(self) -> int:
        """Return the number of logins so far."""
        return self.log.read_text().count("Accepted publickey")

    def _decided(self) -> bool:
        """Whether it has exited, or listens: this one, not another process on its port."""
        assert self._process is not None
        return self._process.poll() is not None or self._pid_listens(self._process.pid)

    def _pid_listens(self, pid: int) -> bool:
        number = int.from_bytes(socket.inet_aton(self.host), sys.byteorder)
        address = f"{number:08X}:{self.port:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == address and fields[3] == "0A":
                return f"socket:[{fields[9]}]" in _sockets(pid)
        return False


def _sockets(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return found


def low_port() -> int:
    """Return an unused port below those that the kernel chooses for outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def _children(pid: int) -> list[int]:
    """Return all descendants of a process, deepest first."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                child = int(path.parent.name)
                found += [*_children(child), child]
    return found


def _state(pid: int) -> str:
    """Return a process's state as in proc(5); X if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


@contextmanager
def sshd(
    folder: Path,
    *lines: str,
    kinds: Sequence[str] = ("ed25519",),
    allow: Sequence[Path] = (),
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[Sshd]:
    """A running sshd that accepts some keys."""
    made = Sshd(folder, lines, kinds, host=host, port=port)
    made.allow(*allow)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[Path]:
    """An agent with some keys; yields its socket."""
    path = folder / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(path.exists, what="the agent's socket is there")
        if keys:
            subprocess.run(
                ["ssh-add", "-q", *map(str, keys)],
                check=True,
                env={**os.environ, "SSH_AUTH_SOCK": str(path)},
                stdin=subprocess.DEVNULL,
            )
        yield path
    finally:
        process.kill()
        process.wait()


class SshUser(Struct, frozen=True):
    """The user's side: an SSH configuration, `known_hosts`, a key; isolated from the real ones."""

    folder: Path
    key: Path

    @property
    def config(self) -> Path:
        """The SSH configuration that is used instead of the developer's."""
        return self.folder / "config"

    @property
    def known_hosts(self) -> Path:
        """The user's known_hosts."""
        return self.folder / "known_hosts"

    @property
    def environ(self) -> dict[str, str]:
        """Environment that makes all of this apply."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "SPAWN_HOME": str(self.folder / "spawn"),
            "SPAWN_SSH_CONFIG": str(self.config),
        }

    def configure(self, text: str, *, key: Path | None = None) -> None:
        """Write the SSH configuration: `text`, and settings that isolate it."""
        self.config.write_text(
            f"{text}\nHost *\n"
            f"    UserKnownHostsFile {self.known_hosts}\n"
            "    GlobalKnownHostsFile /dev/null\n"
            f"    IdentityFile {key or self.key}\n"
            "    IdentityAgent none\n"
        )

    def map_id_to(self, *servers: Sshd, more: str = "") -> None:
        """Map the instance's id to the last of these servers, with the others as jump hosts."""
        *jumps, last = servers
        text = f"Host {INSTANCE}\n    HostName 127.0.0.1\n    Port {last.port}\n    User {ME}\n"
        text += f"    {more}\n"
        if jumps:
            names = ",".join(f"jump-{number}" for number in range(len(jumps)))
            text += f"    ProxyJump {names}\n"
        for number, jump in enumerate(jumps):
            text += f"Host jump-{number}\n    HostName 127.0.0.1\n    Port {jump.port}\n"
            text += f"    User {ME}\n"
        self.configure(text)

    def add_known_hosts(self, *lines: str) -> None:
        """Add lines to known_hosts."""
        with open(self.known_hosts, "a") as file:
            file.writelines(lines)


def ssh_user(folder: Path) -> SshUser:
    """A user with one key and an empty configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    made = SshUser(folder, keygen(folder / "key"))
    made.configure("")
    return made
