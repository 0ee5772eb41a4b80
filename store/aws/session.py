"""A session with AWS: region, account and clients."""

from collections.abc import Iterable, Mapping
from typing import Any

from spawn.core.errors import InvalidArgument
from spawn.store.aws.errors import aws_errors
from spawn.store.aws.instance_request import why_not_a_region
from spawn.store.aws.resource_names import MADE_BY_TAG, MADE_BY_VALUE
from spawn.store.objects.aws import create_client
from spawn.store.objects.interface import AccessDenied, Unavailable

SLOW_SECONDS = 60.0
"""Read timeout; EC2 may take this long to answer a start request."""


class AwsSession:
    """Clients for the services of one region, and the account of the credentials.

    Args:
        region: None for the region of the AWS configuration.

    Raises:
        InvalidArgument: No region is set, or it is invalid.
        Denied: No credentials are set, or AWS rejects them.
        Unavailable: AWS does not answer.
    """

    def __init__(self, region: str | None, profile: str | None) -> None:
        from spawn.store.objects.service_models import create_session

        self.profile = profile
        self._botocore = create_session()
        if profile is not None:
            self._botocore.set_config_variable("profile", profile)
        with aws_errors("sts:GetCallerIdentity", "identify the account"):
            name = region or self._botocore.get_config_variable("region")
        if not name:
            raise InvalidArgument("no region is set", hint="set --region us-east-1, or AWS_REGION")
        why = why_not_a_region(str(name))
        if why is not None:
            raise InvalidArgument(
                f"'{name}' is not a region", why=why, hint="set a region with --region"
            )
        self.region = str(name)
        self._clients: dict[str, Any] = {}
        try:
            with aws_errors("sts:GetCallerIdentity", "identify the account", self.region):
                found = self.client("sts").get_caller_identity()
        except Unavailable as error:
            if self._is_known_region():
                raise
            hint = f"check that {self.region} is a region; --region sets another one"
            raise error.with_only_hint(hint) from error
        self.account = str(found["Account"])
        self.partition = str(found["Arn"]).split(":")[1]

    def _is_known_region(self) -> bool:
        """Whether botocore's data, which may be outdated, contains the region."""
        regions = self._botocore.get_available_regions
        partitions = self._botocore.get_available_partitions()
        return any(self.region in regions("ec2", partition) for partition in partitions)

    def client(self, service: str) -> Any:
        """Return the client of a service; each is created once."""
        if service not in self._clients:
            self._clients[service] = create_client(
                service, self.region, self.profile, self._botocore, read_timeout=SLOW_SECONDS
            )
        return self._clients[service]


TAGS = [{"Key": MADE_BY_TAG, "Value": MADE_BY_VALUE}]


def require_tag(what: str, tags: Iterable[Mapping[str, str]], flag: str) -> None:
    """Check that a resource with one of spawn's names was created by a launch.

    Args:
        what: Kind and name of the resource.
        tags: Its tags, as AWS returns them.
        flag: Option that names another resource.

    Raises:
        Denied: The resource lacks the tag.
    """
    if {each["Key"]: each["Value"] for each in tags}.get(MADE_BY_TAG) != MADE_BY_VALUE:
        raise AccessDenied(
            f"the {what} was not created by spawn",
            why=f"it has no tag {MADE_BY_TAG}={MADE_BY_VALUE}",
            hint=f"name it, or another one, with {flag}",
        )
