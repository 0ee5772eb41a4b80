"""How a bucket is asked: as whom, by which clients, and that it is whose it should be."""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, cast

from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from msgspec import Struct

from spawn.store.objects.aws import EXPIRED, NotAnAnswer, account, code_of, connect, on_aws
from spawn.store.objects.lean import Lean
from spawn.store.objects.models import session

COMPLETE_SECONDS = 300.0
"""How long putting the parts of an object together may take: a server may copy them all.
Source: "It might take several minutes" of CompleteMultipartUpload in the S3 API reference."""
OWNER = "SPAWN_BUCKET_OWNER"
"""Names the account that buckets belong to, where it is not our own."""
RENEW_SECONDS = 5.0
"""How old clients are at least before expired credentials have them made anew."""
_HAS = {
    "complete_multipart_upload": ("Key",),  # radosgw leaves the ETag empty
    "create_multipart_upload": ("UploadId",),
    "get_object": ("Body", "ETag", "LastModified"),
    "head_object": ("ETag",),
    "list_multipart_uploads": ("IsTruncated",),
    "list_objects_v2": ("IsTruncated",),
    "put_object": ("ETag",),
    "upload_part": ("ETag",),
}
"""What every server's answer to an operation has. Source: the S3 API reference."""


class _Made(Struct, frozen=True):
    """What asks: boto3's client, and what does without it where it can; `at` is when they were
    made, by the monotonic clock."""

    client: Any
    lean: Lean
    at: float


class Asking:
    """Asks for a bucket's objects, each request once; from any thread. Clients are made when they
    are first needed, and anew after credentials have expired: then they are read again.

    What is no answer to an operation is never returned.

    Args:
        owner: The account that the bucket must belong to; see `S3Store`.
    """

    def __init__(
        self, bucket: str, *, region: str | None, profile: str | None, owner: str | None
    ) -> None:
        self.bucket = bucket
        self._region = region
        self._profile = profile
        self._owner = owner or os.environ.get(OWNER)
        self._made: _Made | None = None
        self._patient: Any = None
        self._making = Lock()

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask, and return boto3's answer; its errors are for `errors` of aws.py.

        Args:
            operation: As boto3 calls it.
            arguments: As boto3 takes them, without the bucket.
        """
        made = self._make()
        answer = self._ask(made, made.client, operation, arguments)
        if operation == "get_object":
            made.lean.learn(arguments["Key"])
        return answer

    def ask_patiently(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Ask for what a server takes its time for."""
        made = self._make()  # it knows whose the bucket is
        return self._ask(made, self._patient_client(), operation, arguments)

    def _ask(
        self, made: _Made, client: Any, operation: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        if self._owner:
            arguments["ExpectedBucketOwner"] = self._owner
        try:
            answer = getattr(client, operation)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            if code_of(error) in EXPIRED:
                self._forget(made)
            raise
        expect(operation, answer)
        return cast("dict[str, Any]", answer)

    def _forget(self, made: _Made) -> None:
        """Have clients made anew, unless that was done just now."""
        with self._making:
            if self._made is made and time.monotonic() - made.at >= RENEW_SECONDS:
                self._made = self._patient = None

    @property
    def lean(self) -> Lean:
        """What does without boto3, once it has seen how."""
        return self._make().lean

    def _make(self) -> _Made:
        with self._making:
            if self._made is None:
                below = session()
                parsers = below.get_component("response_parser_factory")
                parsers.set_parser_defaults(timestamp_parser=_moment)
                client = connect("s3", self._region, self._profile, below)
                if self._owner is None and on_aws(client):
                    self._owner = account(self._region, self._profile, below)
                self._made = _Made(client, Lean(client, below), time.monotonic())
            return self._made

    def _patient_client(self) -> Any:
        with self._making:
            if self._patient is None:
                self._patient = connect(
                    "s3", self._region, self._profile, patience=COMPLETE_SECONDS
                )
            return self._patient


def expect(operation: str, answer: Mapping[str, Any]) -> None:
    """See that what came is an answer to an operation.

    Raises:
        NotAnAnswer: It is something else that has a status of 200.
    """
    for name in _HAS.get(operation, ()):
        value = answer.get(name)
        if value is None or (isinstance(value, str) and not value.strip('" ')):
            raise NotAnAnswer(f"{operation} without {name}")
    if operation == "list_objects_v2":
        found = answer.get("Contents") or answer.get("CommonPrefixes")
        if answer["IsTruncated"] and not (found and answer.get("NextContinuationToken")):
            raise NotAnAnswer("a list that goes on nowhere")
        if answer.get("KeyCount") and not found:
            raise NotAnAnswer("a list without its keys")


def _moment(value: Any) -> datetime:
    """A time of an answer. botocore's own way would be a third of the work for a page of a list."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return cast("datetime", parse_timestamp(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
