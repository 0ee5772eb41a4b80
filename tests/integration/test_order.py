"""Which jobs run, in which order, and how many at once."""

from itertools import accumulate

import pytest
from tests.support.queues import World, job

MARK = "echo +{0} >> marks; {1}; echo -{0} >> marks"


def at_once(world: World) -> int:
    """Return the maximum number of jobs that ran at once, from their own records."""
    marks = (world.work / "marks").read_text().split()
    return max(accumulate(1 if mark.startswith("+") else -1 for mark in marks))


@pytest.mark.cold
def test_a_chain_runs_in_order_to_its_end(world: World) -> None:
    queue = world.queue(
        job("export", "echo export >> order", "train"),
        job("train", "echo train >> order", "preprocess"),
        job("preprocess", "echo preprocess >> order"),
    )
    finished = queue.run()
    assert finished.code == 0
    assert (world.work / "order").read_text().split() == ["preprocess", "train", "export"]
    assert queue.executed() == [("preprocess", 1), ("train", 1), ("export", 1)]
    assert [event.type for event in queue.events()] == [
        "QueueSubmitted",
        "QueueStarted",
        *["JobStarted", "JobCompleted"] * 3,
        "QueueCompleted",
    ]
    assert "Queue q completed: 3 of 3 jobs completed" in finished.out


def test_ready_jobs_start_in_the_order_of_the_file(world: World) -> None:
    queue = world.queue(*(job(name, "true") for name in "dacbe"))
    assert queue.run().code == 0
    assert [job_id for job_id, _ in queue.executed()] == list("dacbe")


def test_a_newly_ready_job_precedes_those_later_in_the_file(world: World) -> None:
    queue = world.queue(
        job("first", "true"), job("after", "true", "first"), job("b", "true"), job("c", "true")
    )
    assert queue.run().code == 0
    assert [job_id for job_id, _ in queue.executed()] == ["first", "after", "b", "c"]


def test_two_of_five_jobs_run_at_once_and_never_three(world: World) -> None:
    queue = world.queue(
        # Each end of the fifo waits for the other: the two jobs end only if both run.
        job("a", MARK.format("a", "mkfifo fifo; echo x > fifo")),
        job("b", MARK.format("b", "until [ -p fifo ]; do sleep 0.01; done; cat fifo")),
        *(job(name, MARK.format(name, "sleep 0.05")) for name in "cde"),
        max_parallel=2,
    )
    assert queue.run().code == 0
    assert at_once(world) == 2
    starts = [event.job_id for event in queue.events() if event.type == "JobStarted"]
    assert starts == list("abcde")


def test_without_max_parallel_jobs_run_one_after_the_other(world: World) -> None:
    queue = world.queue(*(job(name, MARK.format(name, "true")) for name in "abc"))
    assert queue.run().code == 0
    assert at_once(world) == 1


@pytest.mark.gate
def test_a_fan_of_500_jobs_runs_each_once_eight_at_a_time(world: World) -> None:
    names = [f"j{number}" for number in range(498)]
    queue = world.queue(
        job("root", "true"),
        *(job(name, MARK.format(name, "true"), "root") for name in names),
        job("last", "wc -l < marks", *names),
        max_parallel=8,
    )
    finished = queue.run()
    assert finished.code == 0, finished.err
    assert queue.state.counts["completed"] == 500
    assert queue.stdout("last").split() == [b"996"]
    assert at_once(world) <= 8
    assert len(queue.executed()) == 500


@pytest.mark.parametrize("on_failure", ["stop", "continue"])
def test_dependents_of_a_failed_job_are_blocked_and_never_run(
    world: World, on_failure: str
) -> None:
    queue = world.queue(
        job("bad", "exit 3"),
        job("child", "true", "bad"),
        job("grandchild", "true", "child", "other"),
        job("other", "true"),
        on_failure=on_failure,
    )
    finished = queue.run()
    assert finished.code == 1
    goes_on = on_failure == "continue"
    assert queue.executed() == [("bad", 1), *[("other", 1)] * goes_on]
    assert queue.types("child") == queue.types("grandchild") == ["JobBlocked"]
    assert queue.data("grandchild", "JobBlocked").by == "bad"
    failed = queue.data("bad", "JobFailed")
    assert (failed.exit_code, failed.signal, failed.timed_out) == (3, None, False)
    state = queue.state
    assert (state.state, state.reason, state.detail) == ("failed", "jobs", "bad")
    assert state.jobs["other"].state == ("completed" if goes_on else "pending")


def test_with_stop_running_jobs_finish_and_no_job_starts(world: World) -> None:
    queue = world.queue(
        job("long", "until [ -e failed ]; do sleep 0.01; done; sleep 0.2; echo whole"),
        job("bad", "touch failed; exit 1"),
        job("next", "true"),
        max_parallel=2,
    )
    assert queue.run().code == 1
    assert queue.stdout("long") == b"whole\n"
    assert queue.state.jobs["long"].state == "completed"
    assert queue.types("next") == []


def test_with_stop_no_retry_starts(world: World) -> None:
    queue = world.queue(
        job("flaky", "exit 1", retry={"max_attempts": 5, "backoff": "fixed", "delay": "300ms"}),
        job("bad", "exit 1"),
        max_parallel=2,
    )
    assert queue.run().code == 1
    assert queue.executed().count(("flaky", 1)) == 1
    assert queue.types("flaky") == ["JobStarted", "JobRetryScheduled"]


def test_two_failures_block_a_common_dependent_once(world: World) -> None:
    queue = world.queue(
        job("a", "exit 1"),
        job("b", "exit 1"),
        job("both", "true", "a", "b"),
        on_failure="continue",
    )
    assert queue.run().code == 1
    assert queue.types("both") == ["JobBlocked"]
    assert queue.state.detail == "a, b"
