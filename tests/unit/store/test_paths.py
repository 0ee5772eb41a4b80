"""Where things are kept on a machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.store import paths
from spawn.store.paths import Roots, roots


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's `/var` without anything of ours; it can be written."""
    for name, folder in {"_STATE": "lib", "_LOG": "log", "_CACHE": "cache"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(paths, f"_SYSTEM{name}", tmp_path / folder / "spawn-queue")
    return tmp_path


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders that cannot be written, whoever we are."""
    folders: set[Path] = set()
    allowed = paths.os.access

    def access(path: Path, mode: int) -> bool:
        return path not in folders and allowed(path, mode)

    monkeypatch.setattr(paths.os, "access", access)
    return folders


def test_spawn_home_gives_all_three_folders(system: Path) -> None:
    found = roots({"SPAWN_HOME": "/srv/spawn", "HOME": "/home/ana", "XDG_STATE_HOME": "/x"})
    assert found == Roots(
        Path("/srv/spawn/state"), Path("/srv/spawn/log"), Path("/srv/spawn/cache")
    )


def test_a_relative_spawn_home_is_below_the_current_folder(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(system)
    assert roots({"SPAWN_HOME": "here"}).state == system / "here" / "state"


def test_an_empty_spawn_home_is_none(system: Path) -> None:
    assert roots({"SPAWN_HOME": "", "HOME": "/home/ana"}).state == system / "lib/spawn-queue"


def test_who_can_write_the_systems_folders_uses_them(system: Path) -> None:
    found = roots({"HOME": "/home/ana", "XDG_STATE_HOME": "/x"})
    assert found == Roots(
        system / "lib/spawn-queue", system / "log/spawn-queue", system / "cache/spawn-queue"
    )


@pytest.mark.parametrize("name", ["lib", "log"])
def test_who_cannot_write_both_of_them_uses_the_folders_of_the_user(
    system: Path, forbidden: set[Path], name: str
) -> None:
    forbidden.add(system / name)
    found = roots({"HOME": "/home/ana"})
    assert found == Roots(
        Path("/home/ana/.local/state/spawn-queue"),
        Path("/home/ana/.local/state/spawn-queue/log"),
        Path("/home/ana/.cache/spawn-queue"),
    )


def test_folders_that_are_there_count_not_those_above_them(
    system: Path, forbidden: set[Path]
) -> None:
    for name in ("lib", "log"):
        (system / name / "spawn-queue").mkdir()
        forbidden.add(system / name)
    assert roots({"HOME": "/home/ana"}).state == system / "lib/spawn-queue"
    forbidden.add(system / "log" / "spawn-queue")
    assert roots({"HOME": "/home/ana"}).state == Path("/home/ana/.local/state/spawn-queue")


def test_a_cache_that_cannot_be_written_is_the_users(system: Path, forbidden: set[Path]) -> None:
    forbidden.add(system / "cache")
    found = roots({"HOME": "/home/ana", "XDG_CACHE_HOME": "/c"})
    assert (found.state, found.cache) == (system / "lib/spawn-queue", Path("/c/spawn-queue"))


def test_the_users_folders_are_where_xdg_says(system: Path, forbidden: set[Path]) -> None:
    forbidden.add(system / "lib")
    found = roots({"HOME": "/home/ana", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"})
    assert found == Roots(
        Path("/s/spawn-queue"), Path("/s/spawn-queue/log"), Path("/c/spawn-queue")
    )


@pytest.mark.parametrize("name", ["XDG_STATE_HOME", "XDG_CACHE_HOME"])
def test_a_relative_xdg_folder_is_ignored(system: Path, forbidden: set[Path], name: str) -> None:
    """Source: XDG Base Directory Specification: all paths must be absolute; ignore others."""
    forbidden.add(system / "lib")
    assert roots({"HOME": "/home/ana", name: "here"}) == roots({"HOME": "/home/ana"})


def test_nothing_is_made(system: Path) -> None:
    roots({"HOME": str(system / "ana"), "SPAWN_HOME": str(system / "spawn")})
    roots({"HOME": str(system / "ana")})
    assert not (system / "ana").exists()
    assert not (system / "spawn").exists()
    assert not (system / "lib/spawn-queue").exists()


ABSOLUTE = st.lists(st.sampled_from(["a", "b c", "é"]), min_size=1, max_size=2).map("/".join)


@given(
    st.dictionaries(
        st.sampled_from(["SPAWN_HOME", "HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"]),
        ABSOLUTE.map("/{}".format) | st.just(""),
    )
)
def test_all_folders_are_absolute(environ: dict[str, str]) -> None:
    found = roots(environ)
    assert all(folder.is_absolute() for folder in (found.state, found.log, found.cache))


def test_the_files_of_a_queue() -> None:
    queue = Roots(Path("/s"), Path("/l"), Path("/c")).queue("nightly")
    folder = Path("/s/queues/nightly")
    assert queue.events == folder / "events.db"
    assert queue.lock == folder / "runner.lock"
    assert queue.runner_log == folder / "runner.log"
    assert queue.attempt("train", 2, "abc") == folder / "jobs/train/attempt-2.abc"
    assert queue.job_log("train") == Path("/l/nightly/train.log")
    assert Roots(Path("/s"), Path("/l"), Path("/c")).objects == Path("/s/objects")
