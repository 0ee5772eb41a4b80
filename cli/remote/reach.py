"""Reach an instance by its id: where it is, who it is, and as whom.

1. The SSH configuration is asked for the id. What it says of the way counts.
2. An address that it does not name: the one that worked the last time, else EC2's. When nobody
   answers at a remembered one, or somebody else does, EC2 is asked.
3. Its host key is verified under the id, whatever the address (`trust.py`).

When it worked the last time, nobody but the instance is asked.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from msgspec import Struct, structs

from spawn.cli.remote.address import Remembered, recall, remember
from spawn.cli.remote.connection import Connection, connect
from spawn.cli.remote.errors import (
    Gone,
    HostKeyError,
    HostKeyUnknown,
    RemoteError,
    Unreachable,
)
from spawn.cli.remote.library import paramiko, sshtunnel
from spawn.cli.remote.openssh import Config
from spawn.cli.remote.own_hosts import OwnHosts
from spawn.cli.remote.settings import Settings
from spawn.cli.remote.trust import Source, Trust
from spawn.cli.remote.tunnel import Tunnel
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.ids import is_instance_id
from spawn.core.ssh import console as console_text
from spawn.core.ssh.key import HostKey, parse
from spawn.core.ssh.known_hosts import named
from spawn.store.paths import Roots, ssh_key

DEFAULT_USER = "ec2-user"
TAG_USER = "spawn:ssh-user"
"""The tag of an instance that names the user to log in as."""


_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""A user's name that nobody can take for anything else: it becomes part of a ProxyCommand, and may
come from a tag or a log."""


class Asked(Struct, frozen=True, kw_only=True):
    """What was said on the command line, as far as it was."""

    ssh_user: str | None = None
    identity: str | None = None
    region: str | None = None
    profile: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """What the queue's log says of its instance, as read from S3.

    Args:
        host_keys: Gives the `ssh_host_keys` of the newest `QueueStarted` or `QueueResumed` *of this
            instance*, as they stand there; called when nothing else is known, as it may cost
            requests. A `SpawnError` counts as not knowing. Who may write the bucket can have it
            vouch for any key; so can whoever is root there.
        user: Whom the runner runs as there, the `owner` of that event up to the `@`; empty when
            that is not known without asking.
    """

    host_keys: Callable[[], Sequence[str]] = tuple
    user: str = ""


class Reach:
    """The way to one instance.

    Args:
        instance_id: `i-<hex>`.
        environ: `SPAWN_SSH_CONFIG` names an SSH configuration to read instead of the person's.

    Raises:
        InvalidArgument: It is no instance id, no user's name, or the key's file is not there.
    """

    def __init__(
        self,
        instance_id: str,
        roots: Roots,
        *,
        asked: Asked | None = None,
        told: Told | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if not is_instance_id(instance_id):
            raise InvalidArgument(
                f"'{instance_id}' is not an instance id", hint="i-0123456789abcdef0"
            )
        self.instance_id = instance_id
        self._roots = roots
        self._asked = asked or Asked()
        self._told = told or Told()
        user = self._asked.ssh_user
        if user is not None and _USER.fullmatch(user) is None:
            raise InvalidArgument(f"'{user}' is not a user's name", hint="--ssh-user ec2-user")
        identity = self._asked.identity
        if identity is not None and not Path(identity).expanduser().is_file():
            raise InvalidArgument(f"there is no key {identity}", hint="--identity names a file")
        self._environ = os.environ if environ is None else environ
        self._config = Config(self._environ)
        self._kept = recall(roots, instance_id) or Remembered()
        self._ec2_silent = False
        self.last: tuple[Settings, str] | None = None
        """Where, and as whom, the newest connection was tried."""

    def connect(self) -> Connection:
        """Open an SSH connection to the instance.

        Raises:
            Gone: EC2 says that it does not run, or knows none of that id.
            Unreachable: Nobody answers.
            HostKeyError: Nobody vouches for who answers.
            NotLetIn: It takes none of our keys.
            StoreError: Its address is not known, and EC2 could not be asked for it.
        """
        Thread(target=_import, name="import", daemon=True).start()  # while ssh reads its files
        settings = self._settings()
        named_by_config = settings.host != self.instance_id or settings.proxy_command
        if named_by_config:
            try:
                return self._connect(settings, self._kept)
            except Unreachable as error:
                self._may_be_gone(error)
                raise
        if self._kept.host:
            try:
                return self._connect(structs.replace(settings, host=self._kept.host), self._kept)
            except (Unreachable, HostKeyError) as error:
                fresh = self._fresh(settings, error)
        else:
            fresh = self._look_up(settings)
        try:
            return self._connect(structs.replace(settings, host=fresh.host), fresh)
        except Unreachable as error:
            self._may_be_gone(error)
            raise

    def tunnel(self, port: int) -> Tunnel:
        """A tunnel to a port of the instance, which connects again when it is cut.

        Raises:
            RemoteError: As `connect`.
        """
        connection = self.connect()
        try:
            return Tunnel(connection, port, again=self.connect)
        except BaseException:
            connection.close()
            raise

    # what is known

    def _settings(self) -> Settings:
        settings = self._config.of(self.instance_id, user=self._asked.ssh_user or "")
        if self._asked.identity is not None:
            first = str(Path(self._asked.identity).expanduser().absolute())
            rest = [each for each in settings.identities if each != first]
            settings = structs.replace(
                settings, identities=(first, *rest), named=settings.named + 1
            )
        return self._launched(settings)

    def _launched(self, settings: Settings) -> Settings:
        """The key that `launch` made comes after those that somebody named, and before what ssh
        would look for."""
        own = str(ssh_key(self._environ))
        if own in settings.identities or not Path(own).is_file():
            return settings
        at = settings.named
        identities = (*settings.identities[:at], own, *settings.identities[at:])
        return structs.replace(settings, identities=identities, named=at + 1)

    def _user(self, settings: Settings, kept: Remembered) -> str:
        others = (self._told.user, kept.user)
        known = [each for each in others if _USER.fullmatch(each) is not None]
        return settings.user or next(iter(known), DEFAULT_USER)

    def _connect(self, settings: Settings, how: Remembered) -> Connection:
        user = self._user(settings, how)
        self.last = settings, user
        region, profile = self._where(how)
        trust = Trust(
            self.instance_id,
            list(dict.fromkeys([self.instance_id, *([settings.alias] if settings.alias else [])])),
            [named(settings.host, settings.port)],
            settings.known_hosts,
            own=OwnHosts(self._roots),
            sources=[
                Source("the queue's log in S3", self._of_log),
                Source("the instance's console", lambda: self._of_console(region, profile)),
            ],
            compare=self._compare(region, profile),
        )
        try:
            found = connect(
                self._config, settings, user, trust, advice=self._advice(settings, user)
            )
        except HostKeyUnknown as error:
            from spawn.cli.remote.lookup import doubted  # boto3 costs 180 ms to import

            if not self._ec2_silent:
                doubted(error, self.instance_id, region, profile)
            raise
        # Which queue it has may have been learned since this began.
        now = recall(self._roots, self.instance_id) or how
        self._kept = structs.replace(
            how, user=self._worth(user, how), queue=now.queue, alone=now.alone
        )
        remember(self._roots, self.instance_id, self._kept)
        return found

    def _worth(self, user: str, how: Remembered) -> str:
        """The user to remember: what neither flag nor configuration says anew each time."""
        return how.user if self._asked.ssh_user else user

    def _where(self, how: Remembered) -> tuple[str | None, str | None]:
        # boto3 reads AWS_DEFAULT_REGION alone; every other tool of AWS reads this one too.
        region = self._asked.region or how.region or self._environ.get("AWS_REGION") or None
        return region, self._asked.profile or how.profile

    def _of_log(self) -> list[HostKey]:
        found = (parse(line) for line in self._told.host_keys())
        return [key for key in found if key is not None]

    def _of_console(self, region: str | None, profile: str | None) -> Sequence[HostKey]:
        from spawn.store.instances import console  # boto3 costs 180 ms to import

        try:
            return console_text.host_keys(console(self.instance_id, region, profile))
        except SpawnError:
            self._ec2_silent = True  # it would not answer the next question either
            raise

    def _compare(self, region: str | None, profile: str | None) -> str:
        words = ["aws", "ec2", "get-console-output", "--instance-id", self.instance_id]
        words += ["--latest", "--output", "text"]
        words += ["--region", region] if region else []
        words += ["--profile", profile] if profile else []
        return f" with what its console shows (`{shlex.join(words)}`)"

    def _advice(self, settings: Settings, user: str) -> str:
        if settings.user or self._told.user or user != DEFAULT_USER:
            return ""
        return f"nobody said whom to log in as, so it was {DEFAULT_USER}: Ubuntu has ubuntu"

    # what EC2 knows

    def _fresh(self, settings: Settings, error: RemoteError) -> Remembered:
        """The address that EC2 has by now; raises the error of the old one when it is no other."""
        try:
            fresh = self._look_up(settings)
        except Gone:
            raise
        except SpawnError:
            raise error from None
        if fresh.host == self._kept.host:
            raise error
        return fresh

    def _look_up(self, settings: Settings) -> Remembered:
        from spawn.cli.remote.lookup import address, running  # boto3 costs 180 ms to import

        region, profile = self._where(self._kept)
        found = running(self.instance_id, region, profile)
        return structs.replace(
            self._kept,
            host=address(found, from_within=bool(settings.jumps)),
            region=found.region,
            profile=profile,
            user=found.tags.get(TAG_USER, "") or self._kept.user,
        )

    def _may_be_gone(self, error: Unreachable) -> None:
        """Say so instead, when EC2 says that nobody can answer, or nobody yet."""
        from spawn.cli.remote.lookup import asked  # boto3 costs 180 ms to import

        asked(error, self.instance_id, *self._where(self._kept))


def _import() -> None:
    with suppress(ImportError):  # who needs it says so
        paramiko()
        sshtunnel()
