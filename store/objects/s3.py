"""An object store in a bucket. The one place that asks S3 for objects.

Requests are tried once: what to do about a failure is for who asked. Credentials, profiles and
endpoints come by boto3's chain, `AWS_ENDPOINT_URL` included.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from hashlib import sha256
from io import BufferedReader, RawIOBase
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from spawn.store.objects.aws import account, code_of, connect, errors, on_aws
from spawn.store.objects.port import PAGE, Changed, Exists, NotThere, Object

PART_BYTES = 16 * 1024 * 1024
"""Files are held in memory this much at a time."""
MAX_PARTS = 10_000
"""Source: "Amazon S3 multipart upload limits" of the S3 user guide."""
_READ_BYTES = 1024 * 1024


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
        self._refuses = False

    @property
    def location(self) -> str:
        """See `ObjectStore.location`."""
        return f"s3://{self._bucket}/{self._prefix}"

    def create(self, key: str, data: bytes) -> str:
        """See `ObjectStore.create`."""
        try:
            with self._errors(key):
                return self._put(key, data, IfNoneMatch="*")
        except Exists:
            self._refuses = True
            raise

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """See `ObjectStore.replace`."""
        with self._errors(key, missing=Changed):
            try:
                return self._put(key, data, IfMatch=etag.strip('"') if self._bare_etag else etag)
            except ClientError as error:
                # Ceph wants the ETag without the quotes that it gave it with.
                if (
                    code_of(error) != "PreconditionFailed"
                    or self._bare_etag
                    or self._etag(key) != etag
                ):
                    raise
                new = self._put(key, data, IfMatch=etag.strip('"'))
                self._bare_etag = True
                return new

    def read(self, key: str) -> Object:
        """See `ObjectStore.read`."""
        with self._errors(key, missing=NotThere):
            found = self._ask("get_object", Key=self._prefix + key)
            with closing(found["Body"]) as body:  # entered itself it would be the bare stream
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

    def folders(self) -> Iterator[str]:
        """Names of the folders right below this place, in order; a request for each `PAGE`."""
        after: dict[str, str] = {}
        while True:
            with self._errors(""):
                found = self._ask(
                    "list_objects_v2", Prefix=self._prefix, Delimiter="/", MaxKeys=PAGE, **after
                )
            for each in found.get("CommonPrefixes", ()):
                yield each["Prefix"].removeprefix(self._prefix).rstrip("/")
            if not found.get("IsTruncated"):
                return
            after = {"ContinuationToken": found["NextContinuationToken"]}

    def at(self, prefix: str) -> "S3Store":
        """Another place of the same bucket, asked over the same connections."""
        other = S3Store(bucket=self._bucket, prefix=prefix, owner=self._owner)
        with self._errors(""):
            other._made = self._client()
        other._owner = self._owner
        return other

    def has(self, key: str) -> bool:
        """See `ObjectStore.has`.

        A HEAD would say less: its errors have no body, so that an expired token looks like a
        request that will never do.
        """
        try:
            with self._errors(key, missing=NotThere):
                self._first_byte(key)
        except NotThere:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        """See `ObjectStore.open`. Reading raises the same errors."""
        with self._errors(key, missing=NotThere):
            body = self._ask("get_object", Key=self._prefix + key)["Body"]
        return BufferedReader(_Body(body, lambda: self._errors(key)), _READ_BYTES)

    def put(self, key: str, data: bytes, *, durable: bool = True) -> str:
        """See `ObjectStore.put`. All is durable here."""
        return sha256(data).hexdigest() if self._keep(key, data) else self._there(key)[1]

    def link(self, key: str, source: Path) -> None:
        """See `ObjectStore.link`."""
        self.put_file(key, source)

    def put_file(
        self, key: str, source: Path, *, accept: Callable[[], None] | None = None
    ) -> tuple[int, str]:
        """See `ObjectStore.put_file`."""
        with open(source, "rb") as file:
            bytes_each = part_bytes(os.fstat(file.fileno()).st_size)
            part = file.read(bytes_each)
            if len(part) < bytes_each:
                if accept is not None:
                    accept()
                if self._keep(key, part):
                    return len(part), sha256(part).hexdigest()
                return self._there(key)
            if self.has(key):  # much would be sent in vain
                return self._there(key)
            digest = sha256()
            size = 0
            with self._upload(key) as (send, complete):
                while part:
                    digest.update(part)
                    size += len(part)
                    send(part)
                    part = file.read(bytes_each)
                if accept is not None:
                    accept()
                complete()
                return size, digest.hexdigest()
        return self._there(key)

    def _keep(self, key: str, data: bytes) -> bool:
        """Put it, unless the key is taken; returns whether it was put.

        Until the store has shown that it refuses to overwrite, we look first.
        """
        if not self._refuses and self.has(key):
            return False
        try:
            self.create(key, data)
        except Exists:
            return False
        return True

    def _there(self, key: str) -> tuple[int, str]:
        """Size and SHA-256 of what an earlier try kept under a key."""
        digest = sha256()
        size = 0
        with self.open(key) as file:
            while chunk := file.read(_READ_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

    @contextmanager
    def _upload(self, key: str) -> Iterator[tuple[Callable[[bytes], None], Callable[[], None]]]:
        """An upload in parts; given up unless it is completed. A key that is taken by then ends
        the block."""
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
            with self._errors(key):
                self._ask(
                    "complete_multipart_upload",
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                    **names,
                )

        try:
            yield send, complete
        except BaseException as error:
            with suppress(BotoCoreError, ClientError):
                self._ask("abort_multipart_upload", **names)
            if not isinstance(error, Exists):
                raise

    def _put(self, key: str, data: bytes, **condition: str) -> str:
        found = self._ask("put_object", Key=self._prefix + key, Body=data, **condition)
        return str(found["ETag"])

    def _first_byte(self, key: str) -> bytes:
        try:
            found = self._ask("get_object", Key=self._prefix + key, Range="bytes=0-0")
        except ClientError as error:
            if code_of(error) != "InvalidRange":
                raise
            return b""  # it is empty
        with closing(found["Body"]) as body:
            return bytes(body.read(1))

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
                client = connect("s3", self._region, self._profile)
                if self._owner is None and on_aws(client):
                    self._owner = account(self._region, self._profile)
                self._made = client
            return self._made

    def _errors(
        self, key: str, missing: type[Exception] | None = None
    ) -> AbstractContextManager[None]:
        return errors(self.location, self._bucket, key, missing)


class _Body(RawIOBase):
    """What a request answered with, its errors in the contract's words."""

    def __init__(self, body: Any, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._body = body
        self._errors = errors

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See `RawIOBase.readinto`."""
        with self._errors():
            return int(self._body.readinto(buffer))

    def close(self) -> None:
        """Give the connection up, unless all was read."""
        self._body.close()
        super().close()


def part_bytes(size: int) -> int:
    """How large the parts are in which a file of this size is uploaded."""
    return max(PART_BYTES, -(-size // MAX_PARTS))


def _age(found: dict[str, Any]) -> float:
    """Seconds since an object was written, by the server's clock alone."""
    from email.utils import parsedate_to_datetime

    date = found["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        now = parsedate_to_datetime(date)
    except ValueError:
        return 0.0  # it does not say: as if it were new
    return max(0.0, float((now - found["LastModified"]).total_seconds()))
