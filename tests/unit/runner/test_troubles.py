"""A runner's troubles: recorded once, merged, visible to other processes, removed."""

import os
from datetime import UTC, datetime
from pathlib import Path

from spawn.core.reports.model import Trouble
from spawn.runner.troubles import Troubles
from spawn.store.queue_dir import troubles as kept

NOW = datetime(2026, 1, 27, 14, 5, 32, tzinfo=UTC)


class Runner:
    """A runner with troubles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.board = kept.Board(folder)
        self.troubles = Troubles(self.board, self.said.append, lambda: NOW)

    @property
    def present(self) -> tuple[Trouble, ...]:
        """The troubles that another process reads."""
        return kept.find(self.folder)


def test_a_trouble_is_reported_once_and_recorded_until_it_ends(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    for why in ("[Errno 28] No space", "[Errno 28] No space", "[Errno 11] No process"):
        runner.troubles.begin("start", "job a cannot start now", why=why, warning=f"a: {why}")
    assert runner.said == ["a: [Errno 28] No space", "a: [Errno 11] No process"]
    (trouble,) = runner.present
    assert (trouble.kind, trouble.since) == ("start", NOW)
    assert "limit on processes" in trouble.hint
    runner.troubles.end("log")
    assert len(runner.present) == 1
    runner.troubles.end("start")
    assert runner.present == ()


def test_one_trouble_of_many_jobs_is_merged(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    for number in range(500):
        what = "the files of {} are not saved yet"
        runner.troubles.begin("upload", what, about=f"j{number}", why="denied")
    assert [trouble.text for trouble in runner.present] == [
        "the files of j0, j1, j2 and 497 more are not saved yet: denied"
    ]
    runner.troubles.end("upload", "j1")
    assert "j0, j2, j3 and 496 more" in runner.present[0].what


def test_the_oldest_troubles_are_kept_if_there_are_too_many(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    for number in range(100):
        runner.troubles.begin("upload", "{}", about=f"j{number}", why=f"{number} " + 200 * "x")
    assert runner.present[0].what == "j0"
    assert 20 < len(runner.present) < 100


def test_a_new_runner_does_not_inherit_troubles(tmp_path: Path) -> None:
    Runner(tmp_path).troubles.begin("log", "the log cannot be written")
    assert len(kept.find(tmp_path)) == 1
    assert Runner(tmp_path).present == ()


def test_an_incomplete_block_is_ignored(tmp_path: Path) -> None:
    runner = Runner(tmp_path)
    runner.troubles.begin("log", "the log cannot be written")
    path = tmp_path / kept.NAME
    whole = path.read_bytes()
    for damaged in (b"", whole[:30], whole.replace(b"cannot", b"could t"), os.urandom(8192)):
        path.write_bytes(damaged)
        assert runner.present == ()
    path.unlink()
    assert runner.present == ()
