"""A log that lost an event is corrupt, and one that lost none is not; plain `sqlite3` decides."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs
from tests.contract.subjects import BUCKET
from tests.support.configs import chain
from tests.support.logs import LogBuilder, owner, started, submission
from tests.support.replicas import replicate
from tests.support.s3 import Server

from spawn.cli.main import run
from spawn.core.domain.events import JobCompleted, QueueCompleted
from spawn.store.aws.this_machine import Instance
from spawn.store.aws.this_machine import machine_id as place_here
from spawn.store.log import head, ownership_time, replica_progress
from spawn.store.log.head import note_path
from spawn.store.log.write import LogWriter
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import ObjectStore
from spawn.store.objects.s3 import S3Store
from spawn.store.queue_dir.paths import Roots
from spawn.store.replica import lease as leases

ID = "q"
JOBS = 4
FRAME = 24 + 4096
WAL_HEADER = 32

Damage = Callable[[Path], object]


def _events(location: str, place: str, jobs: int) -> LogBuilder:
    log = LogBuilder(ID)
    config = structs.replace(chain(jobs), queue_id=ID)
    log.add(*submission(config))
    log.queue(structs.replace(owner(), results_location=location, place=place))
    for number in range(jobs):
        log.job(f"j{number}", started(f"j{number}"), attempt=1)
        log.job(f"j{number}", JobCompleted(exit_code=0), attempt=1)
    log.queue(QueueCompleted())
    return log


class Machine:
    """A queue's folder as its runner left it at several moments, with copies to damage."""

    def __init__(self, folder: Path, location: str = "", jobs: int = JOBS) -> None:
        self.home = folder / "home"
        state = self.home / "state"
        self.roots = Roots(state, self.home / "log", self.home / "cache")
        self.location = location or f"{self.roots.objects / ID}/"
        self.place = place_here(Instance(), state)
        self.log = _events(self.location, self.place, jobs)
        self.queue = self.roots.queue(ID)
        self._saved = folder / "saved"
        self._write("earlier", "killed", checkpoint=False)
        shutil.rmtree(self.queue.folder)
        self._write("half", "wrapped", checkpoint=True)
        self._keep("ended")

    def _write(self, half: str, end: str, *, checkpoint: bool) -> None:
        """Write the log; keep the folder after half of the events and at the end.

        Args:
            checkpoint: Whether the WAL restarts after the first half.
        """
        folder = self.queue.folder
        folder.mkdir(parents=True)
        for number in range(JOBS):
            attempt = self.queue.attempt(f"j{number}", 1, f"j{number}1")
            attempt.mkdir(parents=True)
            (attempt / "stdout.log").write_bytes(b"done\n")
        ownership_time.save_owned_time(folder, ownership_time.OwnershipTime(1, 0.0))
        with LogWriter(self.queue.events) as writer:
            for entry in self.log.entries[:6]:
                writer.append([entry], expected_seq=entry[0].seq)
            self._keep(half)
            if checkpoint:
                with closing(sqlite3.connect(self.queue.events)) as other:
                    other.execute("PRAGMA wal_checkpoint(PASSIVE)")
            for entry in self.log.entries[6:]:
                writer.append([entry], expected_seq=entry[0].seq)
            self._keep(end)

    def _keep(self, name: str) -> None:
        shutil.copytree(self.queue.folder, self._saved / name)

    @property
    def is_far(self) -> bool:
        """Whether the replica is in a bucket."""
        return self.location.startswith("s3:")

    def as_left(self, moment: str) -> Path:
        """Restore the queue's folder as of a moment; returns the path of its log."""
        shutil.rmtree(self.queue.folder)
        shutil.copytree(self._saved / moment, self.queue.folder)
        return self.queue.events

    def saved(self, moment: str, name: str) -> bytes:
        """Return a file of the folder as of a moment."""
        return (self._saved / moment / name).read_bytes()

    def has_all(self) -> bool:
        """Whether the log is intact and has every event, according to plain `sqlite3` on a copy."""
        copy = self._saved / "look"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.queue.folder, copy)
        try:
            with closing(sqlite3.connect(copy / "events.db")) as connection:
                found = connection.execute("SELECT line, hash FROM events ORDER BY seq").fetchall()
                (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        except (sqlite3.Error, UnicodeDecodeError):
            return False
        written = [(line.decode(), hash_) for _, _, line, hash_ in self.log.rows]
        return (found, sound) == (written, "ok")

    def replicate(self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Create the replica, with this machine as its owner."""
        mine = structs.replace(REPLICA_OWNER, place=self.place)
        monkeypatch.setattr("tests.support.replicas.OWNER", mine)
        config = structs.replace(chain(JOBS), queue_id=ID)
        replicate(store, self.log.rows, config, ends=[3, 9, self.log.seq])


REPLICA_OWNER = leases.Owner(place="", instance_id="local", hostname="host")


def _flip(name: str, at: int, bit: int = 0) -> Damage:
    """Flip a bit of a byte; a negative position counts from the end."""

    def damage(folder: Path) -> None:
        path = folder / name
        data = bytearray(path.read_bytes())
        data[at] ^= 1 << bit
        path.write_bytes(data)

    return damage


def _cut(name: str, size: int) -> Damage:
    """Truncate to `size` bytes; a negative size removes that many."""

    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:size])

    return damage


def _remove(*names: str) -> Damage:
    def damage(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return damage


def _write(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data)


def _append(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + data)


DB, WAL, SHM, NOTE = "events.db", "events.db-wal", "events.db-shm", "events.db-head"
FRAMES = (0, 3, 6, -4, -2, -1)
"""WAL frames: of the schema, of the first events, of the newest ones."""


def _in_frame(frame: int, at: int) -> int:
    return WAL_HEADER + frame * FRAME + at if frame >= 0 else frame * FRAME + at


KILLED: dict[str, Damage] = {
    "nothing": lambda _: None,
    **{f"WAL header, byte {at}": _flip(WAL, at) for at in (3, 7, 11, 15, 19, 23, 27, 31)},
    **{
        f"frame {frame}, {what}": _flip(WAL, _in_frame(frame, at))
        for frame in FRAMES
        for what, at in {"page": 3, "commit": 7, "salt": 11, "checksum": 20, "body": 3000}.items()
    },
    **{f"WAL cut to {size}": _cut(WAL, size) for size in (0, 31, 32, 32 + FRAME, 40 + 3 * FRAME)},
    **{f"WAL cut by {size}": _cut(WAL, -size) for size in (1, 4096, FRAME, 3 * FRAME)},
    "WAL gone": _remove(WAL),
    "WAL and SHM gone": _remove(WAL, SHM),
    "SHM gone": _remove(SHM),
    "SHM of garbage": _write(SHM, b"\x5a" * 32768),
    "SHM emptied": _write(SHM, b""),
    "garbage after the WAL": _append(WAL, b"\x5a" * 5000),
    "database gone": _remove(DB),
    "database emptied": _write(DB, b""),
    "database and WAL gone": _remove(DB, WAL, SHM),
    "note gone": _remove(NOTE),
    "note of garbage": _write(NOTE, b"\x5a" * 94),
    "note, flipped": _flip(NOTE, 18),
}
ENDED: dict[str, Damage] = {
    "nothing": lambda _: None,
    "database gone": _remove(DB),
    "database emptied": _write(DB, b""),
    **{f"database header, byte {at}": _flip(DB, at, 1) for at in (0, 17, 18, 103, 106)},
    "database cut by a page": _cut(DB, -4096),
    "database cut by 2000": _cut(DB, -2000),
    "database cut to one page": _cut(DB, 4096),
    "an event's byte": lambda folder: _flip_text(folder / DB, b'"JobCompleted"'),
    "an empty WAL": _write(WAL, b""),
    "SHM of garbage": _write(SHM, b"\x5a" * 32768),
    "note gone": _remove(NOTE),
}
WRAPPED = {name: damage for name, damage in KILLED.items() if "frame 3" in name or "WAL" in name}
EARLIER = {
    "database": (DB,),
    "WAL": (WAL,),
    "database and WAL": (DB, WAL),
}


def _flip_text(path: Path, text: bytes) -> None:
    data = path.read_bytes()
    at = data.rindex(text)
    path.write_bytes(data[: at + 3] + b"?" + data[at + 4 :])


def _damages(machine: Machine) -> Iterator[tuple[str, bool]]:
    """Yield each kind of damage in turn: its name, and whether the log still has every event.

    With a replica in a bucket, which is slower, only a few of each kind.
    """
    few = 8 if machine.is_far else 1
    for moment, damages in (("killed", KILLED), ("wrapped", WRAPPED), ("ended", ENDED)):
        for name, damage in list(damages.items())[::few]:
            machine.as_left(moment)
            damage(machine.queue.folder)
            yield f"{moment}: {name}", machine.has_all()
    for moment in ("killed", "wrapped", "ended"):
        for what, names in EARLIER.items():
            folder = machine.as_left(moment).parent
            for name in names:
                (folder / name).write_bytes(machine.saved("earlier", name))
            yield f"{moment}: an earlier {what}", machine.has_all()


@pytest.fixture(params=["folder", "moto", "none"])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """A queue that has ended, with a replica in a folder, in a bucket, or without one."""
    if request.param == "moto":
        server: Server = request.getfixturevalue("moto_server")
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        client = server.client()
        if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=BUCKET)
        prefix = tmp_path.name
        made = Machine(tmp_path, f"s3://{BUCKET}/{prefix}/")
        made.replicate(S3Store(bucket=BUCKET, prefix=prefix), monkeypatch)
    else:
        made = Machine(tmp_path)
        if request.param == "folder":
            made.replicate(FolderStore(made.roots.objects / ID), monkeypatch)
    monkeypatch.setenv("SPAWN_HOME", str(made.home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return made


def test_damage_is_reported_exactly_when_an_event_is_lost(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, lost, whole = [], 0, 0
    for name, has_all in _damages(machine):
        code = run(["queue", "verify", ID])
        out, err = capsys.readouterr()
        lost, whole = lost + (not has_all), whole + has_all
        hint = f"`spawn queue resume {ID}` restores it"
        if has_all:
            good = code == 0 and f"{machine.log.seq} events" in out
        else:
            good = code == 1 and hint in err and "chain holds" not in out
        if not good:
            wrong.append((name, has_all, code, out, err))
    assert not wrong
    assert lost >= (8 if machine.is_far else 50)
    assert whole >= 3


@pytest.mark.parametrize(
    "evidence", [NOTE, replica_progress.NAME, ownership_time.NAME, "jobs", "copy"]
)
def test_each_piece_of_evidence_suffices(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    evidence: str,
) -> None:
    machine = Machine(tmp_path)
    monkeypatch.setenv("SPAWN_HOME", str(machine.home))
    folder = machine.as_left("killed").parent
    replica_progress.save_progress(
        folder, replica_progress.ReplicaProgress(location=machine.location, seq=9)
    )
    for name in {NOTE, replica_progress.NAME, ownership_time.NAME} - {evidence}:
        (folder / name).unlink()
    if evidence != "jobs":
        shutil.rmtree(folder / "jobs")
    if evidence == ownership_time.NAME:
        ownership_time.save_owned_time(folder, ownership_time.OwnershipTime(2, 0.0))
    if evidence == "copy":
        machine.replicate(FolderStore(machine.roots.objects / ID), monkeypatch)
    assert run(["queue", "verify", ID]) == (1 if evidence == ownership_time.NAME else 0)
    for name in (DB, WAL):
        (folder / name).write_bytes(machine.saved("earlier", name))
    assert run(["queue", "verify", ID]) == 1
    assert "restores it" in capsys.readouterr().err


def test_a_log_being_written_is_never_reported_as_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runner appends between any two reads of the reader."""
    machine = Machine(tmp_path, jobs=40)
    monkeypatch.setenv("SPAWN_HOME", str(machine.home))
    log = machine.queue.events
    shutil.rmtree(log.parent)
    log.parent.mkdir()
    entries = iter(machine.log.entries)
    with LogWriter(log) as writer:

        def append() -> None:
            entry = next(entries, None)
            if entry is not None:
                writer.append([entry], expected_seq=entry[0].seq)

        append()  # the configuration
        append()  # the owner
        read_small = head.read_small

        def reading(path: Path) -> bytes:
            append()
            data = read_small(path)
            append()
            return data

        monkeypatch.setattr(head, "read_small", reading)
        assert run(["queue", "verify", ID]) == 0
        assert run(["queue", "status", ID]) == 0
    out, err = capsys.readouterr()
    assert "has lost" not in out + err
    assert next(entries, None) is not None, "the runner has more to write"


def test_reading_commands_report_a_shortened_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path)
    monkeypatch.setenv("SPAWN_HOME", str(machine.home))
    folder = machine.as_left("killed").parent
    _flip(WAL, _in_frame(-4, 100))(folder)
    for command in (["status", ID], ["status", ID, "--json"], ["history", ID], ["why", ID, "j0"]):
        assert run(["queue", *command]) == 0
        assert "the log has lost its newest" in "".join(capsys.readouterr()), command
    assert run(["queue", "list"]) == 0
    assert "log shortened" in capsys.readouterr().out
    assert note_path(machine.queue.events).exists()
