"""Send requests to a bucket: clients, credentials, and the check of the bucket's owner."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, cast

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from msgspec import Struct

from spawn.store.objects.aws import (
    EXPIRED,
    UnexpectedResponse,
    caller_account,
    create_client,
    error_code,
    on_aws,
)
from spawn.store.objects.direct_client import DirectClient
from spawn.store.objects.service_models import create_session

COMPLETE_SECONDS = 300.0
"""Read timeout of CompleteMultipartUpload: a server may copy all parts.
Source: "It might take several minutes" of CompleteMultipartUpload in the S3 API reference."""
OWNER = "SPAWN_BUCKET_OWNER"
"""Environment variable: the account that owns the buckets (default: the caller's)."""
RENEW_SECONDS = 5.0
"""Minimum age of clients that are recreated after their credentials expire."""
_REQUIRED_FIELDS = {
    "complete_multipart_upload": ("Key",),  # radosgw leaves the ETag empty
    "create_multipart_upload": ("UploadId",),
    "get_object": ("Body", "ETag", "LastModified"),
    "head_object": ("ETag",),
    "list_multipart_uploads": ("IsTruncated",),
    "list_objects_v2": ("IsTruncated",),
    "put_object": ("ETag",),
    "upload_part": ("ETag",),
}
"""Fields of every server's response to an operation. Source: the S3 API reference."""


class _Clients(Struct, frozen=True):
    """boto3's client, and the one that bypasses boto3; `at` is the monotonic time of creation."""

    client: Any
    direct: DirectClient
    at: float


class BucketClient:
    """Sends requests to a bucket, without retries. Thread-safe.

    Clients are created on first use, and recreated after their credentials expire, which rereads
    the credentials. Invalid responses raise `UnexpectedResponse`.

    Args:
        owner: The account that must own the bucket; see `S3Store`.
    """

    def __init__(
        self, bucket: str, *, region: str | None, profile: str | None, owner: str | None
    ) -> None:
        self.bucket = bucket
        self._region = region
        self._profile = profile
        self._owner = owner or os.environ.get(OWNER)
        self._clients: _Clients | None = None
        self._slow: Any = None
        self._lock = Lock()

    def request(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Send a request; returns boto3's response. Translate its errors with `aws.errors`.

        Args:
            operation: The name of boto3's method.
            arguments: boto3's arguments, without the bucket.
        """
        clients = self._connect()
        response = self._send(clients, clients.client, operation, arguments)
        if operation == "get_object":
            clients.direct.learn(arguments["Key"])
        return response

    def request_slow(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Send a request that a server may take `COMPLETE_SECONDS` for."""
        clients = self._connect()  # sets the owner
        return self._send(clients, self._slow_client(), operation, arguments)

    def _send(
        self, clients: _Clients, client: Any, operation: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        if self._owner:
            arguments["ExpectedBucketOwner"] = self._owner
        try:
            response = getattr(client, operation)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            if error_code(error) in EXPIRED:
                self._discard(clients)
            raise
        validate_response(operation, response)
        return cast("dict[str, Any]", response)

    def _discard(self, clients: _Clients) -> None:
        """Drop the clients, unless they are newer than `RENEW_SECONDS`."""
        with self._lock:
            if self._clients is clients and time.monotonic() - clients.at >= RENEW_SECONDS:
                self._clients = self._slow = None

    @property
    def direct(self) -> DirectClient:
        """The client that bypasses boto3."""
        return self._connect().direct

    def _connect(self) -> _Clients:
        with self._lock:
            if self._clients is None:
                base = create_session()
                parsers = base.get_component("response_parser_factory")
                parsers.set_parser_defaults(timestamp_parser=_parse_time)
                client = create_client("s3", self._region, self._profile, base)
                if self._owner is None and on_aws(client):
                    self._owner = caller_account(self._region, self._profile, base)
                self._clients = _Clients(client, DirectClient(client, base), time.monotonic())
            return self._clients

    def _slow_client(self) -> Any:
        with self._lock:
            if self._slow is None:
                self._slow = create_client(
                    "s3", self._region, self._profile, read_timeout=COMPLETE_SECONDS
                )
            return self._slow


def validate_response(operation: str, response: Mapping[str, Any]) -> None:
    """Check that a response is valid for its operation.

    Raises:
        UnexpectedResponse: Fields are missing, although the status is 200.
    """
    for name in _REQUIRED_FIELDS.get(operation, ()):
        value = response.get(name)
        if value is None or (isinstance(value, str) and not value.strip('" ')):
            raise UnexpectedResponse(f"{operation} without {name}")
    if operation == "list_objects_v2":
        found = response.get("Contents") or response.get("CommonPrefixes")
        if response["IsTruncated"] and not (found and response.get("NextContinuationToken")):
            raise UnexpectedResponse("a truncated list without a continuation token")
        if response.get("KeyCount") and not found:
            raise UnexpectedResponse("a list without its keys")


def _parse_time(value: Any) -> datetime:
    """Parse a timestamp. botocore's parser takes a third of the time of listing a page."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return cast("datetime", parse_timestamp(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
