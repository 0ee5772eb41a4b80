"""What the copy of a log on this machine shows to have been in it."""

import os

from msgspec import Struct

from spawn.cli.flags import Where
from spawn.cli.sources.place import place_of
from spawn.core.errors import CorruptLog, InvalidArgument
from spawn.store.instance import instance
from spawn.store.instance import place as place_here
from spawn.store.log.head import Head
from spawn.store.objects.port import StoreError
from spawn.store.paths import Roots
from spawn.store.place import open_place
from spawn.store.replica.audit import newest
from spawn.store.replica.lease import describe


class Copy(Struct, frozen=True):
    """Events that the log on this machine must have, and what to say of its copy otherwise."""

    heads: tuple[Head, ...] = ()
    note: str = ""


def copy_of(roots: Roots, queue_id: str, where: Where) -> Copy:
    """Look at the end of the copy of a log on this machine.

    What a runner of this machine shipped was in the log here before. A copy that another machine
    goes on with is longer without any loss.
    """
    try:
        found = place_of(roots, queue_id, Where(region=where.region, profile=where.profile))
    except InvalidArgument:
        return Copy()
    if found.guessed:
        return Copy()
    store = open_place(found.place, roots.objects)
    try:
        shipped = newest(store, queue_id)
    except (StoreError, CorruptLog) as error:
        return Copy(note=f"its copy at {store.location} was not compared: {error}")
    if shipped is None:
        return Copy()
    head, seen = shipped
    if seen.lease.owner.place == place_here(instance(os.environ), roots.state):
        return Copy(heads=(head,))
    return Copy(
        note=f"the queue went on on {describe(seen.lease)}; its copy at {store.location} has "
        f"{head.seq} events"
    )
