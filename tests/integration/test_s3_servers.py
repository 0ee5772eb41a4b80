"""A queue moves from one machine to another, with each kind of server."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.queues import Finished, World, job, until, world_in
from tests.support.s3 import Server

KINDS = ["radosgw", "rclone"]
FENCED = {"radosgw": True, "rclone": False}
"""Whether the log is fenced on this server."""
NO_FENCE = "the log has no fence in its object store"

pytestmark = pytest.mark.s3server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Kind of the server."""
    return str(request.param)


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> Server:
    """The server."""
    found: Server = request.getfixturevalue(f"{kind}_server")
    return found


@pytest.fixture
def bucket() -> str:
    """A bucket name that is unused."""
    return f"flow-{uuid4()}"


@pytest.fixture
def machines(tmp_path: Path, server: Server, bucket: str) -> Iterator[tuple[World, World]]:
    """Two homes that share only the server and the record of executed commands."""
    with ExitStack() as stack:
        worlds = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            world = stack.enter_context(world_in(tmp_path / name))
            world.environ.update(server.environ, SPAWN_BUCKET=bucket)
            worlds.append(world)
        one, two = worlds
        two.environ["BASH_ENV"] = one.environ["BASH_ENV"]
        two.execution_lines = one.execution_lines  # type: ignore[method-assign]
        yield one, two


def _keys(server: Server, bucket: str, prefix: str) -> list[str]:
    found = server.client().list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for each in found.get("Contents", ())]


def _read(server: Server, bucket: str, key: str) -> bytes:
    data: bytes = server.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def test_a_queue_of_a_lost_machine_resumes_elsewhere(
    kind: str, server: Server, bucket: str, machines: tuple[World, World]
) -> None:
    one, two = machines
    fence = FENCED[kind]
    jobs = [
        job("first", "echo model > model.bin", result_files=["model.bin"]),
        job("second", until("go"), "first", working_directory=str(one.work)),
        job("third", "cp model.bin copy.bin", "second", result_files=["copy.bin"]),
    ]
    here = one.queue(*jobs, kill_grace="1s").detach()
    here.wait_executing("second")
    here.wait_for("ResultsUploaded", "first")
    assert here.events()[0].type == "QueueSubmitted"
    (started,) = [e.data for e in here.events() if e.type == "QueueStarted"]
    assert started.fence is fence
    assert started.results_location == f"s3://{bucket}/q/"
    here.stop()
    assert (NO_FENCE in one.spawn("status", "q").out) is not fence
    lease = json.loads(_read(server, bucket, "q/_spawn/lease.json"))
    assert lease["handed_back"] is True
    assert lease["seq"] == len(here.events())
    shutil.rmtree(one.home)

    if not fence:
        refused = two.spawn("resume", "q", "--from-s3")
        assert refused.code == 1
        assert "ignores conditional writes" in refused.err
        assert "no fence" in refused.err
        assert "--force" in refused.err
    there = two.queue(*jobs, kill_grace="1s")
    one.release("go")
    done = two.spawn("resume", "q", "--from-s3", *([] if fence else ["--force"]))
    assert done.code == 0, done.err

    assert there.executed() == [("first", 1), ("second", 1), ("second", 2), ("third", 1)]
    assert there.state.state == "completed"
    assert two.spawn("verify", "q").code == 0
    (resumed,) = [e.data for e in there.events() if e.type == "QueueResumed"]
    assert resumed.fence is fence
    status = two.spawn("status", "q")
    assert (NO_FENCE in status.out) is not fence
    assert _results(server, bucket) == {
        "q/first/attempts/1.1/results/model.bin": b"model\n",
        "q/third/attempts/2.1/results/copy.bin": b"model\n",
    }
    lease = json.loads(_read(server, bucket, "q/_spawn/lease.json"))
    assert (lease["epoch"], lease["handed_back"]) == (2, True)
    assert lease["seq"] == len(there.events())


def _results(server: Server, bucket: str) -> dict[str, bytes]:
    keys = [key for key in _keys(server, bucket, "q/") if "/results/" in key]
    return {key: _read(server, bucket, key) for key in keys}


def test_an_id_is_not_used_twice_even_without_a_fence(
    server: Server, bucket: str, machines: tuple[World, World]
) -> None:
    one, two = machines
    assert one.queue(job("a", "true")).run().code == 0
    claimed = _read(server, bucket, "q/_spawn/queue.json")
    refused: Finished = two.queue(job("b", "true")).run()
    assert refused.code != 0
    assert "can be used only once" in refused.err
    assert _read(server, bucket, "q/_spawn/queue.json") == claimed
