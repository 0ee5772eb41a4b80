"""What OpenSSH itself would do for a host: `ssh -G` reads the configuration as `ssh` does.

Nothing else knows all of it: Include, Match with its criteria, canonical names. Where there is no
`ssh`, paramiko reads what it understands (`plain.py`).
"""

import os
import pwd
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from spawn.cli.remote.settings import Settings, expand, files, jumps, paths
from spawn.core.errors import SpawnError
from spawn.store.programs import find

_SECONDS = 10
"""A `Match exec` may ask somebody; `ssh` would wait for it too."""
_NOBODY = "spawn-nobody-said"
"""A user that no configuration names."""
_SYSTEM = Path("/etc/ssh/ssh_config")
_LOOKED_FOR = {"rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa"}
"""The keys in `~/.ssh` that are tried when the configuration names none: all of them, then."""


class Config:
    """The SSH configuration of who runs this.

    Args:
        environ: `SPAWN_SSH_CONFIG` names a file to read instead, as `ssh -F` does.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._file = environ.get("SPAWN_SSH_CONFIG") or None
        self._program = find("ssh", environ)
        self._environ = dict(environ)
        # ssh asks the password file, not HOME.
        entry = pwd.getpwuid(os.getuid())
        self.login, self.home = entry.pw_name, Path(entry.pw_dir)

    def of(self, name: str, *, user: str = "", port: int = 0) -> Settings:
        """Say how a host is reached.

        Args:
            user, port: Said elsewhere, and stronger than the configuration; empty and 0: not said.

        Raises:
            SpawnError: The configuration cannot be read: what is wrong, in ssh's words.
        """
        if self._program is None:
            from spawn.cli.remote.plain import read

            said = read(name, self._file, self.home, user=user, port=port)
        else:
            said = self._ask(name, user, port)
        return self._settings(name, said)

    def _ask(self, name: str, user: str, port: int) -> dict[str, list[str]]:
        more = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
        file = ["-F", self._file] if self._file else []
        said = self._answer(self._start([*file, *more, "--", name]), name)
        if not user and said.get("user") == [self.login] and not self._named(name, more):
            del said["user"]
        return said

    def _named(self, name: str, more: list[str]) -> bool:
        """Whether a configuration names the user, or ssh fell back on who runs it: the same
        configuration is read again, with another user at its end."""
        with NamedTemporaryFile("w", prefix="spawn-ssh-", suffix=".conf") as after:
            for each in [self._file] if self._file else [self.home / ".ssh/config", _SYSTEM]:
                if Path(each).exists():
                    after.write(f'Include "{Path(each).absolute()}"\n')
            after.write(f"Host *\n    User {_NOBODY}\n")
            after.flush()
            said = self._answer(self._start(["-F", after.name, *more, "--", name]), name)
        return said.get("user") != [_NOBODY]

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

    def _answer(self, process: "subprocess.Popen[str]", name: str) -> dict[str, list[str]]:
        try:
            output, complaint = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            complaint = f"`ssh -G {name}` took more than {_SECONDS} s"
        if process.returncode:
            raise SpawnError(
                "the SSH configuration cannot be read",
                why="; ".join(complaint.split("\n")).strip("; \r"),
                hint=f"`ssh -G {name}` reads it too",
            )
        said: dict[str, list[str]] = {}
        for line in output.splitlines():
            key, _, value = line.partition(" ")
            said.setdefault(key, []).append(value)
        return said

    def _settings(self, name: str, said: Mapping[str, list[str]]) -> Settings:
        def one(key: str, default: str = "") -> str:
            value = said.get(key, [default])[0]
            return default if value.lower() == "none" and key != "identityagent" else value

        known = f"{one('userknownhostsfile')} {one('globalknownhostsfile')}"
        tokens = self.tokens(name, one("hostname", name), one("user"), int(one("port", "22")))
        agent = one("identityagent")
        identities = self._paths(said.get("identityfile", []), tokens)
        looked_for = {str(self.home / ".ssh" / f"id_{each}") for each in _LOOKED_FOR}
        defaults = len(identities) > 2 and looked_for.issuperset(identities)
        return Settings(
            name=name,
            host=one("hostname", name),
            port=int(one("port", "22")),
            user=one("user"),
            identities=identities,
            named=0 if defaults else len(identities),
            certificates=self._paths(said.get("certificatefile", []), tokens),
            identities_only=one("identitiesonly") in ("yes", "true"),
            agent="" if agent == "SSH_AUTH_SOCK" else self._agent(agent, tokens),
            proxy_command=one("proxycommand"),
            jumps=jumps(one("proxyjump")),
            alias=one("hostkeyalias"),
            known_hosts=files(expand(known, tokens), self.home),
        )

    def tokens(self, name: str, host: str, user: str, port: int) -> dict[str, str]:
        """What `%h` and the like stand for. Source: ssh_config(5), TOKENS; `%C` is left out."""
        here = socket.gethostname()
        return {
            "%": "%",
            "d": str(self.home),
            "h": host,
            "i": str(os.getuid()),
            "k": name,
            "L": here.partition(".")[0],
            "l": here,
            "n": name,
            "p": str(port),
            "r": user or self.login,
            "u": self.login,
        }

    def _paths(self, names: list[str], tokens: Mapping[str, str]) -> tuple[str, ...]:
        return paths([expand(each.strip('"'), tokens) for each in names], self.home)

    def _agent(self, named: str, tokens: Mapping[str, str]) -> str:
        if named.startswith("$"):
            return self._environ.get(named[1:], "none")
        return named if named in ("", "none") else self._paths([named], tokens)[0]
