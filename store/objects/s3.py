"""An object store in a bucket. The one place that asks S3 for objects.

Requests are tried once: what to do about a failure is for who asked. Credentials, profiles and
endpoints come by boto3's chain, `AWS_ENDPOINT_URL` included.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, cast

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from spawn.store.objects.port import PAGE, Changed, Denied, Exists, NotThere, Object, Unavailable

PART_BYTES = 16 * 1024 * 1024
"""Files are held in memory this much at a time."""
_CONNECT_SECONDS = 5
_READ_SECONDS = 15
_BUSY = {"SlowDown", "RequestTimeout", "RequestTimeoutException", "Throttling", "InternalError"}
_RACED = {"ConditionalRequestConflict", "OperationAborted"}
_DIFFERS = {"PreconditionFailed"}
_GONE = {"NoSuchKey", "NotFound"}
_NO_BUCKET = {"NoSuchBucket"}
_STALE = {"ExpiredToken", "RequestTimeTooSkewed"}


class S3Store:
    """Objects below a prefix of a bucket.

    Args:
        owner: The account that the bucket must belong to; every request names it. The caller's own
            on AWS, where a bucket's name is global and a stranger may have it.
    """

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str,
        region: str | None = None,
        profile: str | None = None,
        owner: str | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._region = region
        self._profile = profile
        self._owner = owner or os.environ.get("SPAWN_BUCKET_OWNER")
        self._made: Any = None
        self._making = Lock()
        self._bare_etag = False

    @property
    def location(self) -> str:
        """See `ObjectStore.location`."""
        return f"s3://{self._bucket}/{self._prefix}"

    def create(self, key: str, data: bytes) -> str:
        """See `ObjectStore.create`."""
        with self._errors(key):
            return self._put(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `ObjectStore.replace`."""
        with self._errors(key, missing=Changed):
            try:
                return self._put(key, data, IfMatch=etag.strip('"') if self._bare_etag else etag)
            except ClientError as error:
                # Ceph wants the ETag without the quotes that it gave it with.
                if _code(error) not in _DIFFERS or self._bare_etag or self._etag(key) != etag:
                    raise
                new = self._put(key, data, IfMatch=etag.strip('"'))
                self._bare_etag = True
                return new

    def read(self, key: str) -> Object:
        """See `ObjectStore.read`."""
        with self._errors(key, missing=NotThere):
            found = self._ask("get_object", Key=self._prefix + key)
            with found["Body"] as body:
                data = body.read()
        return Object(data, found["ETag"], _age(found))

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        """See `ObjectStore.list`."""
        extra = {"StartAfter": self._prefix + after} if after else {}
        with self._errors(prefix):
            found = self._ask(
                "list_objects_v2", Prefix=self._prefix + prefix, MaxKeys=PAGE, **extra
            )
        return [
            (each["Key"].removeprefix(self._prefix), each["Size"])
            for each in found.get("Contents", ())
        ]

    def has(self, key: str) -> bool:
        """See `ObjectStore.has`."""
        try:
            with self._errors(key, missing=NotThere):
                self._ask("head_object", Key=self._prefix + key)
        except NotThere:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        """See `ObjectStore.open`."""
        with self._errors(key, missing=NotThere):
            return cast("BinaryIO", self._ask("get_object", Key=self._prefix + key)["Body"])

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """See `ObjectStore.put`. All is durable here."""
        try:
            self.create(key, data)
        except Exists:
            data = self.read(key).data
        return sha256(data).hexdigest()

    def link(self, key: str, source: Path) -> None:
        """See `ObjectStore.link`."""
        if not self.has(key):
            self.put_file(key, source)

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """See `ObjectStore.put_file`."""
        digest = sha256()
        size = 0
        with open(source, "rb") as file:
            first = file.read(PART_BYTES)
            if len(first) < PART_BYTES:
                if accept is not None:
                    accept()
                with suppress(Exists), self._errors(key):
                    self._put(key, first, IfNoneMatch="*")
                return len(first), sha256(first).hexdigest()
            with self._upload(key) as (send, complete):
                part = first
                while part:
                    digest.update(part)
                    size += len(part)
                    send(part)
                    part = file.read(PART_BYTES)
                if accept is not None:
                    accept()
                complete()
        return size, digest.hexdigest()

    @contextmanager
    def _upload(self, key: str) -> Iterator[tuple[Callable[[bytes], None], Callable[[], None]]]:
        """An upload in parts; given up unless it is completed."""
        parts: list[dict[str, Any]] = []
        with self._errors(key):
            upload = self._ask("create_multipart_upload", Key=self._prefix + key)["UploadId"]
        names = {"Key": self._prefix + key, "UploadId": upload}

        def send(data: bytes) -> None:
            number = len(parts) + 1
            with self._errors(key):
                found = self._ask("upload_part", Body=data, PartNumber=number, **names)
            parts.append({"ETag": found["ETag"], "PartNumber": number})

        def complete() -> None:
            with suppress(Exists), self._errors(key):
                self._ask(
                    "complete_multipart_upload",
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                    **names,
                )

        try:
            yield send, complete
        except BaseException:
            with suppress(BotoCoreError, ClientError):
                self._ask("abort_multipart_upload", **names)
            raise

    def _put(self, key: str, data: bytes, **condition: str) -> str:
        found = self._ask("put_object", Key=self._prefix + key, Body=data, **condition)
        return str(found["ETag"])

    def _etag(self, key: str) -> str:
        return str(self._ask("head_object", Key=self._prefix + key)["ETag"])

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        client = self._client()
        if self._owner:
            arguments["ExpectedBucketOwner"] = self._owner
        answer = getattr(client, operation)(Bucket=self._bucket, **arguments)
        return cast("dict[str, Any]", answer)

    def _client(self) -> Any:
        with self._making:
            if self._made is None:
                client = session(self._region, self._profile).client("s3", config=CONFIG)
                if self._owner is None and on_aws(client):
                    self._owner = account(self._region, self._profile)
                self._made = client
            return self._made

    def _errors(
        self, key: str, missing: type[Exception] | None = None
    ) -> AbstractContextManager[None]:
        return errors(self.location, self._bucket, key, missing)


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
_HINT_CREDENTIALS = "`aws configure`, AWS_PROFILE or --profile give credentials; --region a region"


@contextmanager
def errors(
    location: str, bucket: str, key: str = "", missing: type[Exception] | None = None
) -> Iterator[None]:
    """Say in the contract's words what boto3 says in its own.

    Args:
        missing: What to raise when there is no object under the key.
    """
    try:
        yield
    except ClientError as error:
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _DIFFERS or status == 412:
            raise (Exists if missing is not Changed else Changed)(key) from None
        if code in _NO_BUCKET:
            raise Denied(
                f"there is no bucket {bucket}", why=_text(error), hint=_HINT_BUCKET
            ) from None
        if (code in _GONE or status == 404) and missing is not None:
            raise missing(key) from None
        busy = code in _BUSY | _RACED | _STALE or status >= 500 or status in (408, 409, 429)
        what = f"{location} {'cannot be reached' if busy else 'refuses us'}"
        hint = "" if busy else _HINT_DENIED
        raise (Unavailable if busy else Denied)(what, why=_text(error), hint=hint) from None
    except (
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        NoRegionError,
        ParamValidationError,
    ) as error:
        raise Denied(
            f"{location} cannot be asked", why=str(error), hint=_HINT_CREDENTIALS
        ) from None
    except (BotoCoreError, CredentialRetrievalError, OSError) as error:
        raise Unavailable(f"{location} cannot be reached", why=str(error)) from None


def session(region: str | None, profile: str | None) -> Any:
    """A boto3 session: credentials and endpoints by its chain."""
    import boto3

    return boto3.Session(region_name=region, profile_name=profile)


def on_aws(client: Any) -> bool:
    """Whether a client asks AWS itself, not a server of another's."""
    host = str(client.meta.endpoint_url).split("//")[-1].split("/")[0].split(":")[0]
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def account(region: str | None, profile: str | None) -> str:
    """The account that we are."""
    client = session(region, profile).client("sts", config=CONFIG)
    return str(client.get_caller_identity()["Account"])


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _text(error: ClientError) -> str:
    said = error.response.get("Error", {})
    return f"{said.get('Code', '')}: {said.get('Message', '')}".strip(": ")


def _age(found: dict[str, Any]) -> float:
    """Seconds since an object was written, by the server's clock alone."""
    from email.utils import parsedate_to_datetime

    date = found["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        now = parsedate_to_datetime(date)
    except ValueError:
        return 0.0  # it does not say: as if it were new
    return max(0.0, float((now - found["LastModified"]).total_seconds()))
