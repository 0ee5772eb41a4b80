"""Files in the current folder are data, whatever their names."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.queues import World, job
from tests.support.warm import SPAWN

import spawn
from spawn.cli.support.follow import RunnerDied, follow_runner, wait_for_exit, wait_for_ownership
from spawn.core.config.parser import parse_config
from spawn.runner import interpreter
from spawn.runner.runner_process import RunnerProcess, RunRequest
from spawn.store.queue_dir.paths import Roots

NAMES = ("queue", "random", "json", "boto3", "msgspec", "sqlalchemy")
MODULE = [sys.executable, "-m", "spawn.cli"]


@pytest.mark.cold
@pytest.mark.parametrize(
    ("words", "more", "path"),
    [
        ([SPAWN], ("types", "re", "spawn", "sitecustomize"), "/nowhere/for/jobs"),
        ([SPAWN], (), ":/for/jobs"),  # an empty entry is the current folder
        (MODULE, ("sitecustomize",), ""),
    ],
    ids=["script", "path", "module"],
)
def test_no_file_of_the_current_folder_is_run(
    world: World, words: list[str], more: tuple[str, ...], path: str
) -> None:
    folder = world.folder / "typed here"
    folder.mkdir()
    for name in (*NAMES, *more):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'run')!r}, 'a').write({name!r})")
    world.environ["PYTHONPATH"] = path
    seen = world.work / "seen"
    queue = world.queue(job("a", f"printf %s \"$PYTHONPATH\" > '{seen}'"))
    command = ["run", str(queue.file), "--queue-id", "q"]
    options = {"env": world.environ, "cwd": folder}
    from tests.support import warm

    done = warm.run([*words, "queue", *command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    assert not (folder / "run").exists()
    assert seen.read_text() == path, "jobs get the variable unchanged"


@pytest.mark.parametrize("variable", ["PYTHONPATH", "PYTHONUSERBASE", "PYTHONHOME"])
def test_python_variables_are_kept_if_they_locate_the_package_itself(variable: str) -> None:
    root = Path(spawn.__path__[0]).parent
    found = {variable: str(root)}
    assert "-E" not in interpreter.python_command("x", found)
    assert "-E" in interpreter.python_command("x", {variable: str(root / "elsewhere")})
    assert "-P" in interpreter.python_command("x", found)


def _follow(runner: RunnerProcess, queue_id: str) -> int:
    return follow_runner(runner, Roots(Path("/a"), Path("/b"), Path("/c")), queue_id)


@pytest.mark.parametrize("watch", [_follow, wait_for_ownership, wait_for_exit])
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 1; exit 3", "exit code 3"),
        (
            "seq 100 >&2; echo gone >&2; exit 1",
            "exit code 1; last output: 97\n98\n99\n100\ngone",
        ),
        ("kill -KILL $$", "signal 9"),
    ],
)
def test_a_runner_that_dies_before_its_first_message_is_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watch: Callable[[RunnerProcess, str], int],
    script: str,
    told: str,
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    jobs = ",".join(f'{{"job_id": "a{each}", "command": "true"}}' for each in range(5000))
    config = parse_config(f'{{"jobs": [{jobs}]}}'.encode(), base_directory="/", name="c")
    order = RunRequest(task="run", queue_id="q", state="/a", log="/b", cache="/c", config=config)
    with pytest.raises(RunnerDied) as died:
        watch(RunnerProcess(order), "q")
    assert str(died.value) == f"the runner of queue q died: {told}"


def test_a_name_that_is_not_utf_8_is_a_bad_argument(world: World) -> None:
    queue = world.queue(job("a", "true"))
    refused = queue.run("--bucket", os.fsdecode(b"caf\xe9"))
    assert refused.code == 2
    assert "is not UTF-8" in refused.err
