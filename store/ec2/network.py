"""The network of an instance, and the security group that lets its owner in over SSH."""

from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from spawn.core.errors import InvalidArgument
from spawn.core.launch.names import GROUP
from spawn.store.ec2.errors import asking
from spawn.store.ec2.ours import TAGS, expect_ours
from spawn.store.ec2.session import Aws
from spawn.store.objects.aws import code_of

SSH = 22
_UNKNOWN = {"InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed"}
_NO_GROUP = {"InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidGroupId.NotFound"}


class Network(Struct, frozen=True):
    """Where an instance will be. `public`: whether it gets a public address there."""

    vpc_id: str
    public: bool = True


class Group(Struct, frozen=True):
    """A security group. `group_id` is empty where it is not made yet; `open` says whether it lets
    the wanted network in."""

    vpc_id: str
    group_id: str = ""
    open: bool = False


def network(aws: Aws, subnet_id: str | None) -> Network:
    """The network that the instance will be in: the subnet's, else the region's default one.

    Raises:
        InvalidArgument: There is none.
        StoreError: EC2 cannot be asked.
    """
    client = aws.client("ec2")
    if subnet_id is not None:
        with asking("ec2:DescribeSubnets", "look at a subnet", aws.region):
            try:
                found = client.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
            except ClientError as error:
                if code_of(error) not in _UNKNOWN:
                    raise
                found = []
        if not found:
            raise InvalidArgument(
                f"{aws.region} has no subnet {subnet_id}", hint="--subnet-id names one of it"
            )
        return Network(str(found[0]["VpcId"]), bool(found[0].get("MapPublicIpOnLaunch", True)))
    with asking("ec2:DescribeVpcs", "find the default network", aws.region):
        found = client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise InvalidArgument(
            f"{aws.region} has no default network", hint="--subnet-id says where to be"
        )
    return Network(str(found[0]["VpcId"]))


def named(aws: Aws, group_id: str, vpc_id: str) -> Group:
    """Look at a group that somebody named.

    Raises:
        InvalidArgument: It is not there, or in another network.
        StoreError: EC2 cannot be asked.
    """
    with asking("ec2:DescribeSecurityGroups", "look at a security group", aws.region):
        try:
            found = aws.client("ec2").describe_security_groups(GroupIds=[group_id])
            groups = found["SecurityGroups"]
        except ClientError as error:
            if code_of(error) not in _NO_GROUP:
                raise
            groups = []
    if not groups or groups[0].get("VpcId", vpc_id) != vpc_id:
        raise InvalidArgument(
            f"{vpc_id} has no security group {group_id}",
            hint="--security-group names one of the instance's network, which is the subnet's",
        )
    return Group(vpc_id, group_id, open=True)


def ours(aws: Aws, vpc_id: str, source: str) -> Group:
    """Look for our own group, and whether it lets a network in.

    Raises:
        Denied: Somebody else's has its name.
        StoreError: EC2 cannot be asked.
    """
    filters = [
        {"Name": "group-name", "Values": [GROUP]},
        {"Name": "vpc-id", "Values": [vpc_id]},
    ]
    with asking("ec2:DescribeSecurityGroups", "look for our security group", aws.region):
        found = aws.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    if not found:
        return Group(vpc_id)
    group = found[0]
    what = f"security group {GROUP} ({group['GroupId']})"
    expect_ours(what, group.get("Tags", []), "--security-group")
    return Group(vpc_id, str(group["GroupId"]), _lets_in(group, source))


def make(aws: Aws, group: Group, source: str) -> Group:
    """Make the group where it is missing, and let the network in where it does not.

    Raises:
        StoreError: It may not be made, or not changed.
    """
    if not group.group_id:
        group = _create(aws, group, source)
    if not group.open:
        with asking("ec2:AuthorizeSecurityGroupIngress", "let ourselves in over SSH", aws.region):
            try:
                aws.client("ec2").authorize_security_group_ingress(
                    GroupId=group.group_id, IpPermissions=[_rule(source)]
                )
            except ClientError as error:
                if code_of(error) != "InvalidPermission.Duplicate":
                    raise
    return Group(group.vpc_id, group.group_id, open=True)


def _create(aws: Aws, group: Group, source: str) -> Group:
    with asking("ec2:CreateSecurityGroup", "make a security group", aws.region):
        try:
            made = aws.client("ec2").create_security_group(
                GroupName=GROUP,
                Description="SSH to instances that run spawn queues",
                VpcId=group.vpc_id,
                TagSpecifications=[{"ResourceType": "security-group", "Tags": TAGS}],
            )
        except ClientError as error:
            if code_of(error) != "InvalidGroup.Duplicate":
                raise
        else:
            return Group(group.vpc_id, str(made["GroupId"]))
    return ours(aws, group.vpc_id, source)  # another launch made it meanwhile


def _rule(source: str) -> dict[str, Any]:
    key, name = ("Ipv6Ranges", "CidrIpv6") if ":" in source else ("IpRanges", "CidrIp")
    range_ = {name: source, "Description": "spawn launch"}
    return {"IpProtocol": "tcp", "FromPort": SSH, "ToPort": SSH, key: [range_]}


def _lets_in(group: dict[str, Any], source: str) -> bool:
    for rule in group.get("IpPermissions", []):
        ranges = [each.get("CidrIp") for each in rule.get("IpRanges", [])]
        ranges += [each.get("CidrIpv6") for each in rule.get("Ipv6Ranges", [])]
        if (rule.get("FromPort"), rule.get("ToPort")) == (SSH, SSH) and source in ranges:
            return True
    return False
