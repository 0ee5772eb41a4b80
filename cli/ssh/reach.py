"""Connect to an instance by its id: find its address, verify its host key, choose the user.

1. The SSH configuration for the instance id takes precedence.
2. If it names no address: the address that worked last time, else the address from EC2. If no host
   answers at the remembered address, or its host key is not trusted, EC2 is asked again.
3. The host key is verified under the instance id, whatever the address (`trust.py`).

If the remembered address works, EC2 is not asked.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from msgspec import Struct, structs

from spawn.cli.ssh import known_hosts as console_text
from spawn.cli.ssh.connection import SshConnection, connect
from spawn.cli.ssh.errors import (
    HostKeyError,
    HostKeyUnknown,
    InstanceNotRunning,
    RemoteError,
    Unreachable,
)
from spawn.cli.ssh.host_key import HostKey, parse_host_key
from spawn.cli.ssh.host_key_check import HostKeyVerifier, KeySource
from spawn.cli.ssh.host_settings import HostSettings
from spawn.cli.ssh.known_hosts import host_name
from spawn.cli.ssh.known_hosts_file import KnownHostsFile
from spawn.cli.ssh.last_contact import LastContact, load_last_contact, save_last_contact
from spawn.cli.ssh.lazy_imports import paramiko, sshtunnel
from spawn.cli.ssh.ssh_config import SshConfig
from spawn.cli.ssh.tunnel import Tunnel
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.values.ids import is_instance_id
from spawn.store.queue_dir.paths import Roots, ssh_key

DEFAULT_USER = "ec2-user"
TAG_USER = "spawn:ssh-user"
"""The instance tag that names the SSH user."""


_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""Safe user names: a name becomes part of a ProxyCommand, and may come from a tag or a log."""


class SshFlags(Struct, frozen=True, kw_only=True):
    """The flags of the command line that affect the connection; None if not given."""

    ssh_user: str | None = None
    identity: str | None = None
    region: str | None = None
    profile: str | None = None


class LogHints(Struct, frozen=True, kw_only=True):
    """What the queue's log in S3 says about its instance.

    Args:
        host_keys: Returns the `ssh_host_keys` of the newest `QueueStarted` or `QueueResumed` *of
            this instance*, verbatim. It may send requests, so it is called only if no key is known
            yet; a `SpawnError` counts as no keys. Anyone who can write to the bucket, or is root on
            the instance, can make any key trusted this way.
        user: The user of the runner there, the `owner` of that event up to the `@`; empty if
            unknown.
    """

    host_keys: Callable[[], Sequence[str]] = tuple
    user: str = ""


class InstanceAccess:
    """Makes connections and tunnels to one instance.

    Args:
        instance_id: `i-<hex>`.
        environ: `SPAWN_SSH_CONFIG` names an SSH configuration to read instead of the user's.

    Raises:
        InvalidArgument: The instance id or the user name is malformed, or the key file does not
            exist.
    """

    def __init__(
        self,
        instance_id: str,
        roots: Roots,
        *,
        asked: SshFlags | None = None,
        told: LogHints | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if not is_instance_id(instance_id):
            raise InvalidArgument(
                f"'{instance_id}' is not an instance id", hint="i-0123456789abcdef0"
            )
        self.instance_id = instance_id
        self._roots = roots
        self._flags = asked or SshFlags()
        self._told = told or LogHints()
        user = self._flags.ssh_user
        if user is not None and _USER.fullmatch(user) is None:
            raise InvalidArgument(f"'{user}' is not a valid user name", hint="--ssh-user ec2-user")
        identity = self._flags.identity
        if identity is not None and not Path(identity).expanduser().is_file():
            raise InvalidArgument(
                f"key file {identity} not found", hint="--identity is the path of a private key"
            )
        self._environ = os.environ if environ is None else environ
        self._config = SshConfig(self._environ)
        self._cached = load_last_contact(roots, instance_id) or LastContact()
        self._ec2_failed = False
        self.last: tuple[HostSettings, str] | None = None
        """The settings and the user of the newest connection attempt."""

    def connect(self) -> SshConnection:
        """Open an SSH connection to the instance.

        Raises:
            Gone: The instance is not running, or EC2 has no such instance.
            Unreachable: No SSH server answers.
            HostKeyError: The host key is not trusted.
            NotLetIn: Authentication failed.
            StoreError: The address is not known, and the request to EC2 failed.
        """
        Thread(target=_import, name="import", daemon=True).start()  # while `ssh -G` runs
        settings = self._settings()
        named_by_config = settings.host != self.instance_id or settings.proxy_command
        if named_by_config:
            try:
                return self._connect(settings, self._cached)
            except Unreachable as error:
                raise self._with_ec2_state(error) from error
        if self._cached.host:
            try:
                at_cached = structs.replace(settings, host=self._cached.host)
                return self._connect(at_cached, self._cached)
            except (Unreachable, HostKeyError) as error:
                fresh = self._new_address(settings, error)
        else:
            fresh = self._look_up(settings)
        try:
            return self._connect(structs.replace(settings, host=fresh.host), fresh)
        except Unreachable as error:
            raise self._with_ec2_state(error) from error

    def tunnel(self, port: int) -> Tunnel:
        """Make a tunnel to a port of the instance. It reconnects after a lost connection.

        Raises:
            RemoteError, StoreError: As for `connect`.
        """
        connection = self.connect()
        try:
            return Tunnel(connection, port, reconnect=self.connect)
        except BaseException:
            connection.close()
            raise

    # settings

    def _settings(self) -> HostSettings:
        settings = self._config.settings_for(self.instance_id, user=self._flags.ssh_user or "")
        if self._flags.identity is not None:
            first = str(Path(self._flags.identity).expanduser().absolute())
            rest = [each for each in settings.identities if each != first]
            settings = structs.replace(
                settings, identities=(first, *rest), named=settings.named + 1
            )
        return self._with_launch_key(settings)

    def _with_launch_key(self, settings: HostSettings) -> HostSettings:
        """Add the key that `launch` made: after the named keys, before ssh's default keys."""
        own = str(ssh_key(self._environ))
        if own in settings.identities or not Path(own).is_file():
            return settings
        at = settings.named
        identities = (*settings.identities[:at], own, *settings.identities[at:])
        return structs.replace(settings, identities=identities, named=at + 1)

    def _user(self, settings: HostSettings, kept: LastContact) -> str:
        others = (self._told.user, kept.user)
        known = [each for each in others if _USER.fullmatch(each) is not None]
        return settings.user or next(iter(known), DEFAULT_USER)

    def _connect(self, settings: HostSettings, how: LastContact) -> SshConnection:
        user = self._user(settings, how)
        self.last = settings, user
        region, profile = self._where(how)
        verifier = HostKeyVerifier(
            self.instance_id,
            list(dict.fromkeys([self.instance_id, *([settings.alias] if settings.alias else [])])),
            [host_name(settings.host, settings.port)],
            settings.known_hosts,
            own=KnownHostsFile(self._roots),
            sources=[
                KeySource("the queue's log in S3", self._keys_in_log),
                KeySource("the instance's console", lambda: self._keys_on_console(region, profile)),
            ],
            compare=self._how_to_compare(region, profile),
        )
        try:
            connection = connect(
                self._config, settings, user, verifier, advice=self._advice(settings, user)
            )
        except HostKeyUnknown as error:
            from spawn.cli.ssh.lookup import missing_in_ec2  # boto3 costs 180 ms to import

            if self._ec2_failed:
                raise
            raise error.with_why(missing_in_ec2(self.instance_id, region, profile)) from error
        # Another part of this command may have stored the queue in the meantime.
        now = load_last_contact(self._roots, self.instance_id) or how
        user = how.user if self._flags.ssh_user else user  # the flag is for this command only
        self._cached = structs.replace(how, user=user, queue=now.queue, has_no_copy=now.has_no_copy)
        save_last_contact(self._roots, self.instance_id, self._cached)
        return connection

    def _where(self, how: LastContact) -> tuple[str | None, str | None]:
        # boto3 reads only AWS_DEFAULT_REGION; all other AWS tools also read AWS_REGION.
        region = self._flags.region or how.region or self._environ.get("AWS_REGION") or None
        return region, self._flags.profile or how.profile

    def _keys_in_log(self) -> list[HostKey]:
        found = (parse_host_key(line) for line in self._told.host_keys())
        return [key for key in found if key is not None]

    def _keys_on_console(self, region: str | None, profile: str | None) -> Sequence[HostKey]:
        from spawn.store.aws.ec2_instances import console_output  # boto3 costs 180 ms to import

        try:
            return console_text.parse_host_keys(console_output(self.instance_id, region, profile))
        except SpawnError:
            self._ec2_failed = True  # the next request would fail too
            raise

    def _how_to_compare(self, region: str | None, profile: str | None) -> str:
        words = ["aws", "ec2", "get-console-output", "--instance-id", self.instance_id]
        words += ["--latest", "--output", "text"]
        words += ["--region", region] if region else []
        words += ["--profile", profile] if profile else []
        return f" with the one on its console (`{shlex.join(words)}`)"

    def _advice(self, settings: HostSettings, user: str) -> str:
        if settings.user or self._told.user or user != DEFAULT_USER:
            return ""
        return f"no user is set, so {DEFAULT_USER} was used; on Ubuntu it is ubuntu"

    # EC2

    def _new_address(self, settings: HostSettings, error: RemoteError) -> LastContact:
        """Ask EC2 for the current address; raises `error` if it is the remembered one."""
        try:
            fresh = self._look_up(settings)
        except InstanceNotRunning:
            raise
        except SpawnError:
            raise error from None
        if fresh.host == self._cached.host:
            raise error
        return fresh

    def _look_up(self, settings: HostSettings) -> LastContact:
        from spawn.cli.ssh.lookup import (  # boto3 costs 180 ms to import
            address,
            find_running_instance,
        )

        region, profile = self._where(self._cached)
        found = find_running_instance(self.instance_id, region, profile)
        return structs.replace(
            self._cached,
            host=address(found, from_within=bool(settings.jumps)),
            region=found.region,
            profile=profile,
            user=found.tags.get(TAG_USER, "") or self._cached.user,
        )

    def _with_ec2_state(self, error: Unreachable) -> RemoteError:
        from spawn.cli.ssh.lookup import with_ec2_state  # boto3 costs 180 ms to import

        return with_ec2_state(error, self.instance_id, *self._where(self._cached))


def _import() -> None:
    with suppress(ImportError):  # raised again where the library is used
        paramiko()
        sshtunnel()
