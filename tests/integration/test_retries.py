"""Failures that are retried, and failures that are not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.queues import World, job, retry, until

from spawn.core.values.timestamps import format_timestamp, parse_timestamp


def test_a_job_is_retried_until_it_succeeds(world: World) -> None:
    queue = world.queue(job("flaky", "[ $JOB_ATTEMPT = 3 ]", retry=retry(4)))
    assert queue.run().code == 0
    assert queue.executed() == [("flaky", 1), ("flaky", 2), ("flaky", 3)]
    assert queue.types("flaky") == [
        *["JobStarted", "JobRetryScheduled"] * 2,
        "JobStarted",
        "JobCompleted",
    ]
    report = queue.state.jobs["flaky"]
    assert (report.attempts, report.max_attempts) == (3, 4)


def test_a_job_fails_when_its_attempts_are_spent(world: World) -> None:
    queue = world.queue(job("bad", "exit 9", retry=retry(3)))
    assert queue.run().code == 1
    assert len(queue.executed()) == 3
    failed = queue.data("bad", "JobFailed")
    assert (failed.exit_code, failed.why) == (9, "no attempts left (3 of 3)")


def test_retry_count_is_the_total_number_of_attempts(world: World) -> None:
    queue = world.queue(job("bad", "exit 1", retry_count=1))
    assert queue.run().code == 1
    assert queue.executed() == [("bad", 1)]


def test_a_retry_waits_for_its_delay_while_others_run(world: World) -> None:
    queue = world.queue(
        job("flaky", "[ $JOB_ATTEMPT = 2 ]", retry=retry(2, "800ms")),
        job("other", "true"),
    )
    assert queue.run().code == 0
    assert queue.executed() == [("flaky", 1), ("other", 1), ("flaky", 2)]
    (scheduled,) = queue.job_events("flaky", "JobRetryScheduled")
    again = queue.job_events("flaky", "JobStarted")[1]
    waited = (parse_timestamp(again.at) - parse_timestamp(scheduled.at)).total_seconds()
    assert 0.8 <= waited < 30
    promised = (
        parse_timestamp(scheduled.data.retry_at) - parse_timestamp(scheduled.at)
    ).total_seconds()
    assert promised == pytest.approx(0.8, abs=0.01)


def test_exponential_delays_triple(world: World) -> None:
    policy = {"max_attempts": 4, "base_delay": "50ms", "max_delay": "200ms"}
    queue = world.queue(job("bad", "exit 1", retry=policy))
    assert queue.run().code == 1
    delays = [event.data.delay for event in queue.job_events("bad", "JobRetryScheduled")]
    assert delays == [0.05, 0.15, 0.2]


def test_only_listed_codes_are_retried(world: World) -> None:
    queue = world.queue(
        job("listed", "[ $JOB_ATTEMPT = 2 ] || exit 75", retry=retry(3, retry_on_codes=[75])),
        job("unlisted", "exit 7", retry=retry(3, retry_on_codes=[75])),
        job("excepted", "exit 64", retry=retry(3, dont_retry_on_codes=[64])),
        on_failure="continue",
    )
    assert queue.run().code == 1
    assert queue.state.jobs["listed"].attempt == 2
    assert queue.data("unlisted", "JobFailed").why == (
        "exit code 7 is not retried: retry_on_codes lists only 75"
    )
    assert queue.data("excepted", "JobFailed").why == (
        "exit code 64 is not retried: dont_retry_on_codes lists it"
    )


def test_commands_that_cannot_run_are_retried_only_if_listed(world: World) -> None:
    (world.work / "plain").write_text("no program")
    queue = world.queue(
        job("found", "no-such-command-anywhere", retry=retry(3)),
        job("executable", "./plain", retry=retry(3)),
        job("listed", "exit 127", retry=retry(2, retry_on_codes=[127])),
        on_failure="continue",
    )
    assert queue.run().code == 1
    assert [
        (name, job_.attempt, queue.outcome(name).exit_code)
        for name, job_ in queue.state.jobs.items()
    ] == [("found", 1, 127), ("executable", 1, 126), ("listed", 2, 127)]


def test_attempts_keep_their_own_output(world: World) -> None:
    queue = world.queue(job("a", "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ]", retry=retry(2)))
    assert queue.run().code == 0
    assert queue.stdout("a", 1) == b"try 1\n"
    assert queue.stdout("a", 2) == b"try 2\n"
    assert [line[11:] for line in queue.combined("a").splitlines()] == [b"try 1", b"try 2"]
    kept = Path(queue.state.owner.results_location) / "a" / "attempts"
    assert [(kept / name / "stdout.log").read_text() for name in ("1.1", "1.2")] == [
        "try 1\n",
        "try 2\n",
    ]
    assert [(kept / name / "exit_code").read_text() for name in ("1.1", "1.2")] == ["1\n", "0\n"]
    assert queue.data("a", "JobRetryScheduled").last_lines[-1].endswith("try 1")


def test_retries_that_are_due_start_in_the_order_of_the_file(world: World) -> None:
    names = [f"j{number}" for number in range(6)]
    queue = world.queue(
        *(job(name, "[ $JOB_ATTEMPT = 2 ]", retry=retry(2, "500ms")) for name in names),
        job("gate", until("go")),
    )
    queue.detach()
    queue.wait_executing("gate")
    due = [event.data.retry_at for event in queue.events() if event.type == "JobRetryScheduled"]
    queue.until(lambda: format_timestamp(datetime.now(UTC)) > max(due), "every retry is due")
    world.release("go")
    queue.wait_for("QueueCompleted")
    ran = [name for name, _ in queue.executed()]
    after = ran[ran.index("gate") + 1 :]
    assert after == sorted(after)
    assert sorted(ran) == sorted([*names, *names, "gate"])
