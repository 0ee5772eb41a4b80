"""AWS as one person sees it, in one region."""

from typing import Any

from spawn.core.errors import InvalidArgument
from spawn.core.launch.wanted import why_not_region
from spawn.store.ec2.errors import asking
from spawn.store.objects.aws import connect
from spawn.store.objects.port import Unavailable

SLOW_SECONDS = 60.0
"""EC2 may take this long to say that an instance starts."""


class Aws:
    """Clients for the services of one region, and the account that we are.

    Args:
        region: None: the one that the AWS configuration names.

    Raises:
        InvalidArgument: Nobody names a region, or it is none.
        Denied: Nobody says as whom, or we are refused.
        Unavailable: AWS does not answer.
    """

    def __init__(self, region: str | None, profile: str | None) -> None:
        from spawn.store.objects.models import session

        self.profile = profile
        self._below = session()
        if profile is not None:
            self._below.set_config_variable("profile", profile)
        with asking("sts:GetCallerIdentity", "ask who we are"):
            named = region or self._below.get_config_variable("region")
        if not named:
            raise InvalidArgument(
                "nobody says in which region", hint="--region us-east-1, or AWS_REGION"
            )
        why = why_not_region(str(named))
        if why is not None:
            raise InvalidArgument(f"'{named}' is no region", why=why, hint="--region names one")
        self.region = str(named)
        self._clients: dict[str, Any] = {}
        try:
            with asking("sts:GetCallerIdentity", "ask who we are", self.region):
                found = self.client("sts").get_caller_identity()
        except Unavailable as error:
            if not self._known():
                error.hint = f"is {self.region} a region? --region names another"
            raise
        self.account = str(found["Account"])
        self.partition = str(found["Arn"]).split(":")[1]

    def _known(self) -> bool:
        """Whether botocore has heard of our region: it is older than the newest one."""
        named = self._below.get_available_regions
        partitions = self._below.get_available_partitions()
        return any(self.region in named("ec2", partition) for partition in partitions)

    def client(self, service: str) -> Any:
        """The client of a service, made once."""
        if service not in self._clients:
            self._clients[service] = connect(
                service, self.region, self.profile, self._below, patience=SLOW_SECONDS
            )
        return self._clients[service]
