"""Convert AWS errors to errors that name the missing permission, the limit or the option."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from spawn.store.objects.aws import EXPIRED, HINT_EXPIRED, error_code, translate_errors
from spawn.store.objects.interface import AccessDenied
from spawn.store.objects.redact import redact

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
}
_INVALID_CREDENTIALS = {
    "AuthFailure",
    "InvalidClientTokenId",
    "OptInRequired",
    "UnrecognizedClientException",
}
_ENCODED = re.compile(r"\.? *Encoded authorization failure message:.*", re.DOTALL)
_HINT_PERMISSIONS = 'docs/iam-policies.md, "The launcher", lists the permissions you need'
_HINT_CREDENTIALS = (
    "set credentials with `aws configure`, AWS_PROFILE or --profile; a region that is not enabled "
    "for the account gives the same error: set another one with --region"
)
_HINTS = {
    "InsufficientInstanceCapacity": "retry later, or use another --instance-type or a --subnet-id "
    "in another zone",
    "InsufficientCapacity": "retry later, or use another --instance-type",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "ask an administrator to run `aws iam "
    "create-service-linked-role --aws-service-name spot.amazonaws.com` once for the account "
    '(docs/iam-policies.md, "CreateSpotRole"), or launch without --spot',
    "MissingInput": "set a subnet with --subnet-id",
    "SpotMaxPriceTooLow": "retry later, or launch without --spot",
    "MaxSpotInstanceCountExceeded": "launch without --spot, use a smaller --instance-type, or "
    "raise the quota 'All Standard Spot Instance Requests' (Service Quotas)",
    "VcpuLimitExceeded": "use a smaller --instance-type, terminate instances that `spawn list` "
    "shows, or raise the quota 'Running On-Demand instances' (Service Quotas)",
    "InstanceLimitExceeded": "terminate instances that `spawn list` shows, or raise the quota "
    "(Service Quotas)",
    "VolumeLimitExceeded": "use a smaller --volume-size, or raise the quota (Service Quotas)",
    "Unsupported": "use another --instance-type, or a --subnet-id in another zone",
    "InvalidSubnetID.NotFound": "use a --subnet-id of this region",
    "InvalidKeyPair.NotFound": "use a --key-name of this region",
    "InvalidAMIID.NotFound": "use an --ami of this region",
    "InvalidAMIID.Malformed": "use an --ami of this region",
    "InvalidGroup.NotFound": "use a --security-group of this region",
    "SecurityGroupLimitExceeded": "use an existing group with --security-group",
    "RulesPerSecurityGroupLimitExceeded": "remove unused rules from the group, or use another "
    "group with --security-group",
    "LimitExceeded": "use an existing profile with --iam-instance-profile",
    "ParameterLimitExceeded": "delete parameters below /spawn-queue/ of queues that have ended",
}


@contextmanager
def aws_errors(action: str, what: str, region: str = "") -> Iterator[None]:
    """Convert the errors of one request.

    Args:
        action: IAM action of the request, such as `ec2:RunInstances`.
        what: Description of the request after "to", such as `start an instance`.

    Raises:
        Denied: AWS rejects the request: permission, limit or invalid option. It had no effect.
        Unavailable: AWS does not answer or throttles; the request may have taken effect.
    """
    service = action.partition(":")[0].upper()
    where = f"{service} in {region}" if region else service
    with translate_errors(where, ""):
        try:
            yield
        except ClientError as error:
            code = error_code(error)
            why = _message(error)
            known = code in _INVALID_CREDENTIALS or code in _HINTS or code in EXPIRED
            if code in _DENIED or (_status(error) == 403 and not known):
                why = f"{action} is required: {why}"
                raise AccessDenied(
                    f"you are not allowed to {what}", why=why, hint=_HINT_PERMISSIONS
                ) from None
            denied = f"{where} denied access"
            rejected = f"{where} rejected the request to {what}"
            if code in EXPIRED:
                why = f"credentials have expired ({why})"
                raise AccessDenied(denied, why=why, hint=HINT_EXPIRED) from None
            if code in _INVALID_CREDENTIALS:
                raise AccessDenied(denied, why=why, hint=_HINT_CREDENTIALS) from None
            if code in _HINTS:
                raise AccessDenied(rejected, why=why, hint=_HINTS[code]) from None
            if _is_transient(error, code):
                raise
            raise AccessDenied(rejected, why=why) from None


def _message(error: ClientError) -> str:
    details = error.response.get("Error", {})
    message = _ENCODED.sub("", str(details.get("Message", "")))
    return redact(f"{details.get('Code', '')}: {message}".strip(": "))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_transient(error: ClientError, code: str) -> bool:
    """Whether a retry may succeed; `errors` then raises `Unavailable`."""
    status = _status(error)
    return status >= 500 or status == 429 or "Throttl" in code or code == "RequestLimitExceeded"
