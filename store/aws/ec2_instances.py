"""Query EC2 for an instance: state, addresses, console output and region."""

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
from spawn.store.objects.aws import CONFIG, create_client, error_code, translate_errors
from spawn.store.objects.interface import Unavailable

_UNKNOWN = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}
GONE = {"shutting-down", "terminated", "stopping", "stopped"}
"""States in which the instance does not answer, or soon stops answering."""
_OVER = {"stopped", "terminated"}
"""States in which no process runs."""
_MAX_THREADS = 16
SEARCH_SECONDS = 8.0
"""Time limit for a search in all regions."""
_COMMON_REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
"""Regions with the most instances, searched first."""
_SEARCH_CONFIG = CONFIG.merge(Config(read_timeout=SEARCH_SECONDS))
_HINT = "check the network, --region and --profile, and AWS_ENDPOINT_URL if it is set"
_TRANSITION = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
"""The time in a state transition reason: `User initiated (2026-01-27 14:05:32 GMT)`."""


class Volume(Struct, frozen=True):
    """A volume of an instance. `stays`: it is not deleted with the instance, and costs money."""

    volume_id: str
    stays: bool = False


class InstanceDescription(Struct, frozen=True, kw_only=True):
    """An instance as described by EC2.

    `state` is EC2's: pending, running, shutting-down, terminated, stopping or stopped.
    """

    instance_id: str
    region: str
    state: str
    type: str = ""
    public: str = ""
    """Public address; empty if none."""
    private: str = ""
    launched_at: datetime | None = None
    key_name: str = ""
    """Key pair of the launch."""
    reason: str = ""
    """EC2's reason for the state."""
    tags: dict[str, str] = {}
    zone: str = ""
    """Availability zone."""
    spot: bool = False
    """Whether it is a spot instance, which EC2 may interrupt."""
    spot_request: str = ""
    """Spot request of the instance; a persistent request starts a replacement."""
    platform: str = ""
    """Billed platform: `Linux/UNIX`."""
    profile_arn: str = ""
    """ARN of the instance profile; empty if none."""
    volumes: tuple[Volume, ...] = ()
    ended_at: datetime | None = None
    """When it was stopped or terminated, if EC2 reports it."""


class RegionSearch(Struct, frozen=True):
    """Result of a search: the region of the instance, or empty, and regions without an answer."""

    region: str = ""
    silent: tuple[str, ...] = ()


def describe(
    instance_id: str, region: str | None, profile: str | None
) -> InstanceDescription | None:
    """Describe an instance; None if the region does not have it.

    Args:
        region: None for the region of the AWS configuration.

    Raises:
        Denied: The request is not allowed, or no credentials or region are configured.
        Unavailable: EC2 does not answer.
    """
    with ec2_errors(region):
        return _describe(create_client("ec2", region, profile), instance_id)


def state_of(instance_id: str, region: str | None, profile: str | None) -> str:
    """Return `stopped` or `terminated`; empty if the instance may be running or is unknown.

    An instance that EC2 does not know may belong to another account, so it counts as unknown.
    """
    try:
        found = describe(instance_id, region, profile)
    except SpawnError:
        return ""
    return found.state if found is not None and found.state in _OVER else ""


def console_output(instance_id: str, region: str | None, profile: str | None) -> str:
    """Return an instance's newest console output; empty if there is none yet.

    Raises:
        Denied: The request is not allowed.
        Unavailable: EC2 does not answer.
    """
    with ec2_errors(region):
        client = create_client("ec2", region, profile)
        try:
            found = client.get_console_output(InstanceId=instance_id, Latest=True)
        except ClientError as error:
            if error_code(error) in _UNKNOWN:
                return ""
            # Only Nitro instances support Latest; others return the output of their boot.
            if error_code(error) != "UnsupportedOperation":
                raise
            found = client.get_console_output(InstanceId=instance_id)
    return str(found.get("Output") or "")


def configured_region(region: str | None, profile: str | None) -> str:
    """Return the region that requests go to; empty if none is configured."""
    try:
        with ec2_errors(region):
            return str(create_client("ec2", region, profile).meta.region_name)
    except SpawnError:
        return ""


def find_region(
    instance_id: str,
    region: str | None,
    profile: str | None,
    *,
    seconds: float = SEARCH_SECONDS,
) -> RegionSearch:
    """Find the region of an instance among the account's regions.

    Args:
        region: The region that was searched before, and is skipped.
        seconds: Time limit.

    Raises:
        Denied: The regions cannot be listed.
        Unavailable: EC2 does not answer.
    """
    until = time.monotonic() + seconds
    threads = ThreadPoolExecutor(_MAX_THREADS)
    try:
        listed = threads.submit(_other_regions, region, profile)
        try:
            others = listed.result(seconds)
        except TimeoutError:
            raise Unavailable("EC2 does not list its regions", hint=_HINT) from None
        searches = {threads.submit(_has, other, instance_id): other for other in others}
        silent = {str(other.meta.region_name) for other in others}
        try:
            for each in as_completed(searches, max(0.0, until - time.monotonic())):
                name = str(searches[each].meta.region_name)
                found = each.result()
                if found:
                    return RegionSearch(name)
                if found is not None:
                    silent.discard(name)
        except TimeoutError:
            pass  # the other regions did not answer in time
        return RegionSearch(silent=tuple(sorted(silent)))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _other_regions(region: str | None, profile: str | None) -> list[Any]:
    """Return clients of all regions except `region`."""
    import boto3

    from spawn.store.objects.service_models import create_session as botocore_session

    with ec2_errors(region):
        client = create_client("ec2", region, profile)
        names = [each["RegionName"] for each in client.describe_regions()["Regions"]]
        # One session for all regions: loading the EC2 model takes longer than a request.
        session = boto3.Session(profile_name=profile, botocore_session=botocore_session())
        return [
            session.client("ec2", region_name=name, config=_SEARCH_CONFIG)
            for name in sorted(names, key=lambda name: (name not in _COMMON_REGIONS, name))
            if name != client.meta.region_name
        ]


def _has(client: Any, instance_id: str) -> bool | None:
    """Whether a region has an instance; None if the request fails."""
    try:
        with ec2_errors(None):
            return _describe(client, instance_id) is not None
    except SpawnError:
        return None


def _describe(client: Any, instance_id: str) -> InstanceDescription | None:
    try:
        found = client.describe_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if error_code(error) in _UNKNOWN:
            return None
        raise
    for reservation in found["Reservations"]:
        for each in reservation["Instances"]:
            if each["InstanceId"] == instance_id:
                return to_description(each, client.meta.region_name)
    return None


def to_description(found: dict[str, object], region: str) -> InstanceDescription:
    """Convert one instance of EC2's answer."""
    state = found.get("State")
    reason = found.get("StateReason")
    tags = found.get("Tags")
    launched = found.get("LaunchTime")
    mappings = found.get("BlockDeviceMappings")
    transition = _TRANSITION.search(_text(found, "StateTransitionReason"))
    return InstanceDescription(
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
    """Return a valid address or an empty string; it is passed to other programs."""
    try:
        return str(ip_address(_text(found, name)))
    except ValueError:
        return ""


def _text(found: object, name: str) -> str:
    return str(found.get(name) or "") if isinstance(found, dict) else ""


@contextmanager
def ec2_errors(region: str | None) -> Iterator[None]:
    """Convert boto3's errors to `StoreError`."""
    try:
        with translate_errors(f"EC2 in {region}" if region else "EC2", ""):
            yield
    except Unavailable as error:
        raise error.with_default_hint(_HINT) from error
