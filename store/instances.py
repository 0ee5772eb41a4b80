"""What EC2 knows of an instance: its state, its addresses, what its console shows."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import SpawnError
from spawn.store.objects.aws import CONFIG, code_of, connect, errors
from spawn.store.objects.port import Unavailable

_UNKNOWN = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}
GONE = {"shutting-down", "terminated", "stopping", "stopped"}
"""States in which nobody answers any more."""
_OVER = {"stopped", "terminated"}
"""States in which nothing runs there any more."""
_ASKED_AT_ONCE = 16
SEARCH_SECONDS = 8.0
"""How long all regions together may take to say whether they have an instance."""
_USUAL = ("us-east-1", "us-west-2", "eu-west-1")
"""Regions that most instances are in: asked first."""
_BRIEF = CONFIG.merge(Config(read_timeout=SEARCH_SECONDS))
_HINT = "check the network, --region and --profile; AWS_ENDPOINT_URL, where it is set, names EC2"
_MOMENT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""How EC2 says when an instance was stopped: `User initiated (2026-01-27 14:05:32 GMT)`."""


class Volume(Struct, frozen=True):
    """A volume of an instance. `stays`: it is there, and costs, after the instance is gone."""

    volume_id: str
    stays: bool = False


class Described(Struct, frozen=True, kw_only=True):
    """An instance, as EC2 describes it.

    `state` is EC2's own word: pending, running, shutting-down, terminated, stopping, stopped.
    """

    instance_id: str
    region: str
    state: str
    type: str = ""
    public: str = ""
    """Its public address; empty when it has none."""
    private: str = ""
    launched_at: datetime | None = None
    key_name: str = ""
    """The key pair that it was launched with."""
    reason: str = ""
    """Why it is in that state, in EC2's words."""
    tags: dict[str, str] = {}
    zone: str = ""
    """Its availability zone."""
    spot: bool = False
    """Whether it runs at the spot price, and may be taken back."""
    spot_request: str = ""
    """The spot request that it came from; a persistent one starts another when it is gone."""
    platform: str = ""
    """What is billed, in EC2's words: `Linux/UNIX`."""
    profile_arn: str = ""
    """Its instance profile: whose role it has; empty when it has none."""
    volumes: tuple[Volume, ...] = ()
    ended_at: datetime | None = None
    """When it was stopped or terminated, where EC2 says so."""


class Searched(Struct, frozen=True):
    """The region that has an instance, empty for none, and those that did not say in time."""

    region: str = ""
    silent: tuple[str, ...] = ()


def describe(instance_id: str, region: str | None, profile: str | None) -> Described | None:
    """Ask EC2 for an instance; None when it knows none of that id in the region.

    Args:
        region: None: the one that the AWS configuration names.

    Raises:
        Denied: We may not ask, or nobody says as whom or where.
        Unavailable: EC2 does not answer.
    """
    with ec2_errors(region):
        return _found(connect("ec2", region, profile), instance_id)


def state_of(instance_id: str, region: str | None, profile: str | None) -> str:
    """Say that an instance is stopped or terminated; empty when it may run something, or nobody
    knows.

    An instance that EC2 does not know is not said to be gone: it may be another account's.
    """
    try:
        found = describe(instance_id, region, profile)
    except SpawnError:
        return ""
    return found.state if found is not None and found.state in _OVER else ""


def console(instance_id: str, region: str | None, profile: str | None) -> str:
    """What an instance's console shows, the newest that EC2 has; empty when it has nothing yet.

    Raises:
        Denied: We may not ask.
        Unavailable: EC2 does not answer.
    """
    with ec2_errors(region):
        client = connect("ec2", region, profile)
        try:
            found = client.get_console_output(InstanceId=instance_id, Latest=True)
        except ClientError as error:
            if code_of(error) in _UNKNOWN:
                return ""
            # Only instances on Nitro have the newest; the others have that of their start.
            if code_of(error) != "UnsupportedOperation":
                raise
            found = client.get_console_output(InstanceId=instance_id)
    return str(found.get("Output") or "")


def region_asked(region: str | None, profile: str | None) -> str:
    """The region that is asked where nobody names one; empty when there is none."""
    try:
        with ec2_errors(region):
            return str(connect("ec2", region, profile).meta.region_name)
    except SpawnError:
        return ""


def region_of(
    instance_id: str,
    region: str | None,
    profile: str | None,
    *,
    seconds: float = SEARCH_SECONDS,
) -> Searched:
    """Find the region that an instance is in, among those of the account.

    Args:
        region: The one that knows nothing of it.
        seconds: That all of it may take.

    Raises:
        Denied: We may not ask which regions there are.
        Unavailable: EC2 does not answer.
    """
    until = time.monotonic() + seconds
    threads = ThreadPoolExecutor(_ASKED_AT_ONCE)
    try:
        listed = threads.submit(_others, region, profile)
        try:
            others = listed.result(seconds)
        except TimeoutError:
            raise Unavailable("EC2 does not say which regions there are", hint=_HINT) from None
        asked = {threads.submit(_has, other, instance_id): other for other in others}
        silent = {str(other.meta.region_name) for other in others}
        try:
            for each in as_completed(asked, max(0.0, until - time.monotonic())):
                name = str(asked[each].meta.region_name)
                found = each.result()
                if found:
                    return Searched(name)
                if found is not None:
                    silent.discard(name)
        except TimeoutError:
            pass  # who has not said by now is silent
        return Searched(silent=tuple(sorted(silent)))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _others(region: str | None, profile: str | None) -> list[Any]:
    """Clients of all regions but the one that is asked first."""
    import boto3

    from spawn.store.objects.models import session as below

    with ec2_errors(region):
        client = connect("ec2", region, profile)
        names = [each["RegionName"] for each in client.describe_regions()["Regions"]]
        # One session for all: it reads what EC2 is once, which takes longer than the answer.
        session = boto3.Session(profile_name=profile, botocore_session=below())
        return [
            session.client("ec2", region_name=name, config=_BRIEF)
            for name in sorted(names, key=lambda name: (name not in _USUAL, name))
            if name != client.meta.region_name
        ]


def _has(client: Any, instance_id: str) -> bool | None:
    """Whether a region has an instance; None: it does not say, which hides no other."""
    try:
        with ec2_errors(None):
            return _found(client, instance_id) is not None
    except SpawnError:
        return None


def _found(client: Any, instance_id: str) -> Described | None:
    try:
        found = client.describe_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if code_of(error) in _UNKNOWN:
            return None
        raise
    for reservation in found["Reservations"]:
        for each in reservation["Instances"]:
            if each["InstanceId"] == instance_id:
                return described(each, client.meta.region_name)
    return None


def described(found: dict[str, object], region: str) -> Described:
    """What an answer of EC2 says of one instance."""
    state = found.get("State")
    reason = found.get("StateReason")
    tags = found.get("Tags")
    launched = found.get("LaunchTime")
    mappings = found.get("BlockDeviceMappings")
    transition = _MOMENT.search(_text(found, "StateTransitionReason"))
    return Described(
        instance_id=_text(found, "InstanceId"),
        region=region,
        state=_text(state, "Name"),
        type=_text(found, "InstanceType"),
        public=_address(found, "PublicIpAddress") or _address(found, "Ipv6Address"),
        private=_address(found, "PrivateIpAddress"),
        launched_at=launched if isinstance(launched, datetime) else None,
        key_name=_text(found, "KeyName"),
        reason=_text(reason, "Message"),
        tags={_text(each, "Key"): _text(each, "Value") for each in tags}
        if isinstance(tags, list)
        else {},
        zone=_text(found.get("Placement"), "AvailabilityZone"),
        spot=_text(found, "InstanceLifecycle") == "spot",
        spot_request=_text(found, "SpotInstanceRequestId"),
        platform=_text(found, "PlatformDetails"),
        profile_arn=_text(found.get("IamInstanceProfile"), "Arn"),
        volumes=tuple(_volumes(mappings if isinstance(mappings, list) else [])),
        ended_at=datetime.fromisoformat(transition[1]).replace(tzinfo=UTC)
        if transition and _text(state, "Name") in GONE
        else None,
    )


def _volumes(mappings: list[object]) -> Iterator[Volume]:
    for each in mappings:
        volume = each.get("Ebs") if isinstance(each, dict) else None
        if isinstance(volume, dict) and _text(volume, "VolumeId"):
            stays = not volume.get("DeleteOnTermination")
            yield Volume(_text(volume, "VolumeId"), stays)


def _address(found: dict[str, object], name: str) -> str:
    """An address, if it is one: it is handed to programs."""
    try:
        return str(ip_address(_text(found, name)))
    except ValueError:
        return ""


def _text(found: object, name: str) -> str:
    return str(found.get(name) or "") if isinstance(found, dict) else ""


@contextmanager
def ec2_errors(region: str | None) -> Iterator[None]:
    """Say in our words what boto3 says in its own."""
    try:
        with errors(f"EC2 in {region}" if region else "EC2", ""):
            yield
    except Unavailable as error:
        error.hint = error.hint or _HINT
        raise
