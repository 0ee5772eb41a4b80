"""Logs of released versions are replayed by every later version."""

import json
from pathlib import Path

import pytest
from tests.support.golden import DATA, golden, summary, write

from spawn import __version__
from spawn.core.domain import chain
from spawn.core.domain.codec import decode, encode
from spawn.core.domain.events import TYPES
from spawn.core.domain.replay import Replay

LOGS = sorted(DATA.glob("golden-*.jsonl"))


def _lines(path: Path) -> list[tuple[bytes, bytes]]:
    return [chain.parse_line(line) for line in path.read_bytes().splitlines()]


def _replayed(path: Path, seq: int) -> Replay:
    fold = Replay("golden")
    rows = enumerate(_lines(path)[:seq], 1)
    fold.feed((seq, None, line, hash_) for seq, (hash_, line) in rows)
    return fold


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_a_golden_log_replays_to_its_recorded_states(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    assert expected
    for seq, state in expected.items():
        found = summary(_replayed(path, int(seq)).state)
        assert json.loads(json.dumps(found)) == state


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_events_of_current_versions_are_encoded_identically(path: Path) -> None:
    for _, line in _lines(path):
        event = decode(line)
        assert event is not None
        if json.loads(line)["v"] == TYPES[event.type].VERSION:
            assert encode(event) == line


def test_every_type_of_event_is_in_some_golden_log() -> None:
    found = {json.loads(line)["type"] for path in LOGS for _, line in _lines(path)}
    assert found == set(TYPES)


def test_this_version_has_a_golden_log() -> None:
    """A release needs one: `python -m tests.support.golden` writes it, and only it."""
    assert DATA / f"golden-{__version__}.jsonl" in LOGS


def test_the_golden_log_is_deterministic() -> None:
    assert golden().rows == golden().rows


def test_writing_the_golden_log_writes_only_the_two_files_of_this_version(tmp_path: Path) -> None:
    (tmp_path / "golden-0.0.1.jsonl").write_text("old")
    written = write(tmp_path)
    assert {path.stem for path in written} == {f"golden-{__version__}"}
    assert (tmp_path / "golden-0.0.1.jsonl").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 3
