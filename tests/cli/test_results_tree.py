"""The tree of a job's files: which are listed, and which are only counted."""

from spawn.cli.output.results import job_tree
from spawn.cli.output.style import PLAIN
from spawn.store.results.download_attempts import DownloadedFile


def _tree(*names: str) -> list[str]:
    files = [DownloadedFile(name=f"results/{name}", size=1024) for name in names]
    return [line.strip(" │├└─") for line in job_tree("a", "completed", files, PLAIN)][2:]


def test_a_few_entries_are_listed_files_first() -> None:
    assert _tree("d/1", "b", "d/2", "a") == ["b (1 KB)", "a (1 KB)", "d/ (2 KB)"]


def test_many_files_do_not_hide_a_folder() -> None:
    told = _tree(*(f"f{number}" for number in range(60)), "d/1")
    assert told[18:] == ["f18 (1 KB)", "… and 41 more files", "d/ (1 KB)"]


def test_many_folders_do_not_hide_the_files() -> None:
    told = _tree(*(f"d{number}/1" for number in range(60)), "f")
    assert told[0] == "f (1 KB)"
    assert told[19:] == ["d18/ (1 KB)", "… and 41 more folders"]
    both = _tree(*(f"d{number}/1" for number in range(60)), *map(str, range(60)))
    assert len(both) == 22
    assert both[10] == "… and 50 more files"
    assert both[21] == "… and 50 more folders"
