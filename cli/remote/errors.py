"""What goes wrong between here and an instance.

SpawnError
└── RemoteError        asking over SSH failed
    ├── Unreachable    nobody who speaks SSH answers: the address may be out of date, or a firewall
    ├── Gone           EC2 says that it is not running, or knows none of that id
    ├── HostKeyError   nothing was sent, since nobody vouches for who answers
    │   ├── HostKeyDiffers  somebody else than expected
    │   └── HostKeyUnknown  nobody knows whom to expect
    ├── Boots          nobody vouches for it, or it lets nobody in, yet: its queue has not begun
    ├── NotLetIn       it is the right host, and it takes none of our keys
    ├── PortClosed     it lets us in, and nothing listens on the port there
    ├── NotForwarded   it lets us in, and forwards nothing to that port
    ├── Cut            the connection was there and is lost
    └── NoSpawn        a command ran there, and there is no `spawn` that understands it
"""

from spawn.core.errors import SpawnError


class RemoteError(SpawnError):
    """An instance could not be asked over SSH."""


class Unreachable(RemoteError):
    """Nobody answers there, or nobody who speaks SSH."""


class Gone(RemoteError):
    """There is nothing to reach: stopped, terminated, not yet begun, or not known.

    Args:
        state: EC2's word for its state; `unknown` when it knows none of that id.
        elsewhere: The region that has it instead, when that is known.
    """

    def __init__(
        self, what: str, *, state: str, why: str = "", hint: str = "", elsewhere: str = ""
    ) -> None:
        super().__init__(what, why=why, hint=hint)
        self.state = state
        self.elsewhere = elsewhere


class HostKeyError(RemoteError):
    """Nobody vouches for the host that answers."""


class HostKeyDiffers(HostKeyError):
    """The host shows another key than is known of it."""


class HostKeyUnknown(HostKeyError):
    """Nothing is known of the host's key."""


class Boots(RemoteError):
    """Its queue has not begun there, whose log would vouch for it; or it lets nobody in yet.

    Args:
        owner: Who has begun the queue instead; empty: nobody.
    """

    def __init__(self, what: str, *, owner: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.owner = owner


class NotLetIn(RemoteError):
    """The host takes none of our keys."""


class PortClosed(RemoteError):
    """Nothing listens on the instance's port."""


class NotForwarded(RemoteError):
    """The host lets us in, and opens no way to the port."""


class Cut(RemoteError):
    """A connection that was there is lost."""


class NoSpawn(RemoteError):
    """There is no `spawn` there that can do what was asked.

    Args:
        version: What the one there calls itself; empty when there is none.
    """

    def __init__(self, what: str, *, version: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what, why=why, hint=hint)
        self.version = version
