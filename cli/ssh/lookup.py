"""Look an instance up in EC2, and explain why it cannot be reached."""

from contextlib import suppress

from spawn.cli.ssh.errors import InstanceNotRunning, RemoteError, Unreachable
from spawn.core.errors import SpawnError
from spawn.core.reports.why.advice import join_ids
from spawn.core.values.ids import is_mistyped_instance_id
from spawn.store.aws.ec2_instances import (
    GONE,
    InstanceDescription,
    RegionSearch,
    configured_region,
    describe,
    find_region,
)


def find_running_instance(
    instance_id: str, region: str | None, profile: str | None
) -> InstanceDescription:
    """Describe an instance that is running, or is pending and has an address.

    Args:
        region: None: the region of the AWS configuration.

    Raises:
        Gone: It is in another state or region, or EC2 has no such instance. The hint names the
            flag for another region.
        Denied: Credentials, permissions or a region are missing.
        Unavailable: EC2 does not answer.
    """
    found = describe_or_raise(instance_id, region, profile)
    if found.state == "pending" and (found.public or found.private):
        return found
    if found.state != "running":
        raise _gone(found)
    return found


def describe_or_raise(
    instance_id: str, region: str | None, profile: str | None
) -> InstanceDescription:
    """Describe an instance in any state.

    Raises:
        Gone: It is in another region, which the hint names, or EC2 has no such instance.
        Denied: Credentials, permissions or a region are missing.
        Unavailable: EC2 does not answer.
    """
    found = describe(instance_id, region, profile)
    if found is None:
        raise _not_known(instance_id, region, profile)
    return found


def address(found: InstanceDescription, *, from_within: bool) -> str:
    """The address to connect to.

    Args:
        from_within: Whether to prefer the private address, as from a jump host in its network.

    Raises:
        Gone: The instance has no address.
    """
    both = (found.private, found.public) if from_within else (found.public, found.private)
    for each in both:
        if each:
            return each
    raise InstanceNotRunning(
        f"instance {found.instance_id} has no address",
        state=found.state,
        hint="a ProxyCommand in the SSH configuration can reach it through SSM",
    )


def missing_in_ec2(instance_id: str, region: str | None, profile: str | None) -> str:
    """A clause that says that EC2 has no such instance; empty if it has, or does not answer."""
    with suppress(SpawnError):
        if describe(instance_id, region, profile) is None:
            where = configured_region(region, profile) or "its region"
            return f"EC2 has no such instance in {where}"
    return ""


def with_ec2_state(
    error: Unreachable, instance_id: str, region: str | None, profile: str | None
) -> RemoteError:
    """Ask EC2 about an instance that does not answer, and return an error that includes the answer.

    The error is `InstanceNotRunning` if the instance is stopped, terminated or pending.
    """
    try:
        found = describe(instance_id, region, profile)
    except SpawnError:
        return error.with_why()
    if found is None:
        where = f" in {region}" if region else ""
        return error.with_why(f"EC2 has no instance {instance_id}{where}")
    if found.state in GONE or found.state == "pending":
        return _gone(found)
    return error.with_why()


def _not_known(instance_id: str, region: str | None, profile: str | None) -> InstanceNotRunning:
    searched, failure = RegionSearch(), ""
    if not is_mistyped_instance_id(instance_id):
        try:
            searched = find_region(instance_id, region, profile)
        except SpawnError as error:  # the search is optional
            failure = str(error)
    elsewhere = searched.region
    if elsewhere:
        where = f" in {region}" if region else " in the region of the AWS configuration"
        return InstanceNotRunning(
            f"instance {instance_id} is not{where}",
            state="unknown",
            why=f"it is in {elsewhere}",
            hint=f"--region {elsewhere}",
            elsewhere=elsewhere,
        )
    why = "no region of this account has it, or it was terminated over an hour ago"
    if failure:
        why = f"it was terminated over an hour ago, or is in another region: {failure}"
    if searched.silent:
        names = join_ids(searched.silent)
        why = f"it was terminated over an hour ago, or is in a region that did not answer: {names}"
    return InstanceNotRunning(
        f"EC2 has no instance {instance_id}",
        state="unknown",
        why=why,
        hint="--profile names another account, --region another region",
    )


def start_hint(instance_id: str) -> str:
    """The hint that starts a stopped instance."""
    return f"`aws ec2 start-instances --instance-ids {instance_id}` starts it"


def _gone(found: InstanceDescription) -> InstanceNotRunning:
    pending = found.state == "pending"
    since = f" since {found.launched_at:%Y-%m-%d %H:%M:%S} UTC" if found.launched_at else ""
    hint = f"`spawn queue status {found.instance_id}` reads its queue's log in S3"
    if found.state == "stopped":
        hint = f"{start_hint(found.instance_id)}; {hint}"
    return InstanceNotRunning(
        f"instance {found.instance_id} is {found.state}",
        state=found.state,
        why=f"it has been starting{since}" if pending else found.reason,
        hint="try again in a minute or two" if pending else hint,
    )
