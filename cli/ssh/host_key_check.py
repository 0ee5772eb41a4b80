"""Host key verification.

EC2 reuses addresses but never instance ids, so keys are looked up under the id first. The first
source that has keys for the id decides. Nothing is sent to a host whose key is not one of them.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from spawn.cli.ssh.errors import HostKeyMismatch, HostKeyUnknown
from spawn.cli.ssh.host_key import HostKey
from spawn.cli.ssh.known_hosts import KnownKey, find_keys, format_line
from spawn.cli.ssh.known_hosts_file import KnownHostsFile, read_text_or_empty
from spawn.core.errors import SpawnError

Keys = Callable[[], Sequence[HostKey]]
"""Returns the keys of a host. A `SpawnError` counts as no keys."""


class KeySource(Struct, frozen=True):
    """A source of an instance's host keys. `words` names it in messages."""

    words: str
    keys: Keys


class TrustedKeys(Struct, frozen=True):
    """Trusted keys, the name of their source for messages, and their file if they are in one."""

    keys: tuple[HostKey, ...]
    words: str
    file: Path | None = None


class HostKeyVerifier:
    """Verifies the host key of one host.

    Args:
        name: The instance id, or the host's name in the SSH configuration.
        names: Names to look up in `files`, in order of precedence: the id, then the alias.
        addresses: Addresses to look up last, as `[host]:port`; other hosts may have used them.
        files: The user's and the system's `known_hosts`.
        own: spawn's own file, which verified keys are added to; None for a jump host.
        sources: Further sources, in order of precedence.
        compare: The end of the hint "compare the fingerprint...": with what.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        addresses: Sequence[str],
        files: Sequence[Path],
        *,
        own: KnownHostsFile | None = None,
        sources: Sequence[KeySource] = (),
        compare: str = "",
    ) -> None:
        self.name = name
        self._names = names
        self._addresses = [each for each in addresses if each not in names]
        self._files = files
        self._own = own
        self._sources = sources
        self._compare = compare
        self._failures: list[str] = []
        """Sources that could not be read, with the reason."""
        self._first = self._in_own_file() if own is not None else None

    def preferred(self) -> tuple[str, ...]:
        """Key types known from local files, to prefer in the key exchange."""
        found = self._first or self._in_files(self._names) or self._in_files(self._addresses)
        return tuple(dict.fromkeys(key.type for key in found.keys)) if found else ()

    def check(self, shown: HostKey, where: str) -> None:
        """Verify the key that a host presents, and add it to spawn's own file.

        Args:
            where: The host's address, for messages.

        Raises:
            HostKeyDiffers: The first source that knows the host has other keys, or the key is
                revoked.
            HostKeyUnknown: No source knows the host.
        """
        self._refuse_revoked(shown, where)
        found = (
            self._first
            or self._listed_in_files(shown)
            or self._from_sources()
            or self._in_files(self._names)
        )
        if found is None:
            by_address = self._in_files(self._addresses)
            if by_address is None or shown not in by_address.keys:
                raise self._unknown(shown, where, by_address)
            found = by_address
        if shown not in found.keys:
            raise self._differs(shown, where, found)
        if self._own is not None and found is not self._first:
            # Sources list the keys of this id; a file may list keys of earlier hosts of that name.
            kept = found.keys if found.file is None else (shown,)
            self._own.add(self.name, kept, found.words)
            self._first = self._in_own_file()

    def _in_own_file(self) -> TrustedKeys | None:
        if self._own is None:
            return None
        keys = self._own.keys(self.name)
        return TrustedKeys(keys, str(self._own.path), self._own.path) if keys else None

    def _listed_in_files(self, shown: HostKey) -> TrustedKeys | None:
        """The keys in the user's `known_hosts` if `shown` is one of them. Ids are never reused, so
        no other source is needed."""
        found = self._in_files(self._names)
        return found if found is not None and shown in found.keys else None

    def _from_sources(self) -> TrustedKeys | None:
        for source in self._sources:
            keys: tuple[HostKey, ...] = ()
            try:
                keys = tuple(source.keys())
            except SpawnError as error:
                self._failures.append(f"{source.words} cannot be read: {error}")
            if keys:
                return TrustedKeys(keys, source.words)
        return None

    def _in_files(self, names: Sequence[str]) -> TrustedKeys | None:
        for name in names:
            for path in self._files:
                keys = [each.key for each in _read(path, [name]) if not each.revoked]
                if keys:
                    return TrustedKeys(tuple(keys), f"{path} ({name})", path)
        return None

    def _refuse_revoked(self, shown: HostKey, where: str) -> None:
        for path in self._files:
            for each in _read(path, [*self._names, *self._addresses]):
                if each.revoked and each.key == shown:
                    raise HostKeyMismatch(
                        f"the host key of {self.name} is revoked: nothing was sent",
                        why=f"{path}, line {each.line}, revokes {shown}, which {where} presented",
                        hint="do not connect until you know why it was revoked",
                    )

    def _differs(self, shown: HostKey, where: str, found: TrustedKeys) -> HostKeyMismatch:
        expected = " or ".join(str(key) for key in found.keys)
        forget = ""
        if found.file is not None:
            name = self.name if self._own and found.file == self._own.path else self._names[0]
            command = shlex.join(["ssh-keygen", "-R", name, "-f", str(found.file)])
            forget = f"; if the key was changed on purpose, `{command}` removes the old one"
        return HostKeyMismatch(
            f"the host key of {self.name} does not match the known one: nothing was sent",
            why=f"{where} presented {shown}, but {found.words} has {expected}",
            hint="its address may now belong to another machine, or someone intercepts the "
            "connection" + forget,
        )

    def _unknown(self, shown: HostKey, where: str, other: TrustedKeys | None) -> HostKeyUnknown:
        why = f"{where} presented {shown}, and no key is known for {self.name}"
        why = "; ".join([why, *self._failures])
        if other is not None:
            keys = " or ".join(str(key) for key in other.keys)
            why += f"; {other.words} has {keys} for the address, perhaps of an earlier host"
        file = self._own.path if self._own is not None else next(iter(self._files), None)
        line = shlex.quote(format_line(self._names[0], shown))
        accept = f"echo {line} >> {shlex.quote(str(file))}" if file is not None else ""
        if file is not None and not file.parent.exists():
            accept = f"mkdir -p {shlex.quote(str(file.parent))} && {accept}"
        compare = f"compare the fingerprint{self._compare}"
        return HostKeyUnknown(
            f"the host key of {self.name} cannot be verified: nothing was sent",
            why=why,
            hint=f"{compare}; if they match: {accept}",
        )


def _read(path: Path, names: Sequence[str]) -> Iterator[KnownKey]:
    try:
        text = read_text_or_empty(path)
    except OSError:  # ssh ignores unreadable files too
        return iter(())
    return find_keys(text, names)
