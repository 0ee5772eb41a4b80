"""List the queues of an instance from its feed."""

import os
from collections.abc import Sequence

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.instance_errors import expect_instance, explain_port_closed
from spawn.cli.ssh.access import instance_access
from spawn.cli.ssh.errors import AuthenticationFailed, HostKeyError, InstanceNotRunning, RemoteError
from spawn.store.feed.answers import QueueSummary
from spawn.store.feed.client import FeedClient
from spawn.store.feed.errors import FeedUnavailable
from spawn.store.feed.requests import feed_port
from spawn.store.queue_dir.paths import Roots

_HINT = "`spawn queue list --bucket NAME` lists the queues in a bucket"


def list_instance_queues(
    instance_id: str, roots: Roots, where: LocationFlags
) -> Sequence[QueueSummary]:
    """The queues of an instance, newest first.

    Raises:
        InvalidArgument: `instance_id` is not an instance.
        RemoteError, NoFeed, NotAFeed, OtherProtocol, Refused: The feed cannot be read.
    """
    try:
        with (
            instance_access(instance_id, roots, where).tunnel(feed_port(os.environ)) as tunnel,
            FeedClient(lambda: tunnel.address, instance_id) as client,
        ):
            try:
                return client.queues().queues
            except FeedUnavailable as error:
                raise explain_port_closed(instance_id, tunnel.last_error() or error) from None
    except RemoteError as error:
        expect_instance(instance_id, error)
        if isinstance(error, (HostKeyError, AuthenticationFailed)):
            raise
        if isinstance(error, InstanceNotRunning):
            raise error.with_only_hint(_HINT) from error
        raise error.with_hint(_HINT) from error
