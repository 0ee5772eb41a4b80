"""Errors of a feed.

Unavailable (StoreError)
└── NoFeed          it does not answer; a retry may succeed
SpawnError
├── NotAFeed        another program answers on its port
├── OtherProtocol   one side must be updated
├── Refused         it does not serve this user
└── NoOutput        it does not have the output
"""

from spawn.core.errors import SpawnError
from spawn.store.objects.interface import Unavailable


class FeedUnavailable(Unavailable):
    """The feed is unreachable, times out or has too many clients; a retry may succeed."""


class NotAFeed(SpawnError):
    """Another program answers on the feed's port."""


class IncompatibleProtocol(SpawnError):
    """The versions of spawn on the two machines are incompatible."""


class FeedRefused(SpawnError):
    """The feed does not serve this user, or the request failed there."""


class OutputNotFound(SpawnError):
    """The output of an attempt is not on the feed's machine."""
