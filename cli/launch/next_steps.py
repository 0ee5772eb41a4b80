"""Remember a launched instance, and print what to do next."""

from collections.abc import Callable

from spawn.cli.launch.launch import LaunchPlan
from spawn.cli.launch.preview import cost_notice
from spawn.cli.sources import queue_location
from spawn.cli.ssh import last_contact
from spawn.cli.ssh.last_contact import LastContact
from spawn.core.values.timestamps import parse_timestamp
from spawn.store.queue_dir.paths import Roots


def remember(roots: Roots, plan: LaunchPlan, instance_id: str) -> None:
    """Save the location of instance and queue for later commands."""
    queue_location.save_place(roots, plan.queue.queue_id, plan.queue.place)
    how = LastContact(
        region=plan.aws.region,
        profile=plan.aws.profile,
        user=plan.request.wanted.user,
        queue=plan.queue.queue_id,
    )
    last_contact.save_last_contact(roots, instance_id, how)


def print_next_steps(plan: LaunchPlan, instance_id: str, say: Callable[[str], None]) -> None:
    """Print what was launched, what it costs, and the next commands."""
    wanted, queue = plan.request.wanted, plan.queue
    spot = ", spot" if wanted.spot else ""
    say(
        f"Launched {instance_id} ({wanted.instance_type}{spot}, {plan.aws.region}) for queue "
        f"{queue.queue_id}; the queue starts in a few minutes"
    )
    say(f"Results: {queue.place.location}")
    if plan.request.ttl_at:
        at = parse_timestamp(plan.request.ttl_at).strftime("%Y-%m-%dT%H:%M:%SZ")
        say(f"The queue stops at {at} at the latest, by this machine's clock")
    if wanted.spot:
        say(
            f"If EC2 interrupts it, `spawn launch --instance-type {wanted.instance_type} --resume "
            f"{queue.queue_id}` resumes the queue"
        )
    say(cost_notice(wanted, instance_id))
    say("Next:")
    say(f"  spawn queue status {instance_id} --watch")
    say(f"  spawn queue results {queue.queue_id}")
    say(f"  spawn terminate {instance_id}")
