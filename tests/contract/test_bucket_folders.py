"""Folders at a prefix of a bucket, from which queues are listed."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from tests.support.s3 import Server, moto

from spawn.store.objects import s3
from spawn.store.objects.interface import BucketNotFound
from spawn.store.objects.s3 import S3Store

BUCKET = "folders"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a bucket; boto3 in this process uses it."""
    with moto(tmp_path_factory.mktemp("moto")) as server:
        server.client().create_bucket(Bucket=BUCKET)
        for key in ("top.txt", "a/1", "a/b/2", "b c/1", "ü/x", "_spawn/queue.json", "a/_spawn/q"):
            server.client().put_object(Bucket=BUCKET, Key=key, Body=b"")
        with patch.dict("os.environ", server.environ):
            yield server


def test_only_direct_subfolders_are_listed(server: Server) -> None:
    assert list(S3Store(bucket=BUCKET, prefix="").folders()) == ["_spawn", "a", "b c", "ü"]
    assert list(S3Store(bucket=BUCKET, prefix="a").folders()) == ["_spawn", "b"]
    assert list(S3Store(bucket=BUCKET, prefix="a/b").folders()) == []


def test_many_folders_are_listed_over_several_pages(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PAGE", 2)
    assert list(S3Store(bucket=BUCKET, prefix="").folders()) == ["_spawn", "a", "b c", "ü"]


def test_a_missing_bucket_has_no_folders(server: Server) -> None:
    with pytest.raises(BucketNotFound, match="there is no bucket nothing-here"):
        list(S3Store(bucket="nothing-here", prefix="").folders())


def test_another_prefix_reuses_the_connections(server: Server) -> None:
    store = S3Store(bucket=BUCKET, prefix="")
    other = store.with_prefix("a")
    assert other.location == f"s3://{BUCKET}/a/"
    assert other.has("1")
    assert other._client is store._client
