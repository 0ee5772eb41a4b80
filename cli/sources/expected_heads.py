"""Find events in the copy in S3 that the log on this machine must have."""

import os

from msgspec import Struct

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.queue_location import find_place
from spawn.core.errors import CorruptLog, InvalidArgument
from spawn.store.aws.this_machine import detect_instance
from spawn.store.aws.this_machine import machine_id as place_here
from spawn.store.log.head import Head
from spawn.store.objects.interface import StoreError
from spawn.store.objects.location import open_place
from spawn.store.queue_dir.paths import Roots
from spawn.store.replica.audit import newest_event
from spawn.store.replica.lease import owner_name


class ExpectedHeads(Struct, frozen=True):
    """Events that the log on this machine must have, and a note on the copy if it proves none."""

    heads: tuple[Head, ...] = ()
    note: str = ""


def expected_heads(roots: Roots, queue_id: str, where: LocationFlags) -> ExpectedHeads:
    """Read the newest event of the copy of a log on this machine.

    A runner of this machine ships only events that are in the log here. If another machine has
    taken the queue over, the copy is longer, and that is no loss.
    """
    try:
        found = find_place(
            roots, queue_id, LocationFlags(region=where.region, profile=where.profile)
        )
    except InvalidArgument:
        return ExpectedHeads()
    if found.guessed:
        return ExpectedHeads()
    store = open_place(found.place, roots.objects)
    try:
        shipped = newest_event(store, queue_id)
    except (StoreError, CorruptLog) as error:
        return ExpectedHeads(note=f"its copy at {store.location} was not compared: {error}")
    if shipped is None:
        return ExpectedHeads()
    head, seen = shipped
    if seen.lease.owner.place == place_here(detect_instance(os.environ), roots.state):
        return ExpectedHeads(heads=(head,))
    return ExpectedHeads(
        note=f"the queue has moved to {owner_name(seen.lease)}; its copy at {store.location} has "
        f"{head.seq} events"
    )
