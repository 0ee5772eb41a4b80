"""What is known of an instance: what EC2 says, its role, its queue as S3 has it, its cost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from msgspec import Struct

from spawn.cli.flags import Where
from spawn.cli.sources.known_queues import known_queues
from spawn.cli.sources.open_replica import open_replica
from spawn.core.cost import Cost
from spawn.core.errors import SpawnError
from spawn.store.fleet import is_over
from spawn.store.instances import Described
from spawn.store.paths import Roots
from spawn.store.prices import cost_of
from spawn.store.roles import profile_name, roles_of

_SERVICES = 3
"""That are asked at once."""


class Role(Struct, frozen=True):
    """What an instance may be in AWS. `roles` is None where IAM did not say, for `why`."""

    profile: str
    roles: tuple[str, ...] | None = None
    why: str = ""


class QueueSeen(Struct, frozen=True, kw_only=True):
    """A queue as its log in S3 has it. `status` is empty where that cannot be read, for `why`."""

    queue_id: str
    location: str = ""
    status: str = ""
    heard_at: datetime | None = None
    """When its runner was last heard of; None where it never was."""
    why: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of an instance. `role` is None where it has no profile."""

    found: Described
    role: Role | None
    queue: QueueSeen | None
    cost: Cost

    @property
    def over(self) -> bool:
        """Whether the instance is terminated, or about to be."""
        return is_over(self.found.state)


def facts(found: Described, roots: Roots, where: Where, now: datetime) -> Facts:
    """Find out about an instance. What cannot be had is said there, and is no error."""
    with ThreadPoolExecutor(_SERVICES) as threads:
        role = threads.submit(_role, found, where.profile)
        queue = threads.submit(_queue, found, roots, where, now)
        cost = threads.submit(cost_of, found, now, where.profile)
    return Facts(found=found, role=role.result(), queue=queue.result(), cost=cost.result())


def _role(found: Described, profile: str | None) -> Role | None:
    if not found.profile_arn:
        return None
    name = profile_name(found.profile_arn)
    try:
        return Role(name, roles_of(found.profile_arn, found.region, profile))
    except SpawnError as error:
        return Role(name, why=str(error))


def _queue(found: Described, roots: Roots, where: Where, now: datetime) -> QueueSeen | None:
    known = next(iter(known_queues(found, roots, where)), None)
    if known is None:
        return None
    if known.alone:
        return QueueSeen(queue_id=known.queue, why="it has no copy in S3")
    try:
        replica = open_replica(roots, known.queue, known.where, say=lambda _: None)
        location = replica.objects().location
    except SpawnError as error:
        return QueueSeen(queue_id=known.queue, why=str(error))
    try:
        replica.refresh()
        report = replica.summary(now)
    except SpawnError as error:
        return QueueSeen(queue_id=known.queue, location=location, why=str(error))
    return QueueSeen(
        queue_id=known.queue,
        location=location,
        status=report.status,
        heard_at=report.origin.heard_at if report.origin is not None else None,
    )
