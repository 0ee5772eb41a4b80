"""The VPC of an instance, and the security group that admits its user over SSH."""

import urllib.request
from ipaddress import ip_address
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.store.aws.errors import aws_errors
from spawn.store.aws.instance_request import parse_network
from spawn.store.aws.resource_names import GROUP
from spawn.store.aws.session import TAGS, AwsSession, require_tag
from spawn.store.objects.aws import error_code
from spawn.store.objects.interface import AccessDenied

SSH = 22
_UNKNOWN = {"InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed"}
_NO_GROUP = {"InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidGroupId.NotFound"}


class Network(Struct, frozen=True):
    """The VPC of an instance. `public`: whether the instance gets a public address."""

    vpc_id: str
    public: bool = True


class Group(Struct, frozen=True):
    """A security group. `group_id`: empty until it exists. `open`: whether it admits the source."""

    vpc_id: str
    group_id: str = ""
    open: bool = False


def find_network(aws: AwsSession, subnet_id: str | None) -> Network:
    """Return the subnet's VPC, by default the region's default VPC.

    Raises:
        InvalidArgument: The subnet or the default VPC does not exist.
        StoreError: The request failed.
    """
    client = aws.client("ec2")
    if subnet_id is not None:
        with aws_errors("ec2:DescribeSubnets", "describe a subnet", aws.region):
            try:
                found = client.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
            except ClientError as error:
                if error_code(error) not in _UNKNOWN:
                    raise
                found = []
        if not found:
            raise InvalidArgument(
                f"{aws.region} has no subnet {subnet_id}", hint="use a --subnet-id of this region"
            )
        return Network(str(found[0]["VpcId"]), bool(found[0].get("MapPublicIpOnLaunch", True)))
    with aws_errors("ec2:DescribeVpcs", "find the default VPC", aws.region):
        found = client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise InvalidArgument(
            f"{aws.region} has no default VPC", hint="set a subnet with --subnet-id"
        )
    return Network(str(found[0]["VpcId"]))


def find_named_group(aws: AwsSession, group_id: str, vpc_id: str) -> Group:
    """Check that the user's group exists in the VPC.

    Raises:
        InvalidArgument: The group does not exist, or is in another VPC.
        StoreError: The request failed.
    """
    with aws_errors("ec2:DescribeSecurityGroups", "describe a security group", aws.region):
        try:
            found = aws.client("ec2").describe_security_groups(GroupIds=[group_id])
            groups = found["SecurityGroups"]
        except ClientError as error:
            if error_code(error) not in _NO_GROUP:
                raise
            groups = []
    if not groups or groups[0].get("VpcId", vpc_id) != vpc_id:
        raise InvalidArgument(
            f"{vpc_id} has no security group {group_id}",
            hint="use a --security-group of the VPC of the instance's subnet",
        )
    return Group(vpc_id, group_id, open=True)


def find_own_group(aws: AwsSession, vpc_id: str, source: str) -> Group:
    """Find spawn's group, and whether it admits a network; creates nothing.

    Raises:
        Denied: The group with spawn's name lacks spawn's tag.
        StoreError: The request failed.
    """
    filters = [
        {"Name": "group-name", "Values": [GROUP]},
        {"Name": "vpc-id", "Values": [vpc_id]},
    ]
    with aws_errors("ec2:DescribeSecurityGroups", "find spawn's security group", aws.region):
        found = aws.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    if not found:
        return Group(vpc_id)
    group = found[0]
    what = f"security group {GROUP} ({group['GroupId']})"
    require_tag(what, group.get("Tags", []), "--security-group")
    return Group(vpc_id, str(group["GroupId"]), _admits(group, source))


def create_group(aws: AwsSession, group: Group, source: str) -> Group:
    """Create the group if it does not exist, and admit the network if it is not open.

    Raises:
        StoreError: The request failed.
    """
    if not group.group_id:
        group = _create(aws, group, source)
    if not group.open:
        action = "ec2:AuthorizeSecurityGroupIngress"
        with aws_errors(action, "open the security group to SSH", aws.region):
            try:
                aws.client("ec2").authorize_security_group_ingress(
                    GroupId=group.group_id, IpPermissions=[_rule(source)]
                )
            except ClientError as error:
                if error_code(error) != "InvalidPermission.Duplicate":
                    raise
    return Group(group.vpc_id, group.group_id, open=True)


def _create(aws: AwsSession, group: Group, source: str) -> Group:
    with aws_errors("ec2:CreateSecurityGroup", "create a security group", aws.region):
        try:
            created = aws.client("ec2").create_security_group(
                GroupName=GROUP,
                Description="SSH to instances that run spawn queues",
                VpcId=group.vpc_id,
                TagSpecifications=[{"ResourceType": "security-group", "Tags": TAGS}],
            )
        except ClientError as error:
            if error_code(error) != "InvalidGroup.Duplicate":
                raise
        else:
            return Group(group.vpc_id, str(created["GroupId"]))
    return find_own_group(aws, group.vpc_id, source)  # another launch created it in the meantime


def _rule(source: str) -> dict[str, Any]:
    key, name = ("Ipv6Ranges", "CidrIpv6") if ":" in source else ("IpRanges", "CidrIp")
    range_ = {name: source, "Description": "spawn launch"}
    return {"IpProtocol": "tcp", "FromPort": SSH, "ToPort": SSH, key: [range_]}


def _admits(group: dict[str, Any], source: str) -> bool:
    for rule in group.get("IpPermissions", []):
        ranges = [each.get("CidrIp") for each in rule.get("IpRanges", [])]
        ranges += [each.get("CidrIpv6") for each in rule.get("Ipv6Ranges", [])]
        if (rule.get("FromPort"), rule.get("ToPort")) == (SSH, SSH) and source in ranges:
            return True
    return False


SERVICE = "https://checkip.amazonaws.com"
_SECONDS = 5
_HINT = "set it with --ssh-from 203.0.113.7/32, or use your own group with --security-group"


def public_network() -> str:
    """Return this machine's public address as a /32 or /128 network.

    Raises:
        Denied: The address cannot be found; the group then admits no address.
    """
    try:
        with urllib.request.urlopen(SERVICE, timeout=_SECONDS) as answer:
            text = answer.read(64).decode("ascii", "replace").strip()
        found = ip_address(text)
    except (OSError, ValueError) as error:
        raise AccessDenied(
            "the public address of this machine, from which SSH is admitted, cannot be found",
            why=f"{SERVICE}: {error}",
            hint=_HINT,
        ) from None
    return parse_network(str(found))
