"""What can go wrong with a feed.

Unavailable (StoreError)
└── NoFeed          it does not answer; the same again later may
SpawnError
├── NotAFeed        something else answers on its port
├── OtherProtocol   one side must be updated
└── Refused         it answers, and not us
"""

from spawn.core.errors import SpawnError
from spawn.store.objects.port import Unavailable


class NoFeed(Unavailable):
    """It cannot be reached, or does not answer in time: the same again later may succeed."""


class NotAFeed(SpawnError):
    """Another program answers where the feed should."""


class OtherProtocol(SpawnError):
    """The feed is of a version that ours does not understand, or that does not understand ours."""


class Refused(SpawnError):
    """The feed does not serve us, or has too many clients."""


class NoOutput(SpawnError):
    """What an attempt printed is not on the feed's machine."""
