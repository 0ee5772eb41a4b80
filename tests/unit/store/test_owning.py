"""The stored hint of how long a runner has owned its queue."""

from pathlib import Path

from spawn.store.log.ownership_time import NAME, Owning, find, leave


def test_the_last_hint_is_found_by_its_epoch(tmp_path: Path) -> None:
    leave(tmp_path, Owning(3, 1.5))
    leave(tmp_path, Owning(3, 12.5))
    assert find(tmp_path, 3) == 12.5
    assert find(tmp_path, 2) is None
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_an_invalid_hint_is_ignored(tmp_path: Path) -> None:
    assert find(tmp_path, 1) is None
    for text in ("", "{", '{"epoch": 1}', '{"epoch": 1, "seconds": -3}', "[1, 2]"):
        (tmp_path / NAME).write_text(text)
        assert find(tmp_path, 1) is None


def test_an_unwritable_hint_is_not_an_error(tmp_path: Path) -> None:
    leave(tmp_path / "gone", Owning(1, 1.0))
