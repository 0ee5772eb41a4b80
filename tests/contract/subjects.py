"""Object stores that implement the contract, and known gaps of each server."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import Struct
from tests.support.s3 import Server

from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import AccessDenied, ETagMismatch, ObjectExists, ObjectStore
from spawn.store.objects.s3 import S3Store

BUCKET = "contract"
KINDS = [
    "folder",
    "moto",
    pytest.param("radosgw", marks=pytest.mark.s3server),
    pytest.param("rclone", marks=pytest.mark.s3server),
]

CREATES_ONCE = "refuses `If-None-Match: *` on a key that is taken"
REPLACES_IF = "refuses `If-Match` with another ETag"
COMPLETES_ONCE = "refuses `If-None-Match: *` when an upload in parts is completed"
KNOWS_US = "asks for credentials"
LACKS: dict[str, set[str]] = {
    "folder": {KNOWS_US},
    "moto": {KNOWS_US},
    "radosgw": {COMPLETES_ONCE},
    "rclone": {CREATES_ONCE, REPLACES_IF, COMPLETES_ONCE},
}
"""Each entry is verified when a test is skipped for it."""


class Subject(Struct, frozen=True):
    """A store under test. `server` is None for the folder store."""

    kind: str
    store: ObjectStore
    prefix: str
    server: Server | None = None
    root: Path | None = None

    def reopen(self) -> ObjectStore:
        """Open the same store as another process does."""
        if self.root is not None:
            return FolderStore(self.root)
        return S3Store(bucket=BUCKET, prefix=self.prefix)

    def keys(self) -> list[str]:
        """List the keys with another client."""
        if self.root is not None:
            found = (p for p in self.root.rglob("*") if not p.is_dir())
            return sorted(str(path.relative_to(self.root)) for path in found)
        assert self.server is not None
        answer = self.server.client().list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        return [each["Key"].removeprefix(f"{self.prefix}/") for each in answer.get("Contents", ())]

    def count_unfinished_uploads(self) -> int:
        """Count multipart uploads that are neither completed nor aborted."""
        if self.server is None:
            return 0
        answer = self.server.client().list_multipart_uploads(Bucket=BUCKET)
        mine = f"{self.prefix}/"
        return sum(each["Key"].startswith(mine) for each in answer.get("Uploads", ()))

    def put_many(self, keys: list[str]) -> None:
        """Put many small objects with another client."""
        if self.server is None:
            for key in keys:
                self.store.put(key, b"x", durable=False)
            return
        client = self.server.client()

        def put(key: str) -> None:
            client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=b"x")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(put, keys))

    def require(self, capability: str) -> None:
        """Skip the test if the server lacks a capability, after checking that it does."""
        if capability not in LACKS[self.kind]:
            return
        if _PROBES[capability](self):
            pytest.fail(f"{self.kind} {capability} now: take that from LACKS")
        pytest.skip(f"{self.kind} never {capability}")


def _creates_once(subject: Subject) -> bool:
    key = f"probe-{uuid4()}"
    subject.store.create(key, b"one")
    try:
        subject.store.create(key, b"two")
    except ObjectExists:
        return True
    return False


def _replaces_if(subject: Subject) -> bool:
    key = f"probe-{uuid4()}"
    other = subject.store.create(f"{key}-other", b"other")
    subject.store.create(key, b"one")
    try:
        subject.store.replace(key, b"two", etag=other)
    except ETagMismatch:
        return True
    return False


def _completes_once(subject: Subject) -> bool:
    assert subject.server is not None
    client = subject.server.client()
    names = {"Bucket": BUCKET, "Key": f"{subject.prefix}/probe-{uuid4()}"}
    client.put_object(Body=b"one", **names)
    upload = client.create_multipart_upload(**names)["UploadId"]
    part = client.upload_part(Body=b"two", UploadId=upload, PartNumber=1, **names)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    try:
        client.complete_multipart_upload(
            UploadId=upload, MultipartUpload=parts, IfNoneMatch="*", **names
        )
    except client.exceptions.ClientError:
        return True
    return False


def _knows_us(subject: Subject) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "stranger")
        try:
            subject.reopen().list("")
        except AccessDenied:
            return True
    return False


_PROBES: dict[str, Callable[[Subject], bool]] = {
    CREATES_ONCE: _creates_once,
    REPLACES_IF: _replaces_if,
    COMPLETES_ONCE: _completes_once,
    KNOWS_US: _knows_us,
}
