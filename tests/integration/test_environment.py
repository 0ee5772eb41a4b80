"""The environment of a command, and the values that are never written to the log."""

import hashlib
import os
from pathlib import Path

from tests.support.queues import World, job, retry

SECRET = "hunter2-0c7dd1c9b1"


def test_a_command_gets_its_queue_job_and_attempt(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "echo $QUEUE_ID $JOB_ID $JOB_ATTEMPT; echo $SPAWN_PROGRESS_FILE"
            " $SPAWN_INTERRUPTION_FILE; [ $JOB_ATTEMPT = 2 ]",
            retry=retry(2),
        )
    )
    assert queue.run().code == 0
    for number in (1, 2):
        ids, files = queue.stdout("a", number).decode().splitlines()
        assert ids == f"q a {number}"
        folder = Path(queue.attempt("a", number).folder)
        assert [Path(file).parent for file in files.split()] == [folder, folder]


def test_a_jobs_own_variables_override_the_runners(world: World) -> None:
    world.environ |= {"COLOUR": "red", "SHAPE": "round", "QUOTED": 'it\'s "here" $HOME\n'}
    queue = world.queue(
        job(
            "a",
            'printf "%s|%s|%s|%s" "$COLOUR" "$SHAPE" "$BOTH" "$QUOTED"',
            environment={"COLOUR": "blue", "BOTH": "${SHAPE} and ${COLOUR}, $SHAPE $$"},
        )
    )
    finished = queue.run()
    assert finished.code == 0, finished.err
    assert queue.stdout("a").decode() == (
        'blue|round|round and red, $SHAPE $$|it\'s "here" $HOME\n'
    )


def test_the_value_of_a_reference_is_written_nowhere(world: World) -> None:
    world.environ["HUB_TOKEN"] = SECRET
    queue = world.queue(
        job(
            "a",
            'printf %s "$TOKEN" | sha256sum; [ $JOB_ATTEMPT = 2 ]',
            env={"TOKEN": "${HUB_TOKEN}"},
            retry=retry(2),
            result_files=["*.txt"],
        )
    )
    finished = queue.run()
    assert finished.code == 0
    assert queue.stdout("a").split()[0].decode() == hashlib.sha256(SECRET.encode()).hexdigest()
    assert SECRET not in finished.out + finished.err
    files = [file for file in world.home.rglob("*") if file.is_file()]
    assert queue.paths.events in files
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []
    assert queue.state.jobs["a"].config.environment == {"TOKEN": "${HUB_TOKEN}"}


def test_a_reference_to_an_unset_variable_fails_the_job_before_its_start(world: World) -> None:
    queue = world.queue(
        job("a", "true", env={"TOKEN": "${NO_SUCH_VARIABLE}"}, retry=retry(3)),
        job("b", "true"),
        job("c", "true", "a"),
        on_failure="continue",
    )
    finished = queue.run()
    assert finished.code == 1
    failed = queue.data("a", "JobFailed")
    assert failed.why == (
        "environment.TOKEN needs ${NO_SUCH_VARIABLE}, which the runner's environment lacks"
    )
    assert queue.types("c") == ["JobBlocked"]
    assert queue.executed() == [("b", 1)]
    assert failed.why in finished.out


def test_a_relative_working_directory_is_relative_to_the_file(world: World) -> None:
    (world.folder / "sub").mkdir()
    queue = world.queue(job("a", "pwd", working_directory="sub"))
    assert queue.run().code == 0
    assert queue.stdout("a").decode().strip() == str(world.folder / "sub")


def test_a_variable_that_is_not_utf_8_reaches_the_command_unchanged(world: World) -> None:
    world.environ["ODD"] = os.fsdecode(b"caf\xe9")
    queue = world.queue(job("a", 'printf %s "$ODD"'))
    finished = queue.run()
    assert finished.code == 0, finished.err
    assert queue.stdout("a") == b"caf\xe9"
