"""Outcomes have their true cause."""

import os
import signal
import subprocess

import pytest
from tests.support.queues import World, job, retry


def test_death_by_a_signal_gives_128_plus_its_number_and_is_retried(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || kill -9 $$", retry=retry(2)))
    assert queue.run().code == 0
    scheduled = queue.data("a", "JobRetryScheduled")
    assert (scheduled.exit_code, scheduled.signal) == (137, "SIGKILL")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGSEGV, "SIGSEGV"),
        (signal.SIGABRT, "SIGABRT"),
        (signal.SIGINT, "SIGINT"),
        (signal.SIGHUP, "SIGHUP"),
        (signal.SIGPIPE, "SIGPIPE"),
        (signal.SIGRTMIN, "SIGRTMIN"),
        (signal.SIGRTMIN + 6, "SIGRTMIN+6"),
    ],
)
def test_each_signal_is_named(world: World, number: int, name: str) -> None:
    queue = world.queue(job("a", f"ulimit -c 0; kill -{int(number)} $$"))
    assert queue.run().code == 1
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.signal) == (128 + number, name)


def test_an_exit_code_above_128_of_the_command_itself_is_not_a_signal(world: World) -> None:
    queue = world.queue(job("a", "exit 143"))
    assert queue.run().code == 1
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.signal) == (143, None)


def test_an_unrequested_sigterm_is_a_failure_and_is_retried(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60", retry=retry(2)))
    queue.detach()
    os.kill(queue.wait_executing("a").pid, signal.SIGTERM)
    queue.wait_for("QueueCompleted")
    scheduled = queue.data("a", "JobRetryScheduled")
    assert (scheduled.exit_code, scheduled.signal) == (143, "SIGTERM")
    assert queue.executed() == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    "command",
    [
        "trap 'kill 0' EXIT; sleep 60 & echo done; exit 0",
        "trap 'trap - TERM; kill 0' EXIT; sleep 60 & exit 5",
        "trap 'kill $(jobs -p)' EXIT; sleep 60 & exit 0",
        "set -e; false; true",
        "set -o pipefail; false | true",
        "exec sh -c 'exit 4'",
        "exit 256",
        "exit -1",
    ],
)
def test_a_command_exits_as_under_bash(world: World, command: str) -> None:
    queue = world.queue(job("a", command, retry=retry(1)))
    queue.run()
    alone = subprocess.run(
        ["/bin/bash", "-c", command],
        start_new_session=True,
        capture_output=True,
        env={**world.environ, "BASH_ENV": ""},
        check=False,
    ).returncode
    said = queue.outcome("a")
    assert said.exit_code == (128 - alone if alone < 0 else alone)
    assert (said.signal is not None) == (alone < 0)


def test_the_last_lines_of_a_failure_are_in_the_log_and_shown(world: World) -> None:
    queue = world.queue(job("a", "seq 100; echo 'no such column: price' >&2; exit 1"))
    finished = queue.run()
    assert finished.code == 1
    lines = [line[11:] for line in queue.data("a", "JobFailed").last_lines]
    assert lines == [*(str(number) for number in range(92, 101)), "no such column: price"]
    assert "no such column: price" in finished.out


def test_a_missing_working_directory_fails_the_job_with_a_clear_error(world: World) -> None:
    queue = world.queue(job("a", "true", working_directory="nowhere", retry=retry(3)))
    assert queue.run().code == 1
    failed = queue.data("a", "JobFailed")
    assert failed.exit_code == 126
    assert "could not be executed" in failed.last_lines[0]
    assert "nowhere" in failed.last_lines[0]
    assert queue.executed() == []


def test_an_empty_command_completes(world: World) -> None:
    queue = world.queue(job("a", ": "), job("b", "# only a comment"))
    assert queue.run().code == 0
