"""Ask EC2 for an instance that is to be reached, and say why it cannot be."""

from contextlib import suppress

from spawn.cli.remote.errors import Gone, HostKeyUnknown, Unreachable
from spawn.core.errors import SpawnError
from spawn.core.ids import is_mistyped_instance_id
from spawn.core.why.advice import named
from spawn.store.instances import GONE, Described, Searched, describe, region_asked, region_of


def running(instance_id: str, region: str | None, profile: str | None) -> Described:
    """Ask EC2 for an instance that runs, or starts and has an address.

    Args:
        region: None: the one that the AWS configuration names.

    Raises:
        Gone: It is in another state, in another region (the flag is named), or not known.
        Denied: We may not ask, or nobody says as whom or where.
        Unavailable: EC2 does not answer.
    """
    found = known(instance_id, region, profile)
    if found.state == "pending" and (found.public or found.private):
        return found
    if found.state != "running":
        raise _gone(found)
    return found


def known(instance_id: str, region: str | None, profile: str | None) -> Described:
    """Ask EC2 for an instance, whatever its state is.

    Raises:
        Gone: It is in another region (the flag is named), or not known.
        Denied: We may not ask, or nobody says as whom or where.
        Unavailable: EC2 does not answer.
    """
    found = describe(instance_id, region, profile)
    if found is None:
        raise _not_known(instance_id, region, profile)
    return found


def address(found: Described, *, from_within: bool) -> str:
    """Where to connect to.

    Args:
        from_within: From a host of its own network, which has it at its private address.

    Raises:
        Gone: It has no address.
    """
    both = (found.private, found.public) if from_within else (found.public, found.private)
    for each in both:
        if each:
            return each
    raise Gone(
        f"instance {found.instance_id} has no address",
        state=found.state,
        hint="a ProxyCommand in the SSH configuration leads to it through SSM",
    )


def doubted(
    error: HostKeyUnknown, instance_id: str, region: str | None, profile: str | None
) -> None:
    """Where EC2 knows no such instance, add that to why nobody knows the host's key."""
    with suppress(SpawnError):
        if describe(instance_id, region, profile) is None:
            where = region_asked(region, profile) or "its region"
            error.why += f"; EC2 knows no such instance in {where}"


def asked(error: Unreachable, instance_id: str, region: str | None, profile: str | None) -> None:
    """Ask EC2 about an instance that does not answer, and add what it says to the error.

    Raises:
        Gone: Nobody can answer, or nobody yet.
    """
    try:
        found = describe(instance_id, region, profile)
    except SpawnError:
        return
    if found is None:
        where = f" in {region}" if region else ""
        error.why += f"; EC2 knows no instance {instance_id}{where}"
    elif found.state in GONE or found.state == "pending":
        raise _gone(found) from error


def _not_known(instance_id: str, region: str | None, profile: str | None) -> Gone:
    searched, unasked = Searched(), ""
    if not is_mistyped_instance_id(instance_id):
        try:
            searched = region_of(instance_id, region, profile)
        except SpawnError as error:  # it was worth a try
            unasked = str(error)
    elsewhere = searched.region
    if elsewhere:
        where = f" in {region}" if region else " in the region of the AWS configuration"
        return Gone(
            f"instance {instance_id} is not{where}",
            state="unknown",
            why=f"it is in {elsewhere}",
            hint=f"--region {elsewhere}",
            elsewhere=elsewhere,
        )
    why = "no region of this account has it, or it was terminated an hour ago"
    if unasked:
        why = f"it was terminated an hour ago, or is in another region: {unasked}"
    if searched.silent:
        names = named(searched.silent)
        why = f"it was terminated an hour ago, or is in a region that did not answer: {names}"
    return Gone(
        f"EC2 knows no instance {instance_id}",
        state="unknown",
        why=why,
        hint="--profile names another account, --region another region",
    )


def start(instance_id: str) -> str:
    """How an instance that is stopped answers again."""
    return f"`aws ec2 start-instances --instance-ids {instance_id}` starts it"


def _gone(found: Described) -> Gone:
    pending = found.state == "pending"
    since = f" since {found.launched_at:%Y-%m-%d %H:%M:%S} UTC" if found.launched_at else ""
    hint = f"`spawn queue status {found.instance_id}` reads its queue's log in S3"
    if found.state == "stopped":
        hint = f"{start(found.instance_id)}; {hint}"
    return Gone(
        f"instance {found.instance_id} is {found.state}",
        state=found.state,
        why=f"it has been starting{since}" if pending else found.reason,
        hint="it answers in a minute or two" if pending else hint,
    )
