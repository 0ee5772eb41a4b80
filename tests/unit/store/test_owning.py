"""The stored hint of how long a runner has owned its queue."""

from pathlib import Path

from spawn.store.log.ownership_time import NAME, OwnershipTime, load_owned_time, save_owned_time


def test_the_last_hint_is_found_by_its_epoch(tmp_path: Path) -> None:
    save_owned_time(tmp_path, OwnershipTime(3, 1.5))
    save_owned_time(tmp_path, OwnershipTime(3, 12.5))
    assert load_owned_time(tmp_path, 3) == 12.5
    assert load_owned_time(tmp_path, 2) is None
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_an_invalid_hint_is_ignored(tmp_path: Path) -> None:
    assert load_owned_time(tmp_path, 1) is None
    for text in ("", "{", '{"epoch": 1}', '{"epoch": 1, "seconds": -3}', "[1, 2]"):
        (tmp_path / NAME).write_text(text)
        assert load_owned_time(tmp_path, 1) is None


def test_an_unwritable_hint_is_not_an_error(tmp_path: Path) -> None:
    save_owned_time(tmp_path / "gone", OwnershipTime(1, 1.0))
