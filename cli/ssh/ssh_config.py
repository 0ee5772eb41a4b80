"""The SSH configuration of a host, as `ssh -G` prints it.

Only OpenSSH supports all of it: Include, Match with its criteria, canonical names. Without an `ssh`
program, paramiko reads the subset that it supports (`plain.py`).
"""

import glob
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from spawn.cli.ssh.host_settings import HostSettings, expand, files, jumps, paths
from spawn.core.errors import SpawnError
from spawn.store.programs import find_program

_SECONDS = 10
"""A `Match exec` command may prompt the user."""
_NO_USER = "spawn-nobody-said"
"""A user name that no configuration contains."""
_SYSTEM = Path("/etc/ssh/ssh_config")
_DEFAULT_KEYS = {"rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa"}
"""`~/.ssh/id_*`: the key files that ssh tries if the configuration names none."""


class SshConfig:
    """The user's SSH configuration.

    Args:
        environ: `SPAWN_SSH_CONFIG` names a file to read instead, as with `ssh -F`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._file = environ.get("SPAWN_SSH_CONFIG") or None
        self._program = find_program("ssh", environ)
        self._environ = dict(environ)
        # ssh uses the password database, not HOME.
        entry = pwd.getpwuid(os.getuid())
        self.login, self.home = entry.pw_name, Path(entry.pw_dir)

    def settings_for(self, name: str, *, user: str = "", port: int = 0) -> HostSettings:
        """Read the settings for a host.

        Args:
            user: Overrides the configuration unless empty.
            port: Overrides the configuration unless 0.

        Raises:
            SpawnError: The configuration cannot be read; contains the message of `ssh`.
        """
        if self._program is None:
            options = read(name, self._file, self.home, user=user, port=port)
        else:
            options = self._read(name, user, port)
        return self._settings(name, options)

    def _read(self, name: str, user: str, port: int) -> dict[str, list[str]]:
        flags = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
        file = ["-F", self._file] if self._file else []
        options = self._output(self._start([*file, *flags, "--", name]), name)
        if not user and options.get("user") == [self.login] and not self._names_user(name, flags):
            del options["user"]
        return options

    def _names_user(self, name: str, flags: list[str]) -> bool:
        """Whether the configuration names the user, rather than ssh using the login name.

        `ssh -G` prints the same for both, so it reads the configuration again with another default.
        """
        with NamedTemporaryFile("w", prefix="spawn-ssh-", suffix=".conf") as wrapper:
            for each in [self._file] if self._file else [self.home / ".ssh/config", _SYSTEM]:
                if Path(each).exists():
                    wrapper.write(f'Include "{Path(each).absolute()}"\n')
            wrapper.write(f"Host *\n    User {_NO_USER}\n")
            wrapper.flush()
            options = self._output(self._start(["-F", wrapper.name, *flags, "--", name]), name)
        return options.get("user") != [_NO_USER]

    def _start(self, arguments: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self._program), "-T", "-G", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=self._environ,
        )

    def _output(self, process: "subprocess.Popen[str]", name: str) -> dict[str, list[str]]:
        try:
            output, message = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            message = f"`ssh -G {name}` took more than {_SECONDS} s"
        if process.returncode:
            raise SpawnError(
                "the SSH configuration cannot be read",
                why="; ".join(message.split("\n")).strip("; \r"),
                hint=f"`ssh -G {name}` shows the same error",
            )
        options: dict[str, list[str]] = {}
        for line in output.splitlines():
            key, _, value = line.partition(" ")
            options.setdefault(key, []).append(value)
        return options

    def _settings(self, name: str, options: Mapping[str, list[str]]) -> HostSettings:
        def one(key: str, default: str = "") -> str:
            value = options.get(key, [default])[0]
            return default if value.lower() == "none" and key != "identityagent" else value

        known = f"{one('userknownhostsfile')} {one('globalknownhostsfile')}"
        tokens = self.tokens(name, one("hostname", name), one("user"), int(one("port", "22")))
        agent = one("identityagent")  # `none` has a meaning of its own here
        identities = self._paths(options.get("identityfile", []), tokens)
        default_keys = {str(self.home / ".ssh" / f"id_{each}") for each in _DEFAULT_KEYS}
        defaults = len(identities) > 2 and default_keys.issuperset(identities)
        return HostSettings(
            name=name,
            host=one("hostname", name),
            port=int(one("port", "22")),
            user=one("user"),
            identities=identities,
            named=0 if defaults else len(identities),
            certificates=self._paths(options.get("certificatefile", []), tokens),
            identities_only=one("identitiesonly") in ("yes", "true"),
            agent="" if agent == "SSH_AUTH_SOCK" else self._agent(agent, tokens),
            proxy_command=one("proxycommand"),
            jumps=jumps(one("proxyjump")),
            alias=one("hostkeyalias"),
            known_hosts=files(expand(known, tokens), self.home),
        )

    def tokens(self, name: str, host: str, user: str, port: int) -> dict[str, str]:
        """The values of `%h` and the other tokens. Source: ssh_config(5), TOKENS, without `%C`."""
        hostname = socket.gethostname()
        return {
            "%": "%",
            "d": str(self.home),
            "h": host,
            "i": str(os.getuid()),
            "k": name,
            "L": hostname.partition(".")[0],
            "l": hostname,
            "n": name,
            "p": str(port),
            "r": user or self.login,
            "u": self.login,
        }

    def _paths(self, names: list[str], tokens: Mapping[str, str]) -> tuple[str, ...]:
        return paths([expand(each.strip('"'), tokens) for each in names], self.home)

    def _agent(self, value: str, tokens: Mapping[str, str]) -> str:
        if value.startswith("$"):
            return self._environ.get(value[1:], "none")
        return value if value in ("", "none") else self._paths([value], tokens)[0]


_INCLUDE = re.compile(r"^\s*include[\s=]+(.*?)\s*$", re.IGNORECASE)
_MAX_INCLUDES = 16
"""Include depth. Source: OpenSSH, READCONF_MAX_DEPTH."""
_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
_GLOBAL = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"


def read(
    name: str, file: str | None, home: Path, *, user: str = "", port: int = 0
) -> dict[str, list[str]]:
    """Read the configuration for a host, as the values of each option, like `ssh -G`.

    Args:
        file: Read instead of the user's and the system's configuration.
        user: Overrides the configuration unless empty.
        port: Overrides the configuration unless 0.

    Raises:
        SpawnError: The configuration cannot be read.
    """
    from spawn.cli.ssh.lazy_imports import paramiko, with_commands

    with_commands()
    config = paramiko().SSHConfig()
    folder = home / ".ssh"
    read_from = [(Path(file), folder)] if file else [(folder / "config", folder)]
    if file is None:
        read_from.append((_SYSTEM, _SYSTEM.parent))
    try:
        for path, base in read_from:
            if file is not None or path.exists():
                config.parse(_lines(path, base, home, _MAX_INCLUDES))
        found = config.lookup(name)
    except (OSError, UnicodeDecodeError, paramiko().SSHException) as error:
        raise SpawnError("the SSH configuration cannot be read", why=str(error)) from None
    options = {
        key: list(value) if isinstance(value, list) else [str(value)]
        for key, value in found.items()
    }
    if user:
        options["user"] = [user]
    if port:
        options["port"] = [str(port)]
    options.setdefault("identityfile", [str(folder / each) for each in _KEYS])
    options.setdefault("userknownhostsfile", [f"{folder}/known_hosts {folder}/known_hosts2"])
    options.setdefault("globalknownhostsfile", [_GLOBAL])
    return options


def _lines(path: Path, base: Path, home: Path, depth: int) -> list[str]:
    if depth == 0:
        raise OSError(f"{path} includes itself, or Include is nested too deeply")
    lines: list[str] = []
    for line in path.read_text().splitlines():
        include = _INCLUDE.match(line)
        if include is None:
            lines.append(line)
            continue
        for word in include[1].split():
            word = word.strip('"')
            pattern = home / word[2:] if word.startswith("~/") else base / word
            for each in sorted(glob.glob(str(pattern))):
                lines += _lines(Path(each), base, home, depth - 1)
    return lines
