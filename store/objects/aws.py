"""What all that asks AWS, or a server that speaks like it, has in common."""

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
from spawn.store.objects.port import (
    Changed,
    Denied,
    Exists,
    Expired,
    InvalidAnswer,
    NoBucket,
    NotThere,
    Unavailable,
)
from spawn.store.objects.redact import redact

_CONNECT_SECONDS = 5
_READ_SECONDS = 15
_BUSY = {
    "InternalError",
    "NoSuchUpload",  # somebody tidied up: another try begins another
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "TemporaryRedirect",  # a bucket that is new
    "Throttling",
}
_RACED = {"ConditionalRequestConflict", "OperationAborted"}
_DIFFERS = {"PreconditionFailed"}
_GONE = {"NoSuchKey", "NotFound"}
_NO_BUCKET = {"NoSuchBucket"}
_CLOCK = {"RequestExpired", "RequestTimeTooSkewed"}
_STRANGE = {"InvalidAccessKeyId", "InvalidClientTokenId", "SignatureDoesNotMatch"}
EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidToken",  # also while a file of credentials is half renewed
        "RequestExpired",
        "TokenRefreshRequired",
    }
)
"""What AWS says when other credentials would do."""
_ELSEWHERE = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
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
_HINT_BUCKET = "--bucket names another, --region where it is"
_HINT_DENIED = "docs/iam-policies.md has what is needed"
_HINT_ENDPOINT = "AWS_ENDPOINT_URL, where it is set, names the server: https://..."
_HINT_CREDENTIALS = "`aws configure`, AWS_PROFILE or --profile give credentials; --region a region"
_HINT_CLOCK = "this machine's clock is wrong, or was: `timedatectl set-ntp true` sets it"
HINT_EXPIRED = (
    "renew them where they come from: `aws sso login`, `aws configure` or the credentials file; "
    "a runner reads them again by itself"
)
_HINT_INVALID = "a proxy, a login page or another server may answer in its place"
_INVALID_HEADER = "Invalid header"
"""How `http.client` begins to quote a header that it will not send."""
_XML = ("application/xml", "text/xml")
_LONGEST = 200
"""Characters that are quoted of what is no answer."""
_INVALID_BUCKET = "Invalid bucket name"
"""How botocore begins to say that, before it quotes its regular expressions."""
_UNSENDABLE = "a credential has a line break in it, or another character that none can have"


class NotAnAnswer(Exception):
    """What came is no answer to what was asked."""


@contextmanager
def errors(
    location: str, bucket: str, key: str = "", missing: type[Exception] | None = None
) -> Iterator[None]:
    """Say in the contract's words what boto3 says in its own.

    Args:
        bucket: Empty for a service that is not S3.
        missing: What to raise when there is no object under the key.
    """
    try:
        yield
    except (SpawnError, NotThere, Exists, Changed):
        raise
    except ClientError as error:
        code = code_of(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if bucket and status < 500 and not _is_said(error):
            raise _invalid(location, f"HTTP status {status} without an error code") from None
        if code in EXPIRED:
            hint = f"{HINT_EXPIRED}; or {_HINT_CLOCK}" if code in _CLOCK else HINT_EXPIRED
            why = f"credentials have expired ({_text(error)})"
            raise Expired(f"{location} refuses us", why=why, hint=hint) from None
        if code in _DIFFERS or status == 412:
            raise (Exists if missing is not Changed else Changed)(key) from None
        if code in _NO_BUCKET:
            raise NoBucket(
                f"there is no bucket {bucket}", why=_text(error), hint=_HINT_BUCKET
            ) from None
        if (code in _GONE or status == 404) and missing is not None:
            raise missing(key) from None
        busy = code in _BUSY | _RACED | _CLOCK or status >= 500 or status in (408, 409, 429)
        what = f"{location} {'cannot be reached' if busy else 'refuses us'}"
        hint = _HINT_CLOCK if code in _CLOCK else "" if busy else _hint(code)
        raise (Unavailable if busy else Denied)(what, why=_text(error), hint=hint) from None
    except ParamValidationError as error:
        if _INVALID_BUCKET not in str(error):
            raise Denied(f"{location} cannot be asked", why=redact(str(error))) from None
        raise NoBucket(
            f"'{bucket}' is no name for a bucket",
            why="one has 3 to 63 small letters, digits, dots and hyphens",
            hint=_HINT_BUCKET,
        ) from None
    except _MISCONFIGURED as error:
        why = _UNSENDABLE if isinstance(error, UnicodeEncodeError) else redact(str(error))
        raise Denied(f"{location} cannot be asked", why=why, hint=_HINT_CREDENTIALS) from None
    except EndpointProviderError as error:
        raise Denied(
            f"{location} cannot be asked", why=redact(str(error)), hint=_HINT_ENDPOINT
        ) from None
    except HTTPClientError as error:
        if _INVALID_HEADER in str(error):  # it would never do, and quotes what it was
            raise Denied(
                f"{location} cannot be asked", why=_UNSENDABLE, hint=_HINT_CREDENTIALS
            ) from None
        raise Unavailable(f"{location} cannot be reached", why=redact(str(error))) from None
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"{location} cannot be reached", why=redact(str(error))) from None
    except NotAnAnswer as error:
        raise _invalid(location, str(error)) from None
    except Exception as error:  # whatever botocore stumbles over in what came
        raise _invalid(location, f"{type(error).__name__}: {error}") from None


def _invalid(location: str, what: str) -> InvalidAnswer:
    why = f"invalid answer ({redact(what[:_LONGEST])})"
    return InvalidAnswer(f"{location} cannot be reached", why=why, hint=_HINT_INVALID)


def connect(
    service: str,
    region: str | None,
    profile: str | None,
    below: Session | None = None,
    *,
    patience: float | None = None,
) -> Any:
    """A client of a service: credentials and endpoints by boto3's chain.

    Args:
        below: The session that holds both; a new one when it is None.
        patience: How many seconds an answer may stand still, instead of what is usual.

    Raises:
        Denied: The endpoint that is configured is none.
    """
    import boto3

    from spawn.store.objects.models import session as new

    session = boto3.Session(
        region_name=region, profile_name=profile, botocore_session=below or new()
    )
    try:
        config = CONFIG if patience is None else CONFIG.merge(Config(read_timeout=patience))
        client = session.client(service, config=config)
    except ValueError as error:  # botocore's own for an address that is none
        why = redact(str(error))
        raise Denied(f"{service} cannot be asked", why=why, hint=_HINT_ENDPOINT) from None
    if service == "s3":
        _OneRedirect(client)
    return client


class _OneRedirect:
    """Ends redirects that lead nowhere: botocore asks for the bucket's region after each redirect,
    and follows the redirect of that question in the same way, without end."""

    def __init__(self, client: Any) -> None:
        self._asking = local()
        events = client.meta.events
        events.register("before-call.s3.HeadBucket", self._begin)
        events.register("after-call.s3.HeadBucket", self._end)
        events.register("after-call-error.s3.HeadBucket", self._end)

    def _begin(self, **_: Any) -> None:
        if getattr(self._asking, "now", False):
            raise NotAnAnswer("redirects without end")
        self._asking.now = True

    def _end(self, **_: Any) -> None:
        self._asking.now = False


def on_aws(client: Any) -> bool:
    """Whether a client asks AWS itself, not a server of another's."""
    host = str(client.meta.endpoint_url).split("//")[-1].split("/")[0].split(":")[0]
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def account(region: str | None, profile: str | None, below: Session | None = None) -> str:
    """The account that we are. See `connect`."""
    client = connect("sts", region, profile, below)
    found = client.get_caller_identity().get("Account")
    if not found:
        raise NotAnAnswer("GetCallerIdentity without Account")
    return str(found)


def code_of(error: ClientError) -> str:
    """S3's own name for what went wrong."""
    return str(error.response.get("Error", {}).get("Code") or "")


def _is_said(error: ClientError) -> bool:
    """Whether S3 itself said so. Its errors have a code, but for those of a HEAD, which
    have no body, and those whose XML quotes a key that XML cannot hold."""
    code = code_of(error)
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    kind = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
    if code.isdecimal():  # botocore has put the status in the place of a code
        return kind in _XML or error.operation_name.startswith("Head")
    return bool(code)


def _text(error: ClientError) -> str:
    said = error.response.get("Error", {})
    return redact(f"{said.get('Code', '')}: {said.get('Message', '')}".strip(": "))


def _hint(code: str) -> str:
    if code in _STRANGE:
        return _HINT_CREDENTIALS
    return _HINT_BUCKET if code in _ELSEWHERE else _HINT_DENIED
