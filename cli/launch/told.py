"""What is said and kept when an instance was launched."""

from collections.abc import Callable

from spawn.cli.launch.launch import Ready
from spawn.cli.remote import address
from spawn.cli.remote.address import Remembered
from spawn.cli.sources import place
from spawn.core.launch.sheet import costs
from spawn.core.moments import moment
from spawn.store.paths import Roots


def remember(roots: Roots, ready: Ready, instance_id: str) -> None:
    """Keep where instance and queue are, for the commands that follow."""
    place.remember(roots, ready.queue.queue_id, ready.queue.place)
    how = Remembered(
        region=ready.aws.region,
        profile=ready.aws.profile,
        user=ready.order.wanted.user,
        queue=ready.queue.queue_id,
    )
    address.remember(roots, instance_id, how)


def tell_next(ready: Ready, instance_id: str, say: Callable[[str], None]) -> None:
    """Say what was launched, what it costs, and what to type next."""
    wanted, queue = ready.order.wanted, ready.queue
    spot = ", spot" if wanted.spot else ""
    say(
        f"Launched {instance_id} ({wanted.instance_type}{spot}, {ready.aws.region}) for queue "
        f"{queue.queue_id}; it begins in a few minutes"
    )
    say(f"Results: {queue.place.location}")
    if ready.order.ttl_at:
        at = moment(ready.order.ttl_at).strftime("%Y-%m-%dT%H:%M:%SZ")
        say(f"The queue is stopped at {at} at the latest, by this machine's clock")
    if wanted.spot:
        say(
            f"EC2 may take it away; `spawn launch --instance-type {wanted.instance_type} --resume "
            f"{queue.queue_id}` goes on with its queue then"
        )
    say(costs(wanted, instance_id))
    say("Next:")
    say(f"  spawn queue status {instance_id} --watch")
    say(f"  spawn queue results {queue.queue_id}")
    say(f"  spawn terminate {instance_id}")
