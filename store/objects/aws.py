"""Clients, errors and hints for AWS and compatible servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    ConfigParseError,
    EndpointProviderError,
    HTTPClientError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.session import Session

from spawn.core.errors import SpawnError
from spawn.store.objects.interface import (
    AccessDenied,
    BucketNotFound,
    CredentialsExpired,
    ETagMismatch,
    InvalidResponse,
    ObjectExists,
    ObjectNotFound,
    Unavailable,
)
from spawn.store.objects.redact import redact

_CONNECT_SECONDS = 5
_READ_SECONDS = 15
_BUSY = {
    "InternalError",
    "NoSuchUpload",  # the upload was aborted: a retry starts another
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "TemporaryRedirect",  # a new bucket
    "Throttling",
}
_RACED = {"ConditionalRequestConflict", "OperationAborted"}
_CONDITION_FAILED = {"PreconditionFailed"}
_GONE = {"NoSuchKey", "NotFound"}
_NO_BUCKET = {"NoSuchBucket"}
_CLOCK = {"RequestExpired", "RequestTimeTooSkewed"}
_INVALID_KEYS = {"InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch"}
EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",  # also while a credentials file is being rewritten
        "RequestExpired",
        "TokenRefreshRequired",
    }
)
"""Error codes that renewed credentials resolve."""
_WRONG_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_MISCONFIGURED = (
    ConfigNotFound,
    ConfigParseError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    UnicodeEncodeError,
)

CONFIG = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"total_max_attempts": 1},
    max_pool_connections=16,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_HINT_BUCKET = "use --bucket to name another bucket, --region to set its region"
_HINT_DENIED = "docs/iam-policies.md lists the permissions you need"
_HINT_ENDPOINT = "AWS_ENDPOINT_URL, if set, must be the server's URL: https://..."
_HINT_CREDENTIALS = (
    "set credentials with `aws configure`, AWS_PROFILE or --profile, a region with --region"
)
_HINT_CLOCK = "this machine's clock is wrong or was wrong: run `timedatectl set-ntp true`"
HINT_EXPIRED = (
    "renew them with `aws sso login`, `aws configure` or in the credentials file; "
    "a runner rereads them automatically"
)
_HINT_INVALID = "a proxy, a login page or another server may have answered instead"
_INVALID_HEADER = "Invalid header"
"""Start of `http.client`'s error for an invalid header, which it quotes."""
_XML = ("application/xml", "text/xml")
_MAX_QUOTED = 200
"""Characters of an invalid response that an error quotes."""
_INVALID_BUCKET = "Invalid bucket name"
"""Start of botocore's error for an invalid bucket name."""
_UNSENDABLE = "a credential contains a line break or another invalid character"


class UnexpectedResponse(Exception):
    """The response is not valid for the request."""


@contextmanager
def translate_errors(
    location: str, bucket: str, key: str = "", missing: type[Exception] | None = None
) -> Iterator[None]:
    """Translate boto3's errors into those of `port`.

    Args:
        location: The service or store, for messages.
        bucket: Empty for a service other than S3.
        missing: The exception to raise if no object has the key.
    """
    try:
        yield
    except (SpawnError, ObjectNotFound, ObjectExists, ETagMismatch):
        raise
    except ClientError as error:
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if bucket and status < 500 and not _is_s3_error(error):
            raise _invalid(location, f"HTTP status {status} without an error code") from None
        if code in EXPIRED:
            hint = f"{HINT_EXPIRED}; or {_HINT_CLOCK}" if code in _CLOCK else HINT_EXPIRED
            why = f"credentials have expired ({_message(error)})"
            raise CredentialsExpired(f"{location} denied access", why=why, hint=hint) from None
        if code in _CONDITION_FAILED or status == 412:
            raise (ObjectExists if missing is not ETagMismatch else ETagMismatch)(key) from None
        if code in _NO_BUCKET:
            raise BucketNotFound(
                f"there is no bucket {bucket}", why=_message(error), hint=_HINT_BUCKET
            ) from None
        if (code in _GONE or status == 404) and missing is not None:
            raise missing(key) from None
        busy = code in _BUSY | _RACED | _CLOCK or status >= 500 or status in (408, 409, 429)
        what = f"{location} {'cannot be reached' if busy else 'denied access'}"
        hint = _HINT_CLOCK if code in _CLOCK else "" if busy else _hint(code)
        raise (Unavailable if busy else AccessDenied)(
            what, why=_message(error), hint=hint
        ) from None
    except ParamValidationError as error:
        if _INVALID_BUCKET not in str(error):
            raise AccessDenied(f"{location} cannot be accessed", why=redact(str(error))) from None
        raise BucketNotFound(
            f"'{bucket}' is not a valid bucket name",
            why="a name has 3 to 63 lowercase letters, digits, dots and hyphens",
            hint=_HINT_BUCKET,
        ) from None
    except _MISCONFIGURED as error:
        why = _UNSENDABLE if isinstance(error, UnicodeEncodeError) else redact(str(error))
        raise AccessDenied(
            f"{location} cannot be accessed", why=why, hint=_HINT_CREDENTIALS
        ) from None
    except EndpointProviderError as error:
        raise AccessDenied(
            f"{location} cannot be accessed", why=redact(str(error)), hint=_HINT_ENDPOINT
        ) from None
    except HTTPClientError as error:
        if _INVALID_HEADER in str(error):  # a retry would fail too
            raise AccessDenied(
                f"{location} cannot be accessed", why=_UNSENDABLE, hint=_HINT_CREDENTIALS
            ) from None
        raise Unavailable(f"{location} cannot be reached", why=redact(str(error))) from None
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"{location} cannot be reached", why=redact(str(error))) from None
    except UnexpectedResponse as error:
        raise _invalid(location, str(error)) from None
    except Exception as error:  # botocore cannot parse the response
        raise _invalid(location, f"{type(error).__name__}: {error}") from None


def _invalid(location: str, what: str) -> InvalidResponse:
    why = f"invalid response ({redact(what[:_MAX_QUOTED])})"
    return InvalidResponse(f"{location} cannot be reached", why=why, hint=_HINT_INVALID)


def create_client(
    service: str,
    region: str | None,
    profile: str | None,
    base: Session | None = None,
    *,
    read_timeout: float | None = None,
) -> Any:
    """Create a client for a service, with credentials and endpoints from boto3's chain.

    Args:
        base: The botocore session with both (default: a new one).
        patience: The read timeout in seconds (default: that of `CONFIG`).

    Raises:
        Denied: The configured endpoint is invalid.
    """
    import boto3

    from spawn.store.objects.service_models import create_session as new

    session = boto3.Session(
        region_name=region, profile_name=profile, botocore_session=base or new()
    )
    try:
        config = CONFIG if read_timeout is None else CONFIG.merge(Config(read_timeout=read_timeout))
        client = session.client(service, config=config)
    except ValueError as error:  # botocore's error for an invalid URL
        why = redact(str(error))
        raise AccessDenied(f"{service} cannot be accessed", why=why, hint=_HINT_ENDPOINT) from None
    if service == "s3":
        _RedirectLimit(client)
    return client


class _RedirectLimit:
    """Stops redirect loops. After each redirect botocore sends a HeadBucket request to find the
    bucket's region, and follows a redirect of that request in the same way."""

    def __init__(self, client: Any) -> None:
        self._state = local()
        events = client.meta.events
        events.register("before-call.s3.HeadBucket", self._begin)
        events.register("after-call.s3.HeadBucket", self._end)
        events.register("after-call-error.s3.HeadBucket", self._end)

    def _begin(self, **_: Any) -> None:
        if getattr(self._state, "active", False):
            raise UnexpectedResponse("a redirect loop")
        self._state.active = True

    def _end(self, **_: Any) -> None:
        self._state.active = False


def on_aws(client: Any) -> bool:
    """Whether a client's endpoint is AWS itself, not a compatible server."""
    host = str(client.meta.endpoint_url).split("//")[-1].split("/")[0].split(":")[0]
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def caller_account(region: str | None, profile: str | None, base: Session | None = None) -> str:
    """The caller's account ID. Arguments are those of `create_client`."""
    client = create_client("sts", region, profile, base)
    found = client.get_caller_identity().get("Account")
    if not found:
        raise UnexpectedResponse("GetCallerIdentity without Account")
    return str(found)


def error_code(error: ClientError) -> str:
    """The error code of a response; empty if it has none."""
    return str(error.response.get("Error", {}).get("Code") or "")


def _is_s3_error(error: ClientError) -> bool:
    """Whether S3 itself sent the error. Its errors have a code, except those of a HEAD, which have
    no body, and those whose XML quotes a key that XML cannot hold."""
    code = error_code(error)
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    kind = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    if code.isdecimal():  # botocore uses the status if there is no code
        return kind in _XML or error.operation_name.startswith("Head")
    return bool(code)


def _message(error: ClientError) -> str:
    fields = error.response.get("Error", {})
    return redact(f"{fields.get('Code', '')}: {fields.get('Message', '')}".strip(": "))


def _hint(code: str) -> str:
    if code in _INVALID_KEYS:
        return _HINT_CREDENTIALS
    return _HINT_BUCKET if code in _WRONG_REGION else _HINT_DENIED
