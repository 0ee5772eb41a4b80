"""Whether a host is who it should be: its key against those that somebody vouches for.

An instance's address is another instance's tomorrow, its id never is. So keys are looked up under
the id first. The first source that knows the id decides, and nothing is sent to a host whose key
is not among its keys.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from spawn.cli.remote.errors import HostKeyDiffers, HostKeyUnknown
from spawn.cli.remote.own_hosts import OwnHosts, text_of
from spawn.core.errors import SpawnError
from spawn.core.ssh.key import HostKey
from spawn.core.ssh.known_hosts import Known, entry, known

Keys = Callable[[], Sequence[HostKey]]
"""Asks somebody for the keys of a host. A `SpawnError` counts as not knowing."""


class Source(Struct, frozen=True):
    """Somebody who vouches for an instance's keys."""

    words: str
    keys: Keys


class Expected(Struct, frozen=True):
    """Keys that are vouched for, and by whom. `file`: where they stand, if in a file."""

    keys: tuple[HostKey, ...]
    words: str
    file: Path | None = None


class Trust:
    """What is known of one host.

    Args:
        name: The instance's id, or how an SSH configuration calls the host.
        names: Under which `known_hosts` may have it, the strongest first: the id or the alias.
        addresses: Under which it may have it too, `[host]:port`; others may have had them before.
        files: The person's and the system's `known_hosts`.
        own: Our own file; None: nothing is kept, as for a host on the way.
        sources: Who else knows the instance, in the order in which they are asked.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        addresses: Sequence[str],
        files: Sequence[Path],
        *,
        own: OwnHosts | None = None,
        sources: Sequence[Source] = (),
        compare: str = "",
    ) -> None:
        self.name = name
        self._names = names
        self._addresses = [each for each in addresses if each not in names]
        self._files = files
        self._own = own
        self._sources = sources
        self._compare = compare
        self._silent: list[str] = []
        """Who was asked in vain, and why."""
        self._first = self._held() if own is not None else None

    def preferred(self) -> tuple[str, ...]:
        """The types of the keys that are known without asking anybody: what to agree on first."""
        found = self._first or self._in_files(self._names) or self._in_files(self._addresses)
        return tuple(dict.fromkeys(key.type for key in found.keys)) if found else ()

    def check(self, shown: HostKey, where: str) -> None:
        """Accept the key that a host shows, or raise.

        Args:
            where: Its address, for people.

        Raises:
            HostKeyDiffers: It is not among the keys of the first who knows the host.
            HostKeyUnknown: Nobody knows the host.
        """
        self._refuse_revoked(shown, where)
        found = self._first or self._named(shown) or self._asked() or self._in_files(self._names)
        if found is None:
            by_address = self._in_files(self._addresses)
            if by_address is None or shown not in by_address.keys:
                raise self._unknown(shown, where, by_address)
            found = by_address
        if shown not in found.keys:
            raise self._differs(shown, where, found)
        if self._own is not None and found is not self._first:
            # All of a source that knows the id; of a name that others had before, just this one.
            kept = found.keys if found.file is None else (shown,)
            self._own.learn(self.name, kept, found.words)
            self._first = self._held()

    def _held(self) -> Expected | None:
        if self._own is None:
            return None
        keys = self._own.keys(self.name)
        return Expected(keys, str(self._own.path), self._own.path) if keys else None

    def _named(self, shown: HostKey) -> Expected | None:
        """The person's own word for this very key under the id: no id is ever another host's, and
        nobody else need be asked."""
        found = self._in_files(self._names)
        return found if found is not None and shown in found.keys else None

    def _asked(self) -> Expected | None:
        for source in self._sources:
            keys: tuple[HostKey, ...] = ()
            try:
                keys = tuple(source.keys())
            except SpawnError as error:
                self._silent.append(f"{source.words} cannot be asked: {error}")
            if keys:
                return Expected(keys, source.words)
        return None

    def _in_files(self, names: Sequence[str]) -> Expected | None:
        for name in names:
            for path in self._files:
                keys = [each.key for each in _read(path, [name]) if not each.revoked]
                if keys:
                    return Expected(tuple(keys), f"{path} ({name})", path)
        return None

    def _refuse_revoked(self, shown: HostKey, where: str) -> None:
        for path in self._files:
            for each in _read(path, [*self._names, *self._addresses]):
                if each.revoked and each.key == shown:
                    raise HostKeyDiffers(
                        f"the host key that {self.name} shows is revoked: nothing was sent",
                        why=f"{path}, line {each.line}, revokes {shown}, which {where} shows",
                        hint="whoever revoked it knows why; do not connect",
                    )

    def _differs(self, shown: HostKey, where: str, found: Expected) -> HostKeyDiffers:
        expected = " or ".join(str(key) for key in found.keys)
        forget = ""
        if found.file is not None:
            name = self.name if self._own and found.file == self._own.path else self._names[0]
            command = shlex.join(["ssh-keygen", "-R", name, "-f", str(found.file)])
            forget = f"; if its key was changed on purpose, `{command}` forgets the old one"
        return HostKeyDiffers(
            f"the host that answers for {self.name} is not the one that is known: nothing was sent",
            why=f"{where} shows {shown}, and {found.words} says {expected}",
            hint="its address may be another machine's by now, or somebody is in between" + forget,
        )

    def _unknown(self, shown: HostKey, where: str, other: Expected | None) -> HostKeyUnknown:
        why = f"{where} shows {shown}, and nobody who was asked knows {self.name}"
        why = "; ".join([why, *self._silent])
        if other is not None:
            keys = " or ".join(str(key) for key in other.keys)
            why += f"; {other.words} has another for the address, {keys}, perhaps of a host before"
        file = self._own.path if self._own is not None else next(iter(self._files), None)
        line = shlex.quote(entry(self._names[0], shown))
        accept = f"echo {line} >> {shlex.quote(str(file))}" if file is not None else ""
        if file is not None and not file.parent.exists():
            accept = f"mkdir -p {shlex.quote(str(file.parent))} && {accept}"
        compare = f"compare the fingerprint{self._compare}"
        return HostKeyUnknown(
            f"nobody vouches for the host key of {self.name}: nothing was sent",
            why=why,
            hint=f"{compare}; if it agrees: {accept}",
        )


def _read(path: Path, names: Sequence[str]) -> Iterator[Known]:
    try:
        text = text_of(path)
    except OSError:  # not ours to read, as ssh itself would find
        return iter(())
    return known(text, names)
