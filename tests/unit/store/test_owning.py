"""The hint of how long a queue was a runner's."""

from pathlib import Path

from spawn.store.owning import NAME, Owning, find, leave


def test_what_was_left_last_is_found_by_the_epoch_that_left_it(tmp_path: Path) -> None:
    leave(tmp_path, Owning(3, 1.5))
    leave(tmp_path, Owning(3, 12.5))
    assert find(tmp_path, 3) == 12.5
    assert find(tmp_path, 2) is None
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_hint_that_is_none_is_none(tmp_path: Path) -> None:
    assert find(tmp_path, 1) is None
    for text in ("", "{", '{"epoch": 1}', '{"epoch": 1, "seconds": -3}', "[1, 2]"):
        (tmp_path / NAME).write_text(text)
        assert find(tmp_path, 1) is None


def test_where_it_cannot_be_left_nothing_happens(tmp_path: Path) -> None:
    leave(tmp_path / "gone", Owning(1, 1.0))
