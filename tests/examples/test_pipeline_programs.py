"""The example pipeline's programs, run for a few epochs."""

import gzip
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples/pipeline"
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
ENVIRONMENT = {**os.environ, "PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"}
SHORTER = {"train": "--epochs 10 --every 5", "evaluate": "--repeats 1", "export": "--moved 50"}
"""Options appended to the commands of pipeline.json; the last one of a name applies."""


def program(name: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def load(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def sources(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"work", "__pycache__"} & set(path.relative_to(folder).parts)
    }


@pytest.fixture(scope="module")
def jobs() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = load(FOLDER / "pipeline.json")["jobs"]
    return listed


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, jobs: list[dict[str, Any]]) -> Path:
    """A copy of the folder after running every command of pipeline.json."""
    copied = tmp_path_factory.mktemp("pipeline") / "copy"
    shutil.copytree(FOLDER, copied, ignore=shutil.ignore_patterns("work", "__pycache__"))
    for job in jobs:
        command = f"{job['command']} {SHORTER.get(job['job_id'], '')}"
        done = subprocess.run(
            command,
            shell=True,
            cwd=copied,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        (copied / "work" / f"{job['job_id']}.out").write_text(done.stdout)
    return copied


@pytest.fixture(scope="module")
def work(copy: Path) -> Path:
    return copy / "work"


@pytest.fixture
def data(work: Path, tmp_path: Path) -> Path:
    """A folder with only the cleaned images."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(work / "cleaned_data.csv", folder)
    return folder


def test_the_jobs_form_a_chain_and_produce_all_results(
    jobs: list[dict[str, Any]], copy: Path
) -> None:
    assert [job["job_id"] for job in jobs] == ["preprocess", "train", "evaluate", "export"]
    assert [job.get("depends_on", []) for job in jobs] == [
        [],
        ["preprocess"],
        ["train"],
        ["evaluate"],
    ]
    for name in (name for job in jobs for name in job["result_files"]):
        assert (copy / name).exists(), name


def test_nothing_is_written_outside_the_work_folder(copy: Path) -> None:
    assert sources(copy) == sources(FOLDER)


def test_make_faults_gives_the_checked_in_file_byte_for_byte(tmp_path: Path) -> None:
    assert program("make_faults", "--output", tmp_path, cwd=tmp_path).returncode == 0
    made, checked_in = (folder / "digits_raw.csv" for folder in (tmp_path, FOLDER / "data"))
    assert made.read_bytes() == checked_in.read_bytes()


@pytest.mark.parametrize("seed", ["1998", "7"])
def test_preprocess_finds_every_inserted_fault(seed: str, tmp_path: Path) -> None:
    program("make_faults", "--output", tmp_path, "--seed", seed, cwd=tmp_path)
    raw = tmp_path / "digits_raw.csv"
    done = program("preprocess", "--input", raw, "--neighbours", "0", cwd=tmp_path)
    found = load(tmp_path / "work/stats.json")["faults"]
    assert found == load(tmp_path / "faults.json")
    assert all(found.values())
    for kind, count in found.items():
        assert re.search(rf"^{kind} +{count} ", done.stdout, re.MULTILINE), kind


def test_the_cleaned_images_are_the_original_ones(work: Path) -> None:
    clean = gzip.decompress((FOLDER / "data/digits.csv.gz").read_bytes()).decode().splitlines()
    rows = [line.split(",") for line in (work / "cleaned_data.csv").read_text().splitlines()[1:]]
    originals = set(clean)
    changed = [row for row in rows if ",".join(row[2:]) not in originals]
    faults = load(work / "stats.json")["faults"]
    filled = sum(faults[f"{kind}_cell"] for kind in ("missing", "stray_text", "out_of_range"))
    assert len(changed) <= filled
    dropped = sum(faults[kind] for kind in ("label_missing", "unreadable_row", "label_conflict"))
    assert len(rows) == len(clean) - dropped - faults["broken_line"]


def test_the_splits_have_every_digit_and_the_right_size(work: Path) -> None:
    lines = (work / "cleaned_data.csv").read_text().splitlines()[1:]
    dealt = [(line.split(",")[1], line.rsplit(",", 1)[1]) for line in lines]
    for name, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        digits = [digit for split, digit in dealt if split == name]
        assert set(digits) == set("0123456789")
        assert len(digits) / len(dealt) == pytest.approx(share, abs=0.02)


def test_preprocess_lists_a_label_that_every_neighbour_contradicts(work: Path) -> None:
    suspects = load(work / "stats.json")["suspects"]
    assert {"line": 7, "digit": 5, "neighbours": [9] * 5} in suspects
    assert len(suspects) < 20


def test_train_prints_four_lines_per_epoch_and_learns(work: Path) -> None:
    epochs = re.findall(
        r"^Epoch (\d+)/10\nTrain Loss: (\d\.\d{3})\nVal Loss: \d\.\d{3}\nAccuracy: \d+\.\d%$",
        (work / "train.out").read_text(),
        re.MULTILINE,
    )
    assert [int(number) for number, _ in epochs] == list(range(1, 11))
    assert float(epochs[-1][1]) < 0.3 < float(epochs[0][1])
    metrics = load(work / "metrics.json")
    assert metrics["accuracy"] > 0.88
    assert len(metrics["history"]) == 10


def test_a_killed_training_resumes_and_gives_the_same_model(
    work: Path, data: Path, tmp_path: Path
) -> None:
    command = (sys.executable, str(FOLDER / "train.py"), "--data", str(data), "--output", str(data))
    with subprocess.Popen(
        (*command, "--epochs", "1000", "--every", "2"),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout is not None
        assert any("epoch-0004.json" in line for line in killed.stdout)
        killed.kill()
    assert not (data / "model.json").exists()
    resumed = program("train", "--data", data, "--output", data, "--epochs", "10", cwd=tmp_path)
    assert re.search(
        r"^Resumed from .*epoch-\d{4}\.json: \d+ epochs done", resumed.stdout, re.MULTILINE
    )
    assert "Epoch 4/10" not in resumed.stdout
    assert load(data / "metrics.json")["resumed_from_epoch"] >= 4
    assert (data / "model.json").read_bytes() == (work / "model.json").read_bytes()


def test_unusable_checkpoints_are_named_and_skipped(work: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "checkpoints", data / "checkpoints")
    beyond, usable = (data / f"checkpoints/epoch-{number}.json" for number in ("0010", "0005"))
    damaged, foreign = (data / f"checkpoints/epoch-{number}.json" for number in ("0007", "0006"))
    damaged.write_bytes(usable.read_bytes()[:1000])
    foreign.write_text(json.dumps({**load(usable), "epoch": 6, "data_sha256": "other"}))
    done = program("train", "--data", data, "--output", data, "--epochs", "8", cwd=tmp_path)
    assert done.stdout.splitlines()[:4] == [
        f"Passing over {beyond}: it is beyond epoch 8",
        f"Passing over {damaged}: it is damaged",
        f"Passing over {foreign}: it is from other data or settings",
        f"Resumed from {usable}: 5 epochs done, 3 left",
    ]


def test_fresh_deletes_the_checkpoints_and_starts_over(
    work: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(work / "checkpoints", data / "checkpoints")
    arguments = ("--data", data, "--output", data, "--epochs", "1", "--fresh")
    done = program("train", *arguments, cwd=tmp_path)
    assert done.stdout.startswith("Beginning anew: deleted 2 checkpoints\n")
    assert "Epoch 1/1" in done.stdout
    assert not list((data / "checkpoints").iterdir())


def test_the_scores_are_computed_from_the_confusion_matrix(work: Path) -> None:
    results = load(work / "eval_results.json")
    counts = results["confusion"]
    right = sum(counts[digit][digit] for digit in range(10))
    assert sum(map(sum, counts)) == results["test_images"] > 300
    assert results["accuracy"] == right / results["test_images"] > 0.88
    assert len(results["wrong_lines"]) == results["test_images"] - right
    low, high = results["accuracy_interval"]
    assert 0.8 < low < results["accuracy"] < high < 1
    for digit in range(10):
        scores = results["per_class"][str(digit)]
        column = sum(row[digit] for row in counts)
        recall, precision = counts[digit][digit] / sum(counts[digit]), counts[digit][digit] / column
        assert (scores["recall"], scores["precision"]) == (recall, precision)
        assert scores["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk's type and data, after checking its CRC."""
    at = 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + length


def test_the_confusion_matrix_is_a_valid_png(work: Path) -> None:
    png = (work / "confusion_matrix.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    parts = list(chunks(png))
    assert [kind for kind, _ in parts] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", parts[0][1])
    assert rest == [8, 2, 0, 0, 0]
    assert min(width, height) >= 480
    lines = zlib.decompress(parts[1][1])
    stride = 1 + width * 3
    assert len(lines) == stride * height
    assert set(lines[::stride]) == {0}
    rows = [lines[at + 1 : at + stride] for at in range(0, len(lines), stride)]
    pixels = [row[at : at + 3] for row in rows for at in range(0, len(row), 3)]
    assert 0.3 < pixels.count(b"\xff\xff\xff") / len(pixels) < 0.8
    dark_blue = sum(red < 60 < 90 < blue for red, _, blue in pixels)
    orange = sum(red > 200 > 190 > blue for red, _, blue in pixels)
    assert dark_blue > 10 * 40 * 40
    assert orange > 40 * 40


def test_the_exported_file_predicts_without_other_files(work: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(work / "model_export.py", tmp_path))
    rows = [line.split(",") for line in (work / "cleaned_data.csv").read_text().splitlines()]
    tests = [row for row in rows if row[1] == "test"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", alone],
        input="\n".join(" ".join(row[2:-1]) for row in tests),
        capture_output=True,
        text=True,
        check=True,
    )
    right = sum(a == row[-1] for a, row in zip(done.stdout.split(), tests, strict=True))
    assert right / len(tests) == load(work / "eval_results.json")["accuracy"]
    size = alone.stat().st_size
    assert f"{size:,} bytes" in (work / "export.out").read_text()


WRONG_HEADER = b"a,b,c\n1,2,3\n"
BROKEN = [
    ("make_faults", ["--clean", "none.gz"], "cannot read none.gz: No such file"),
    ("make_faults", ["--clean", "text"], "text is not gzipped text"),
    ("preprocess", ["--input", "none.csv"], "cannot read none.csv: No such file"),
    ("preprocess", ["--input", "."], "cannot read .: Is a directory"),
    ("preprocess", ["--input", "bytes"], "bytes is not text: byte 0 is not UTF-8"),
    ("preprocess", ["--input", "text"], "text: line 1 is not the header p00,...,digit"),
    ("preprocess", ["--input", "empty"], "empty: line 1 is not the header"),
    ("preprocess", ["--input", "header"], "header: only 0 usable rows, 100 are needed"),
    ("preprocess", ["--output", "text"], "cannot write into text: File exists"),
    ("train", ["--data", "none"], "run preprocess.py first"),
    ("train", ["--data", "cut"], "cut/cleaned_data.csv: line 901 is not"),
    (
        "train",
        ["--data", "data", "--output", "text"],
        "cannot write into text/checkpoints: Not a directory",
    ),
    ("evaluate", ["--data", "none"], "cannot read none/cleaned_data.csv: No such file"),
    ("evaluate", ["--data", "data", "--model", "none.json"], "run train.py first"),
    ("evaluate", ["--data", "data", "--model", "text"], "text is not JSON"),
    ("evaluate", ["--data", "data", "--model", "object"], "object holds no network"),
    ("evaluate", ["--data", "data", "--model", "foreign"], "foreign was trained on other data"),
    ("export", ["--data", "data", "--model", "none.json"], "cannot read none.json"),
    ("export", ["--data", "data", "--model", "object"], "object holds no network"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BROKEN)
def test_a_bad_input_gives_one_line_and_exit_code_1(
    name: str, arguments: list[str], message: str, work: Path, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(WRONG_HEADER)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").touch()
    (tmp_path / "object").write_text("{}")
    with (FOLDER / "data/digits_raw.csv").open("rb") as raw:
        (tmp_path / "header").write_bytes(raw.readline())
    (tmp_path / "foreign").write_text(
        json.dumps({**load(work / "model.json"), "data_sha256": "other"})
    )
    (tmp_path / "cut").mkdir()
    lines = (data / "cleaned_data.csv").read_text().splitlines()[:901]
    (tmp_path / "cut/cleaned_data.csv").write_text("\n".join(lines)[:-9])
    done = program(name, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.count("\n") == 1
