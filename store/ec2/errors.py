"""What AWS says when it will not, in words that name the right, the limit or the flag."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from spawn.store.objects.aws import EXPIRED, HINT_EXPIRED, code_of, errors
from spawn.store.objects.port import Denied
from spawn.store.objects.redact import redact

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
}
_NOBODY = {
    "AuthFailure",
    "InvalidClientTokenId",
    "OptInRequired",
    "UnrecognizedClientException",
}
_ENCODED = re.compile(r"\.? *Encoded authorization failure message:.*", re.DOTALL)
_HINT_RIGHTS = 'docs/iam-policies.md, "The launcher", has what is needed'
_HINT_NOBODY = (
    "`aws configure`, AWS_PROFILE or --profile give credentials; a region that is not enabled for "
    "the account answers so too, and --region names another"
)
_HINTS = {
    "InsufficientInstanceCapacity": "later, another --instance-type, or a --subnet-id in another "
    "zone may have it",
    "InsufficientCapacity": "later, or another --instance-type",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "`aws iam create-service-linked-role "
    "--aws-service-name spot.amazonaws.com`, once for the account, by who may "
    '(docs/iam-policies.md, "MakeTheSpotRole"); or without --spot',
    "MissingInput": "--subnet-id says where to be",
    "SpotMaxPriceTooLow": "later, or without --spot",
    "MaxSpotInstanceCountExceeded": "without --spot, a smaller --instance-type, or more of the "
    "quota 'All Standard Spot Instance Requests' (Service Quotas)",
    "VcpuLimitExceeded": "a smaller --instance-type, `spawn list` for what still runs, or more of "
    "the quota 'Running On-Demand instances' (Service Quotas)",
    "InstanceLimitExceeded": "`spawn list` for what still runs, or more of the quota (Service "
    "Quotas)",
    "VolumeLimitExceeded": "a smaller --volume-size, or more of the quota (Service Quotas)",
    "Unsupported": "another --instance-type, or a --subnet-id in another zone",
    "InvalidSubnetID.NotFound": "--subnet-id names one of this region",
    "InvalidKeyPair.NotFound": "--key-name names one of this region",
    "InvalidAMIID.NotFound": "--ami names one of this region",
    "InvalidAMIID.Malformed": "--ami names one of this region",
    "InvalidGroup.NotFound": "--security-group names one of this region",
    "SecurityGroupLimitExceeded": "--security-group names one that is there",
    "RulesPerSecurityGroupLimitExceeded": "take rules out of the group that are no longer needed, "
    "or --security-group names another",
    "LimitExceeded": "--iam-instance-profile names one that is there",
    "ParameterLimitExceeded": "delete parameters below /spawn-queue/ of queues that have ended",
}


@contextmanager
def asking(action: str, what: str, region: str = "") -> Iterator[None]:
    """Say what AWS says of one request.

    Args:
        action: The right that it takes, as `ec2:RunInstances`.
        what: What we are about to do, as `to start an instance`.

    Raises:
        Denied: It refuses: by which right, limit or flag. Nothing was made by this request.
        Unavailable: It does not answer, or is busy; the request may have taken effect.
    """
    service = action.partition(":")[0].upper()
    where = f"{service} in {region}" if region else service
    with errors(where, ""):
        try:
            yield
        except ClientError as error:
            code = code_of(error)
            why = _said(error)
            worded = code in _NOBODY or code in _HINTS or code in EXPIRED
            if code in _DENIED or (_status(error) == 403 and not worded):
                raise Denied(
                    f"we may not {what}", why=f"it takes {action}: {why}", hint=_HINT_RIGHTS
                ) from None
            if code in EXPIRED:
                why = f"credentials have expired ({why})"
                raise Denied(f"{where} refuses us", why=why, hint=HINT_EXPIRED) from None
            if code in _NOBODY:
                raise Denied(f"{where} refuses us", why=why, hint=_HINT_NOBODY) from None
            if code in _HINTS:
                raise Denied(f"{where} will not {what}", why=why, hint=_HINTS[code]) from None
            if _busy(error, code):
                raise
            raise Denied(f"{where} will not {what}", why=why) from None


def _said(error: ClientError) -> str:
    said = error.response.get("Error", {})
    message = _ENCODED.sub("", str(said.get("Message", "")))
    return redact(f"{said.get('Code', '')}: {message}".strip(": "))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _busy(error: ClientError, code: str) -> bool:
    """Whether the same again may do: what the shared words call `Unavailable`."""
    status = _status(error)
    return status >= 500 or status == 429 or "Throttl" in code or code == "RequestLimitExceeded"
