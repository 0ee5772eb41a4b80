"""An empty object store of each kind."""

from pathlib import Path
from uuid import uuid4

import pytest
from tests.contract.subjects import BUCKET, KINDS, Subject
from tests.support.s3 import Server

from spawn.store.objects.folder import FolderStore
from spawn.store.objects.s3 import S3Store


@pytest.fixture(params=KINDS)
def subject(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Subject:
    """A separate prefix in each kind of store; the environment has the server's credentials."""
    kind = request.param
    if kind == "folder":
        root = tmp_path / "objects" / "nightly"
        return Subject(kind, FolderStore(root), "", root=root)
    server: Server = request.getfixturevalue(f"{kind}_server")
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    client = server.client()
    if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
    prefix = f"queues/{uuid4()}"
    return Subject(kind, S3Store(bucket=BUCKET, prefix=prefix), prefix, server=server)
