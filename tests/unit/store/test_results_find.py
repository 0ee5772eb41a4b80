"""The files that a job's patterns match, and their names in the store."""

import glob
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.soak import scaled

from spawn.store.results.find import FoundResults, find_results


def _make(folder: Path, *names: str) -> Path:
    """Create files that contain their own name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def _found(folder: Path, *patterns: str) -> Mapping[str, str]:
    """Return names in the store, each with its file below `folder`."""
    found = find_results(patterns, str(folder))
    assert found.unmatched == ()
    names = [file.name for file in found.files]
    assert sorted(set(names)) == names, "distinct, and sorted"
    return {file.name: os.path.relpath(file.path, folder) for file in found.files}


def test_a_file_keeps_its_base_name(tmp_path: Path) -> None:
    _make(tmp_path, "out/deep/model.pth", "metrics.json")
    assert _found(tmp_path, "out/deep/model.pth", str(tmp_path / "metrics.json")) == {
        "metrics.json": "metrics.json",
        "model.pth": "out/deep/model.pth",
    }


def test_a_files_metadata_is_that_of_the_disk(tmp_path: Path) -> None:
    _make(tmp_path, "a.csv")
    (tmp_path / "a.csv").chmod(0o640)
    stat = (tmp_path / "a.csv").stat()
    (file,) = find_results(["a.csv"], str(tmp_path)).files
    assert (file.size, file.mode, file.mtime_ns, file.inode) == (
        5,
        0o640,
        stat.st_mtime_ns,
        stat.st_ino,
    )


def test_a_pattern_may_have_wildcards(tmp_path: Path) -> None:
    _make(tmp_path, "a1.csv", "a2.csv", "b.txt", "sub/a3.csv")
    assert set(_found(tmp_path, "a?.csv")) == {"a1.csv", "a2.csv"}
    assert set(_found(tmp_path, "[ab]*.*")) == {"a1.csv", "a2.csv", "b.txt"}
    assert set(_found(tmp_path, "*/*.csv")) == {"a3.csv"}


def test_two_stars_cross_folders(tmp_path: Path) -> None:
    _make(tmp_path, "a.csv", "x/b.csv", "x/y/c.csv", "x/y/d.txt")
    assert _found(tmp_path, "**/*.csv") == {
        "a.csv": "a.csv",
        "b.csv": "x/b.csv",
        "c.csv": "x/y/c.csv",
    }


def test_a_folder_stands_for_all_its_files_and_keeps_its_structure(tmp_path: Path) -> None:
    _make(tmp_path, "runs/out/a.csv", "runs/out/deep/b.csv", "runs/out/.hidden")
    (tmp_path / "runs/out/empty").mkdir()
    for pattern in ("runs/out", "runs/out/", "runs/./out", "runs/x/../out"):
        (tmp_path / "runs/x").mkdir(exist_ok=True)
        assert _found(tmp_path, pattern) == {
            "out/.hidden": "runs/out/.hidden",
            "out/a.csv": "runs/out/a.csv",
            "out/deep/b.csv": "runs/out/deep/b.csv",
        }


def test_a_file_that_matches_several_patterns_is_found_once(tmp_path: Path) -> None:
    _make(tmp_path, "a.csv", "b.csv")
    assert _found(tmp_path, "a.csv", "*.csv", "./a.csv", str(tmp_path / "a.csv")) == {
        "a.csv": "a.csv",
        "b.csv": "b.csv",
    }


def test_files_with_one_name_keep_their_paths_below_the_common_folder(
    tmp_path: Path,
) -> None:
    _make(tmp_path, "runs/one/model.pth", "runs/two/deep/model.pth", "runs/notes.txt")
    assert _found(tmp_path, "runs/**/*.*") == {
        "notes.txt": "runs/notes.txt",
        "one/model.pth": "runs/one/model.pth",
        "two/deep/model.pth": "runs/two/deep/model.pth",
    }


def test_a_name_with_wildcards_is_first_taken_literally(tmp_path: Path) -> None:
    _make(tmp_path, "a[1].txt", "a1.txt", "what?.csv", "whats.csv")
    assert set(_found(tmp_path, "a[1].txt")) == {"a[1].txt"}
    assert set(_found(tmp_path, "what?.csv")) == {"what?.csv"}
    (tmp_path / "a[1].txt").unlink()
    assert set(_found(tmp_path, "a[1].txt")) == {"a1.txt"}


def test_patterns_that_match_nothing_are_named(tmp_path: Path) -> None:
    _make(tmp_path, "a.csv")
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    found = find_results(["*.pth", "a.csv", "empty", "dangling", "none/x"], str(tmp_path))
    assert [file.name for file in found.files] == ["a.csv"]
    assert found.unmatched == ("*.pth", "empty", "dangling", "none/x")


def test_no_patterns_find_nothing(tmp_path: Path) -> None:
    assert find_results([], str(tmp_path)) == FoundResults()


def test_a_folder_is_never_left_through_a_link_in_it(tmp_path: Path) -> None:
    _make(tmp_path, "outside/secret", "out/own.txt", "out/deep/own2.txt")
    (tmp_path / "out/to-file").symlink_to("../outside/secret")
    (tmp_path / "out/to-folder").symlink_to("../outside")
    (tmp_path / "out/gone").symlink_to("nowhere")
    (tmp_path / "out/round").symlink_to("round")
    (tmp_path / "out/whole").symlink_to(tmp_path / "out/deep")
    (tmp_path / "out/back").symlink_to("../out-link/deep")
    (tmp_path / "out-link").symlink_to("out")
    os.mkfifo(tmp_path / "out/fifo")
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(tmp_path / "out/sock"))
    assert set(_found(tmp_path, "out")) == {"out/own.txt", "out/deep/own2.txt"}
    found = find_results(["out"], str(tmp_path))
    assert (found.links, found.folders) == ((), ())
    assert found.left_out == (
        "out/back: a link to something outside the results",
        "out/fifo: a FIFO",
        "out/gone: a broken link",
        "out/round: a broken link",
        "out/sock: a socket",
        "out/to-file: a link to something outside the results",
        "out/to-folder: a link to something outside the results",
        "out/whole: a link with an absolute target",
    )


def test_a_link_to_a_folder_within_the_folder_stays_a_link(tmp_path: Path) -> None:
    _make(tmp_path, "ckpt/step1/a", "ckpt/deep/step2/b")
    (tmp_path / "ckpt/latest").symlink_to("./deep/../step1")
    (tmp_path / "ckpt/newest").symlink_to("latest")
    (tmp_path / "ckpt/deep/up").symlink_to("..")
    (tmp_path / "ckpt/void").mkdir()
    (tmp_path / "ckpt/to-void").symlink_to("void/")
    found = find_results(["ckpt", "ckpt/latest", "ckpt/step1/a"], str(tmp_path))
    assert [file.name for file in found.files] == ["ckpt/deep/step2/b", "ckpt/step1/a"]
    assert {link.name: link.target for link in found.links} == {
        "ckpt/deep/up": "..",
        "ckpt/latest": "step1",
        "ckpt/newest": "latest",
        "ckpt/to-void": "void",
    }
    assert [folder.name for folder in found.folders] == ["ckpt/void"]
    assert (found.left_out, found.unmatched) == ((), ())


def test_a_link_that_leads_out_through_another_link_is_left_out(tmp_path: Path) -> None:
    _make(tmp_path, "out/a/b/x", "out/y")
    (tmp_path / "out/jump").symlink_to("a/b")
    (tmp_path / "out/to-a").symlink_to("jump/..")
    found = find_results(["out"], str(tmp_path))
    assert [link.name for link in found.links] == ["out/jump"]
    assert found.left_out == ("out/to-a: a link whose `..` goes through another link",)


def test_names_keep_links_intact(tmp_path: Path) -> None:
    """The target of the link is matched by an earlier pattern of its own."""
    _make(tmp_path, "ckpt/step1/a")
    (tmp_path / "ckpt/latest").symlink_to("step1")
    found = find_results(["ckpt/step1", "ckpt"], str(tmp_path))
    assert [file.name for file in found.files] == ["step1/a"]
    assert [(link.name, link.target) for link in found.links] == [("latest", "step1")]


def test_a_file_left_out_by_one_pattern_may_match_another(tmp_path: Path) -> None:
    _make(tmp_path, "data/x", "out/y")
    (tmp_path / "out/data").symlink_to("../data")
    found = find_results(["out", "out/data"], str(tmp_path))
    assert [os.path.relpath(file.path, tmp_path) for file in found.files] == ["out/data/x", "out/y"]
    assert found.left_out == ()


def test_a_link_to_a_file_within_the_folder_is_a_file(tmp_path: Path) -> None:
    _make(tmp_path, "out/model-7.pth")
    (tmp_path / "out/newest.pth").symlink_to("model-7.pth")
    assert set(_found(tmp_path, "out")) == {"out/model-7.pth", "out/newest.pth"}


def test_a_named_file_or_folder_may_be_a_link(tmp_path: Path) -> None:
    _make(tmp_path, "elsewhere/a.csv")
    (tmp_path / "out").symlink_to("elsewhere")
    (tmp_path / "b.csv").symlink_to("elsewhere/a.csv")
    assert set(_found(tmp_path, "out", "b.csv")) == {"out/a.csv", "b.csv"}


@pytest.mark.parametrize("pattern", ["out/*", "out/**", "out/**/*"])
def test_a_wildcard_does_not_follow_links_out_of_the_folder(tmp_path: Path, pattern: str) -> None:
    _make(tmp_path, "outside/secret", "out/own.txt")
    (tmp_path / "out/to-folder").symlink_to("../outside")
    assert set(_found(tmp_path, pattern)) == {"own.txt"}


def test_two_stars_do_not_loop(tmp_path: Path) -> None:
    _make(tmp_path, "out/own.txt")
    (tmp_path / "out/self").symlink_to(".")
    assert list(_found(tmp_path, "out/**").values()) == ["out/own.txt"]


@pytest.mark.parametrize("folder", ["run[1]", "what?", "a*b"])
def test_a_working_directory_may_contain_wildcards(tmp_path: Path, folder: str) -> None:
    _make(tmp_path / folder, "a.csv")
    _make(tmp_path, "whats/a.csv", "aXb/a.csv")
    assert _found(tmp_path / folder, "*.csv") == {"a.csv": "a.csv"}


@pytest.mark.parametrize("pattern", ["runs/*/", "runs/**/", "*/one/"])
def test_a_trailing_slash_matches_only_folders(tmp_path: Path, pattern: str) -> None:
    _make(tmp_path, "runs/one/a.csv", "runs/b.csv")
    assert _found(tmp_path, pattern)["one/a.csv"] == "runs/one/a.csv"


def test_a_negated_set_does_not_match_a_slash(tmp_path: Path) -> None:
    _make(tmp_path, "a/c", "axc")
    assert set(_found(tmp_path, "a[!b]c")) == {"axc"}


def test_a_set_with_a_reversed_range_matches_nothing(tmp_path: Path) -> None:
    _make(tmp_path, "a")
    assert find_results(["[z-a]"], str(tmp_path)) == FoundResults(unmatched=("[z-a]",))


@pytest.mark.parametrize("pattern", ["*.csv", "deep/*.csv", "*/x.csv"])
def test_only_folders_that_the_pattern_can_reach_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    _make(tmp_path, "a.csv", "deep/x.csv", "deep/deeper/deepest/z")
    opened: list[str] = []
    scandir = os.scandir

    def watched(path: str) -> object:
        opened.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watched)
    find_results([pattern], str(tmp_path))
    assert str(tmp_path / "deep/deeper/deepest") not in opened


def test_a_lengthened_name_does_not_collide_with_another_file(tmp_path: Path) -> None:
    _make(tmp_path, "x/a.txt", "y/a.txt", "z/x/a.txt")
    found = _found(tmp_path, "x/a.txt", "y/a.txt", "z/x")
    assert len(found) == 3


def test_no_name_is_a_folder_of_another_name(tmp_path: Path) -> None:
    _make(tmp_path, "one/out", "two/out/a.txt")
    names = _found(tmp_path, "one/out", "two/out")
    assert not any(other.startswith(f"{name}/") for name in names for other in names)


PATHS = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join).map("{}.x".format)


@settings(max_examples=scaled(25, 100))
@given(paths=st.sets(PATHS, min_size=1, max_size=8), data=st.data())
def test_every_matching_file_is_found_once(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], data: st.DataObject
) -> None:
    folder = _make(tmp_path_factory.mktemp("results"), *paths)
    folders = {str(Path(path).parent) for path in paths} - {"."}
    choices = sorted({*paths, *folders, "**/*.x", "a/*.x"})
    patterns = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=4))
    files = find_results(patterns, str(folder)).files
    expected = {
        path
        for path in paths
        for pattern in patterns
        if pattern in (path, "**/*.x")
        or path.startswith(f"{pattern}/")
        or (pattern == "a/*.x" and Path(path).parent == Path("a"))
    }
    assert sorted(os.path.relpath(file.path, folder) for file in files) == sorted(expected)


WILD = st.sampled_from(["*", "?", "[ab]", "[!b]*", "a*", "b", "*.x", "[]a]"])
PATTERNS = st.tuples(st.lists(WILD | st.just("**"), max_size=2), WILD).map(
    lambda parts: "/".join([*parts[0], parts[1]])
)


@settings(max_examples=scaled(37, 150))
@given(paths=st.sets(PATHS, min_size=1, max_size=8), pattern=PATTERNS)
def test_wildcards_match_as_in_glob(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str], pattern: str
) -> None:
    folder = _make(tmp_path_factory.mktemp("results"), *paths)
    expected: set[str] = set()
    for match in glob.glob(pattern, root_dir=folder, recursive=True):
        inside = [match] if (folder / match).is_file() else sorted(paths)
        expected |= {path for path in inside if path == match or path.startswith(f"{match}/")}
    files = find_results([pattern], str(folder)).files
    assert {os.path.relpath(file.path, folder) for file in files} == expected


@settings(max_examples=scaled(25, 100))
@given(paths=st.sets(PATHS, min_size=1, max_size=8))
def test_explicitly_named_files_have_distinct_names_with_their_endings(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str]
) -> None:
    folder = _make(tmp_path_factory.mktemp("results"), *paths)
    found = find_results(sorted(paths), str(folder))
    names = [file.name for file in found.files]
    assert len(set(names)) == len(paths)
    assert not found.unmatched
    for file in found.files:
        assert file.path.endswith(f"/{file.name}")
        assert not file.name.startswith(("/", "../"))
