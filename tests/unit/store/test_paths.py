"""Folders of a machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.store.queue_dir import paths
from spawn.store.queue_dir.paths import Roots, roots


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's `/var` without our folders, writable."""
    for name, folder in {"_STATE": "lib", "_LOG": "log", "_CACHE": "cache"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(paths, f"_SYSTEM{name}", tmp_path / folder / "spawn-queue")
    return tmp_path


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders that no user can write."""
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


def test_an_empty_spawn_home_is_ignored(system: Path) -> None:
    assert roots({"SPAWN_HOME": "", "HOME": "/home/ana"}).state == system / "lib/spawn-queue"


def test_writable_system_folders_are_used(system: Path) -> None:
    found = roots({"HOME": "/home/ana", "XDG_STATE_HOME": "/x"})
    assert found == Roots(
        system / "lib/spawn-queue", system / "log/spawn-queue", system / "cache/spawn-queue"
    )


@pytest.mark.parametrize("name", ["lib", "log"])
def test_unless_both_system_folders_are_writable_the_users_are_used(
    system: Path, forbidden: set[Path], name: str
) -> None:
    forbidden.add(system / name)
    found = roots({"HOME": "/home/ana"})
    assert found == Roots(
        Path("/home/ana/.local/state/spawn-queue"),
        Path("/home/ana/.local/state/spawn-queue/log"),
        Path("/home/ana/.cache/spawn-queue"),
    )


def test_permissions_of_existing_folders_count_and_not_of_their_parents(
    system: Path, forbidden: set[Path]
) -> None:
    for name in ("lib", "log"):
        (system / name / "spawn-queue").mkdir()
        forbidden.add(system / name)
    assert roots({"HOME": "/home/ana"}).state == system / "lib/spawn-queue"
    forbidden.add(system / "log" / "spawn-queue")
    assert roots({"HOME": "/home/ana"}).state == Path("/home/ana/.local/state/spawn-queue")


def test_an_unwritable_system_cache_is_replaced_by_the_users(
    system: Path, forbidden: set[Path]
) -> None:
    forbidden.add(system / "cache")
    found = roots({"HOME": "/home/ana", "XDG_CACHE_HOME": "/c"})
    assert (found.state, found.cache) == (system / "lib/spawn-queue", Path("/c/spawn-queue"))


def test_the_users_folders_follow_xdg(system: Path, forbidden: set[Path]) -> None:
    forbidden.add(system / "lib")
    found = roots({"HOME": "/home/ana", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"})
    assert found == Roots(
        Path("/s/spawn-queue"), Path("/s/spawn-queue/log"), Path("/c/spawn-queue")
    )


@pytest.mark.parametrize("name", ["XDG_STATE_HOME", "XDG_CACHE_HOME"])
def test_a_relative_xdg_folder_is_ignored(system: Path, forbidden: set[Path], name: str) -> None:
    """Source: XDG Base Directory Specification: paths must be absolute; ignore relative ones."""
    forbidden.add(system / "lib")
    assert roots({"HOME": "/home/ana", name: "here"}) == roots({"HOME": "/home/ana"})


def test_no_folder_is_created(system: Path) -> None:
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


def test_a_queue_has_these_files() -> None:
    queue = Roots(Path("/s"), Path("/l"), Path("/c")).queue("nightly")
    folder = Path("/s/queues/nightly")
    assert queue.events == folder / "events.db"
    assert queue.lock == folder / "runner.lock"
    assert queue.runner_log == folder / "runner.log"
    assert queue.attempt("train", 2, "abc") == folder / "jobs/train/attempt-2.abc"
    assert queue.job_log("train") == Path("/l/nightly/train.log")
    assert Roots(Path("/s"), Path("/l"), Path("/c")).objects == Path("/s/objects")
