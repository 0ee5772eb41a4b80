"""Every object is encrypted as the environment configures."""

import re
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.answers import Answer, RecordedRequest, answering, error, forward
from tests.support.s3 import Server

from spawn.store.objects import s3
from spawn.store.objects.s3 import S3Store

KEY = "arn:aws:kms:us-east-1:111122223333:key/queues"
SETTINGS = {
    "none": ({}, None, None),
    "AES256": ({"SPAWN_SSE": "AES256"}, "AES256", None),
    "KMS": ({"SPAWN_SSE": "aws:kms"}, "aws:kms", None),
    "KMS, a key": ({"SPAWN_SSE": "aws:kms", "SPAWN_SSE_KMS_KEY_ID": KEY}, "aws:kms", KEY),
}


@pytest.fixture
def bucket(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket; the environment names its server."""
    for name, value in moto_server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 1024 * 1024)
    name = f"spawn-{uuid4()}"
    moto_server.client().create_bucket(Bucket=name)
    return name


def _fill(store: S3Store, folder: Path) -> dict[str, bytes]:
    """Create an object with each operation that creates one."""
    (folder / "small").write_bytes(b"small")
    (folder / "large").write_bytes(large := b"large" * 2 * 1024 * 1024)
    etag = store.create("created", b"old")
    store.create("left", b"left")
    etag = store.replace("created", b"new", etag=etag)
    store.replace("created", b"newer", etag=etag)
    store.put("put", b"put")
    store.link("linked", folder / "small")
    store.put_file("small", folder / "small")
    assert store.put_file("large", folder / "large")[0] == len(large)
    return {
        "created": b"newer",
        "left": b"left",
        "put": b"put",
        "linked": b"small",
        "small": b"small",
        "large": large,
    }


@pytest.mark.parametrize(("settings", "algorithm", "key"), SETTINGS.values(), ids=SETTINGS.keys())
def test_every_object_has_the_configured_encryption(
    moto_server: Server,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: dict[str, str],
    algorithm: str | None,
    key: str | None,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    store = S3Store(bucket=bucket, prefix="q")
    for name, data in _fill(store, tmp_path).items():
        head = moto_server.client().head_object(Bucket=bucket, Key=f"q/{name}")
        assert head.get("ServerSideEncryption") == algorithm, name
        assert head.get("SSEKMSKeyId") == key, name
        assert store.read(name).data == data


def test_every_creating_request_has_the_encryption_header(
    moto_server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def demanding(asked: RecordedRequest) -> Answer:
        new = asked.method == "PUT" and "partNumber" not in asked.query
        if new or (asked.method, asked.query) == ("POST", "uploads"):
            if asked.headers.get("x-amz-server-side-encryption") != "aws:kms":
                return error(403, "AccessDenied")
        else:  # S3 rejects the header on other requests with 400
            assert "x-amz-server-side-encryption" not in asked.headers
        return forward(moto_server, asked)

    monkeypatch.setenv("SPAWN_SSE", "aws:kms")
    with answering(demanding) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        _fill(S3Store(bucket=bucket, prefix="q"), tmp_path)


def test_no_etag_is_used_as_an_md5(
    moto_server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With KMS an ETag is not an MD5: this server reverses every ETag."""

    def kms(asked: RecordedRequest) -> Answer:
        headers = {name: _backwards(value) for name, value in asked.headers.items()}
        body = asked.body
        if asked.method == "POST" and "uploadId" in asked.query:
            body = _backwards(body.decode()).encode()
            headers["content-length"] = str(len(body))
        told = forward(
            moto_server, RecordedRequest(asked.method, asked.path, asked.query, headers, body)
        )
        told.headers["ETag"] = _backwards(told.headers.get("ETag", ""))
        return told

    with answering(kms) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        store = S3Store(bucket=bucket, prefix="q")
        for name, data in _fill(store, tmp_path).items():
            assert store.read(name).data == data


def _backwards(text: str) -> str:
    return re.sub(r"(\"|&quot;)([0-9a-f]{32})(\"|&quot;)", lambda m: m[1] + m[2][::-1] + m[3], text)
