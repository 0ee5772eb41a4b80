"""Errors of access to an instance over SSH.

SpawnError
└── RemoteError        access over SSH failed
    ├── Unreachable    no SSH server answers: the address may be out of date, or a firewall blocks
    ├── Gone           the instance is not running, or EC2 has no instance of that id
    ├── HostKeyError   the host key is not trusted; nothing was sent
    │   ├── HostKeyDiffers  it does not match the known key
    │   └── HostKeyUnknown  no known key to compare it with
    ├── StillBooting   host key unknown or login rejected, and its queue has not started there
    ├── NotLetIn       authentication failed
    ├── PortClosed     nothing listens on the instance's port
    ├── NotForwarded   the SSH server refuses to forward to the port
    ├── Cut            an open connection was lost
    └── NoSpawn        no `spawn` on the instance, or one that does not support the command
"""

from spawn.core.errors import SpawnError


class RemoteError(SpawnError):
    """Access to an instance over SSH failed."""


class Unreachable(RemoteError):
    """No SSH server answers at the address."""


class InstanceNotRunning(RemoteError):
    """The instance is stopped, terminated or pending, or EC2 has no instance of that id.

    Args:
        state: The state as EC2 names it; `unknown` if EC2 has no such instance.
        elsewhere: The region that has it instead; empty if none is known.
    """

    def __init__(
        self, what: str, *, state: str, why: str = "", hint: str = "", elsewhere: str = ""
    ) -> None:
        super().__init__(what, why=why, hint=hint)
        self.state = state
        self.elsewhere = elsewhere


class HostKeyError(RemoteError):
    """The host key is not trusted. Nothing was sent to the host."""


class HostKeyMismatch(HostKeyError):
    """The host key does not match the known one, or is revoked."""


class HostKeyUnknown(HostKeyError):
    """No source has a key for the host."""


class StillBooting(RemoteError):
    """The host key is unknown or the login is rejected, and the queue has not started on the
    instance: it is probably still booting.

    Args:
        owner: The machine that owns the queue instead; empty if none does.
    """

    def __init__(self, what: str, *, owner: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.owner = owner


class AuthenticationFailed(RemoteError):
    """Authentication failed."""


class PortClosed(RemoteError):
    """Nothing listens on the instance's port."""


class ForwardingRefused(RemoteError):
    """The SSH server does not forward to the port."""


class ConnectionLost(RemoteError):
    """An open connection was lost."""


class SpawnNotInstalled(RemoteError):
    """The instance has no `spawn`, or one that does not support the command.

    Args:
        version: The version on the instance; empty if it has none.
    """

    def __init__(self, what: str, *, version: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.version = version
