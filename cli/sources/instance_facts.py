"""The facts for `spawn status`: the instance in EC2, its role, its queue's copy in S3, its cost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from msgspec import Struct

from spawn.cli.flags import LocationFlags
from spawn.cli.sources.known_queues import known_queues
from spawn.cli.sources.open_replica import open_replica
from spawn.core.errors import SpawnError
from spawn.core.values.cost import Cost
from spawn.store.aws.ec2_instances import InstanceDescription
from spawn.store.aws.fleet import instance_roles, is_over, profile_name
from spawn.store.aws.prices import estimate_cost
from spawn.store.queue_dir.paths import Roots

_SERVICES = 3
"""How many services are queried in parallel."""


class Role(Struct, frozen=True):
    """An instance profile and its roles; these are None if IAM cannot be queried, for `why`."""

    profile: str
    roles: tuple[str, ...] | None = None
    why: str = ""


class QueueFacts(Struct, frozen=True, kw_only=True):
    """A queue by its log in S3. `status` is empty if the log cannot be read; `why` says why."""

    queue_id: str
    location: str = ""
    status: str = ""
    heard_at: datetime | None = None
    """When its runner last renewed the lease; None if it never did."""
    why: str = ""


class InstanceFacts(Struct, frozen=True, kw_only=True):
    """Facts about an instance. `role` is None if it has no profile, `queue` if none is known."""

    found: InstanceDescription
    role: Role | None
    queue: QueueFacts | None
    cost: Cost

    @property
    def over(self) -> bool:
        """Whether the instance is terminated or shutting down."""
        return is_over(self.found.state)


def gather_facts(
    found: InstanceDescription, roots: Roots, where: LocationFlags, now: datetime
) -> InstanceFacts:
    """Gather the facts about an instance. A failed query is not an error; its fact has a `why`."""
    with ThreadPoolExecutor(_SERVICES) as threads:
        role = threads.submit(_role, found, where.profile)
        queue = threads.submit(_queue, found, roots, where, now)
        cost = threads.submit(estimate_cost, found, now, where.profile)
    return InstanceFacts(found=found, role=role.result(), queue=queue.result(), cost=cost.result())


def _role(found: InstanceDescription, profile: str | None) -> Role | None:
    if not found.profile_arn:
        return None
    name = profile_name(found.profile_arn)
    try:
        return Role(name, instance_roles(found.profile_arn, found.region, profile))
    except SpawnError as error:
        return Role(name, why=str(error))


def _queue(
    found: InstanceDescription, roots: Roots, where: LocationFlags, now: datetime
) -> QueueFacts | None:
    known = next(iter(known_queues(found, roots, where)), None)
    if known is None:
        return None
    if known.alone:
        return QueueFacts(queue_id=known.queue, why="it has no copy in S3")
    try:
        replica = open_replica(roots, known.queue, known.where, say=lambda _: None)
        location = replica.objects().location
    except SpawnError as error:
        return QueueFacts(queue_id=known.queue, why=str(error))
    try:
        replica.refresh()
        report = replica.summary(now)
    except SpawnError as error:
        return QueueFacts(queue_id=known.queue, location=location, why=str(error))
    return QueueFacts(
        queue_id=known.queue,
        location=location,
        status=report.status,
        heard_at=report.origin.lease_renewed_at if report.origin is not None else None,
    )
