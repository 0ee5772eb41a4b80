"""`verify --from-s3` finds and audits the replica alone, and names its sources; `verify` names the
folders that were set aside by takeovers."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from msgspec import structs
from tests.cli import samples
from tests.cli.support import Home
from tests.support import s3
from tests.support.replicas import lease, objects, replicate

from spawn.core.domain.events import QueueStarted
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import ObjectStore
from spawn.store.objects.s3 import S3Store
from spawn.store.replica import names

ID = samples.QUEUE_ID
TRAINING = samples.training()
HEAD = TRAINING.rows[-1][3].hex()
ENDS = range(1, TRAINING.seq + 1)
SOUND = (
    f"{ID}: {TRAINING.seq} events, hash chain intact, every transition legal\n"
    "Status: running\n"
    f"Head: {HEAD}\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """A real S3 server with two buckets."""
    with s3.moto(tmp_path_factory.mktemp("moto")) as server:
        import boto3

        with patch.dict("os.environ", server.environ):
            for bucket in ("team", "spawn-results-us-east-1"):
                boto3.client("s3").create_bucket(Bucket=bucket)
        yield server


@contextmanager
def asked(server: s3.Server) -> Iterator[None]:
    """Point boto3 in this process at the server."""
    with patch.dict("os.environ", server.environ):
        yield


def _replicate(store: ObjectStore, *, handed_back: bool = False) -> None:
    config = structs.replace(samples.PIPELINE, queue_id=ID)
    replicate(store, TRAINING.rows, config, ends=ENDS, handed_back=handed_back)


def _in_bucket(server: s3.Server, bucket: str, prefix: str) -> None:
    with asked(server):
        _replicate(S3Store(bucket=bucket, prefix=prefix))


@pytest.fixture
def here(home: Home) -> Path:
    """A queue with its log on this machine and its replica in a local folder."""
    root = home.roots.objects / ID
    log = samples.submitted(samples.PIPELINE, "14:05:30")
    log.at("14:05:32", _owner(f"{root}/"))
    home.queue(ID).folder.mkdir(parents=True)
    log.write(home.queue(ID).events)
    _replicate(FolderStore(root))
    return root


def _owner(location: str) -> QueueStarted:
    owner = samples.owner()
    return QueueStarted(
        **{
            **{name: getattr(owner, name) for name in owner.__struct_fields__},
            "results_location": location,
        }
    )


def test_a_queue_without_a_bucket_has_a_valid_replica(finished: Home) -> None:
    local = finished("queue", "verify", "good").stdout
    done = finished("queue", "verify", "good", "--from-s3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(local)
    place = re.escape(f"{finished.roots.objects}/good/")
    assert re.fullmatch(
        rf"Read from: {place} \(\d+ segments, 1 packs\)\n", done.stdout.removeprefix(local)
    )


def test_a_live_queue_in_a_bucket_is_shown_with_its_leases_age(
    home: Home, server: s3.Server
) -> None:
    _in_bucket(server, "team", "runs/live")
    done = home(
        "queue", "verify", ID, "--from-s3", "--bucket", "team", "--prefix", "/runs/live/",
        **server.environ,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        f"{SOUND}Read from: s3://team/runs/live/ ({TRAINING.seq} segments, 1 packs)\n"
    )
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"Lease: of i-0123456789abcdef0, epoch 1, renewed \d+ s ago", last)
    assert not home.root.exists(), "reading a replica creates nothing here"


def test_a_missing_expired_or_handed_back_lease_is_reported(home: Home, here: Path) -> None:
    def told() -> str:
        return home("queue", "verify", ID, "--from-s3").stdout.splitlines()[-1]

    then = time.time() - 120
    os.utime(here / names.LEASE, (then, then))
    assert re.fullmatch(r"Lease: of \S+, epoch 1, renewed 12\d s ago, expired", told())
    (here / names.LEASE).unlink()
    assert told() == "Lease: none"
    lease(FolderStore(here), TRAINING.rows[-1], handed_back=True)
    assert re.fullmatch(r"Lease: of \S+, epoch 1, handed back \d s ago", told())


def test_a_queue_json_that_the_log_never_had_is_noted(home: Home, here: Path) -> None:
    path = here / names.QUEUE
    path.write_bytes(path.read_bytes().replace(b"python train.py", b"python other.py"))
    done = home("queue", "verify", ID, "--from-s3")
    assert done.returncode == 0
    assert "\nNote: queue.json does not match any configuration in the log\n" in done.stdout


# finding the replica


def test_the_local_log_gives_the_replicas_location(home: Home, here: Path) -> None:
    done = home("queue", "verify", ID, "--from-s3")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\nRead from: {here}/ (" in done.stdout


def test_a_folder_set_aside_gives_the_replicas_location(home: Home, here: Path) -> None:
    folder = home.queue(ID).folder
    folder.rename(folder.with_name(f"{ID}.fenced-1"))
    assert f"\nRead from: {here}/ (" in home("queue", "verify", ID, "--from-s3").stdout


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (["--bucket", "team"], {}),
        ([], {"SPAWN_BUCKET": "team"}),
    ],
)
def test_the_default_prefix_is_the_queues_id(
    home: Home, server: s3.Server, flags: list[str], environment: dict[str, str]
) -> None:
    _in_bucket(server, "team", ID)
    done = home("queue", "verify", ID, "--from-s3", *flags, **server.environ, **environment)
    assert f"\nRead from: s3://team/{ID}/ (" in done.stdout


def test_the_default_bucket_is_the_regions(home: Home, server: s3.Server) -> None:
    _in_bucket(server, "spawn-results-us-east-1", ID)
    environment = {**server.environ, "AWS_DEFAULT_REGION": ""}
    for flags, more in (
        (["--region", "us-east-1"], {}),
        ([], {"SPAWN_REGION": "us-east-1"}),
        ([], {"AWS_REGION": "us-east-1"}),
    ):
        done = home("queue", "verify", ID, "--from-s3", *flags, **{**environment, **more})
        assert f"\nRead from: s3://spawn-results-us-east-1/{ID}/ (" in done.stdout, done.stderr
    done = home("queue", "verify", ID, "--from-s3", **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: the bucket of queue {ID} is not known\nHint: ")


def test_local_means_the_queue_of_this_machine(home: Home, here: Path) -> None:
    assert f"\nRead from: {here}/ (" in home("queue", "verify", "local", "--from-s3").stdout


@pytest.mark.parametrize("target", ["a/b", ""])
def test_an_invalid_queue_id_exits_with_2(home: Home, target: str) -> None:
    done = home("queue", "verify", target, "--from-s3", "--bucket", "team")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{target}' is not a queue id" in done.stderr


# errors


def test_a_missing_replica_exits_with_3_and_names_the_location(
    home: Home, server: s3.Server
) -> None:
    _in_bucket(server, "team", "taken")
    done = home("queue", "verify", "nope", "--from-s3", "--bucket", "team", **server.environ)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "Error: queue nope is not at s3://team/nope/\n"
        "Hint: set --bucket and --prefix to its place\n"
    )
    flags = ("--bucket", "team", "--prefix", "taken")
    done = home("queue", "verify", "nope", "--from-s3", *flags, **server.environ)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"Error: queue nope is not at s3://team/taken/: {ID} is there\n")


def test_a_submitted_queue_that_has_not_started_exits_with_3(home: Home, here: Path) -> None:
    for prefix in (names.LOG, names.PACKS, names.LEASE):
        for key in objects(here, prefix):
            (here / key).unlink()
    done = home("queue", "verify", ID, "--from-s3")
    assert (done.returncode, done.stdout) == (3, "")
    assert "it was submitted but has not started" in done.stderr


def test_a_log_without_segments_is_corrupt_and_not_merely_submitted(home: Home, here: Path) -> None:
    for left, told in ((names.PACKS, "but no segment"), (names.LEASE, "segments are missing")):
        for key in objects(here, names.LOG):
            (here / key).unlink()
        done = home("queue", "verify", ID, "--from-s3")
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
        for key in objects(here, left):
            (here / key).unlink()


def test_an_inaccessible_store_exits_with_1_and_a_clear_error(
    home: Home, server: s3.Server
) -> None:
    flags = ("queue", "verify", ID, "--from-s3", "--bucket")
    none = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    nobody = f"http://127.0.0.1:{s3.free_port()}"
    for bucket, environment, told in (
        ("no-such-bucket", {}, "there is no bucket no-such-bucket"),
        ("team", none, "cannot be accessed"),
        ("team", {"AWS_ENDPOINT_URL": nobody}, "cannot be reached"),
        ("team", {"AWS_PROFILE": "nobody"}, "cannot be accessed"),
        ("Not a bucket", {}, "is not a valid bucket name: "),
    ):
        done = home(*flags, bucket, **{**server.environ, **environment})
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert done.stderr.startswith("Error: ")
        assert told in done.stderr
        assert "\nHint: " in done.stderr
        assert "Traceback" not in done.stderr


def _third_segment(root: Path) -> Path:
    return root / list(objects(root, names.LOG))[2]


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a segment that is gone": (lambda root: _third_segment(root).unlink(), "event 3 is missing"),
    "a segment that was changed": (
        lambda root: _third_segment(root).write_bytes(
            _third_segment(root).read_bytes().replace(b'"at"', b'"aT"')
        ),
        "event 3 is not what was written: in _spawn/log/000000000003.jsonl its hash does not",
    ),
    "a lease of another log": (
        lambda root: (root / names.LEASE).write_bytes(
            (root / names.LEASE).read_bytes().replace(HEAD.encode(), b"0" * 64)
        ),
        "is not the one that its owner wrote",
    ),
    "a lease that is none": (lambda root: (root / names.LEASE).write_bytes(b"["), names.LEASE),
    "a configuration that is gone": (lambda root: (root / names.QUEUE).unlink(), names.QUEUE),
    "a pack that was cut": (
        lambda root: (root / next(iter(objects(root, names.PACKS)))).write_bytes(b""),
        names.PACKS,
    ),
    "what does not belong there": (
        lambda root: (root / names.LOG / "notes.txt").write_bytes(b"x"),
        f"{names.LOG}notes.txt is not an object of the log",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_defect_of_a_replica_is_named(home: Home, here: Path, change: str) -> None:
    spoil, told = CHANGES[change]
    spoil(here)
    done = home("queue", "verify", ID, "--from-s3")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert told in done.stderr
    assert "\nHint: " in done.stderr
    assert "internal error" not in done.stderr


# folders set aside


def _keep(home: Home, name: str, log: samples.Log = TRAINING) -> Path:
    folder = home.roots.queues / name
    folder.mkdir(parents=True)
    log.write(folder / "events.db")
    return folder


def test_folders_set_aside_are_named_with_their_validity(home: Home, here: Path) -> None:
    second = _keep(home, f"{ID}.fenced-2")
    tenth = _keep(home, f"{ID}.fenced-10")
    again = _keep(home, f"{ID}.fenced-2-2", samples.submitted(samples.PIPELINE, "14:05:30"))
    (tenth / "events.db").write_bytes(b"x" * 5000)
    _keep(home, f"{ID}.fenced-3.fenced-1")  # of a queue with this very id
    done = home("queue", "verify", ID)
    assert (done.returncode, done.stderr) == (0, "")
    kept = [line for line in done.stdout.splitlines() if line.startswith("Set aside: ")]
    assert kept[:2] == [
        f"Set aside: {second}, fenced in epoch 2: {TRAINING.seq} events, hash chain intact",
        f"Set aside: {again}, fenced in epoch 2: 1 events, hash chain intact",
    ]
    assert kept[2].startswith(f"Set aside: {tenth}, fenced in epoch 10: its log is corrupt: ")
    assert len(kept) == 3


@pytest.mark.parametrize("command", ["verify", "status", "history", "wait"])
def test_a_queue_taken_over_is_read_from_s3_and_its_local_folder_is_named(
    home: Home, server: s3.Server, command: str
) -> None:
    kept = _keep(home, f"{ID}.fenced-2")
    told = f"Set aside: {kept}, fenced in epoch 2: {TRAINING.seq} events, hash chain intact\n"
    why = f"another machine took it over; the old folder is {kept}, fenced in epoch 2"
    nobody = {**server.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3.free_port()}"}
    done = home("queue", command, ID, **nobody)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Error: queue {ID} is not on this machine ({why}), and "
        f"s3://spawn-results-us-east-1/{ID}/ cannot be reached: "
    )
    assert done.stdout == (told if command == "verify" else "")
    bucket = server.client()
    for each in bucket.list_objects_v2(Bucket="spawn-results-us-east-1").get("Contents", ()):
        bucket.delete_object(Bucket="spawn-results-us-east-1", Key=each["Key"])
    done = home("queue", command, ID, **server.environ)
    assert done.returncode == 3
    assert done.stderr.startswith(
        f"Error: queue {ID} is neither on this machine nor at "
        f"s3://spawn-results-us-east-1/{ID}/: {why}\nHint: "
    )
    if command == "wait":
        return
    _in_bucket(server, "spawn-results-us-east-1", ID)
    done = home("queue", command, ID, **server.environ)
    assert done.returncode == 0, done.stderr
    if command == "verify":
        assert f"\nRead from: s3://spawn-results-us-east-1/{ID}/ (" in done.stdout
        assert done.stdout.startswith(told)
    else:
        assert done.stderr.startswith(f"Read from s3://spawn-results-us-east-1/{ID}/: ")
