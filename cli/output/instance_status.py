"""The status of one instance, as text and as JSON."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

from spawn.cli.output.instance_list import STATES, as_dict
from spawn.cli.output.status import format_time
from spawn.cli.output.style import Style
from spawn.cli.sources.instance_facts import InstanceFacts
from spawn.core.values.cost import NOT_INCLUDED, Cost
from spawn.core.values.durations import format_compact
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable


def render(facts: InstanceFacts, now: datetime, zone: tzinfo | None, style: Style) -> Iterator[str]:
    """Yield the lines of an instance's status.

    Args:
        zone: The time zone for all times; None: the machine's own.
    """
    found = facts.found
    reason = f" ({printable(found.reason)})" if found.reason else ""
    yield f"Instance: {found.instance_id}"
    yield f"State: {style(STATES.get(found.state, ''), found.state)}{reason}"
    yield f"Type: {found.type}, {'spot' if found.spot else 'on-demand'}"
    yield f"Region: {found.region}" + (f" ({found.zone})" if found.zone else "")
    if found.launched_at is not None:
        ago = duration((now - found.launched_at).total_seconds())
        yield f"Launched: {format_time(found.launched_at, zone)} ({ago} ago)"
    if found.ended_at is not None:
        yield f"Ended: {format_time(found.ended_at, zone)}"
    yield f"Address: {_address(facts)}"
    yield f"IAM: {_iam(facts)}"
    yield f"Key: {printable(found.key_name) or 'none'}"
    yield f"Queue: {_queue(facts, now)}"
    if facts.queue is not None and facts.queue.location:
        yield f"Results Location: {printable(facts.queue.location)}"
    yield f"Cost so far: {_cost(facts.cost)}"
    yield "Tags:" if found.tags else "Tags: none"
    for name, value in sorted(found.tags.items()):
        yield f"  {printable(name)}: {printable(value)}"


def as_json(facts: InstanceFacts, zone: tzinfo | None) -> dict[str, Any]:
    """Return an instance's status as JSON data: the keys of `list`, and more. Unknown: null."""
    found, role, queue, cost = facts.found, facts.role, facts.queue, facts.cost
    return {
        **as_dict(found),
        "state_reason": found.reason or None,
        "ended_at": _iso(found.ended_at, zone),
        "iam": None
        if role is None
        else {"profile": role.profile, "roles": role.roles, "why": role.why or None},
        "queue": None
        if queue is None
        else {
            "queue_id": queue.queue_id,
            "status": queue.status or None,
            "results_location": queue.location or None,
            "runner_heard_at": _iso(queue.heard_at, zone),
            "why": queue.why or None,
        },
        "cost": {
            "usd": None if cost.usd is None else round(cost.usd, 4),
            "usd_per_hour": cost.per_hour,
            "basis": cost.basis or None,
            "running": None if cost.seconds is None else format_compact(cost.seconds),
            "why": cost.why or None,
        },
        "volumes": [{"volume_id": each.volume_id, "stays": each.stays} for each in found.volumes],
    }


def _address(facts: InstanceFacts) -> str:
    found = facts.found
    if found.public and found.private:
        return f"{found.public} (private {found.private})"
    return found.public or (f"{found.private} (private)" if found.private else "none")


def _iam(facts: InstanceFacts) -> str:
    role = facts.role
    if role is None:
        return "none" if facts.over else "none: results cannot be uploaded"
    profile = f"profile {printable(role.profile)}"
    if role.roles is None:
        return f"{profile}; role unknown: {printable(role.why)}"
    if not role.roles:
        return f"{profile}, which has no role: results cannot be uploaded"
    return f"role {printable(', '.join(role.roles))} ({profile})"


def _queue(facts: InstanceFacts, now: datetime) -> str:
    queue = facts.queue
    if queue is None:
        return "none known; the instance has no queue tag"
    name = printable(queue.queue_id)
    if not queue.status:
        return f"{name}, status unknown: {printable(queue.why)}"
    heard = ""
    if queue.heard_at is not None and queue.status == "running":
        ago = duration((now - queue.heard_at).total_seconds())
        heard = f", runner last heard from {ago} ago"
    asks = ""
    if not facts.over:
        asks = f"; `spawn queue status {facts.found.instance_id}` asks the instance"
    return f"{name}, {queue.status} (from its log in S3{heard}{asks})"


def _cost(cost: Cost) -> str:
    if cost.seconds is None:
        return f"unknown: {printable(cost.why)}"
    if cost.usd is None or cost.per_hour is None:
        return f"unknown: running for {duration(cost.seconds)}; {printable(cost.why)}"
    price = f"{duration(cost.seconds)} at ${cost.per_hour:.4f} per hour, {cost.basis}"
    return f"about ${cost.usd:.2f} ({price}; {NOT_INCLUDED})"


def _iso(moment: datetime | None, zone: tzinfo | None) -> str | None:
    return None if moment is None else moment.astimezone(zone).isoformat(timespec="seconds")
