"""Explanations of a job's state, from logs built by hand and from any legal log."""

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from tests.cli.samples import (
    PIPELINE,
    SHORT,
    ZONE,
    Log,
    moment,
    owner,
    submitted,
    training,
)
from tests.support import configs
from tests.support.legal import legal_logs
from tests.support.logs import LogBuilder

from spawn.cli.output.why import as_json, render
from spawn.core.config.model import QueueConfig
from spawn.core.domain.events import (
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobStarted,
    JobUnblocked,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueResumed,
    RequestRefused,
    Results,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.reports.model import Target
from spawn.core.reports.why.chain import trace
from spawn.core.reports.why.explain import collect_history, explain
from spawn.core.reports.why.model import Explanation
from spawn.core.values import dag
from spawn.core.values.timestamps import format_timestamp

Q = "queue-20260127-140532"


def why(log: LogBuilder, job: str, now: datetime, *, alive: bool | None = True) -> Explanation:
    state = log.replay().state
    history = collect_history(state, log.rows, [job], last=log.seq)
    runner = None if state.ended else alive
    return explain(state, history, job, now=now, runner_alive=runner)


def told(log: Log, job: str, clock: str, *, alive: bool | None = True) -> list[str]:
    return list(render(why(log, job, moment(clock), alive=alive), ZONE))


def retry(clock: str, delay: float, **fields: object) -> JobRetryScheduled:
    due = format_timestamp(moment(clock) + timedelta(seconds=delay))
    given = {"exit_code": 1, "wall_seconds": 3.0, "why": "attempt 1 of 2 failed", **fields}
    return JobRetryScheduled(delay=delay, retry_at=due, **given)  # type: ignore[arg-type]


def test_a_blocked_job_names_the_failure_behind_it_with_a_hint() -> None:
    config = configs.queue(
        configs.job("train", attempts=2), configs.job("evaluate", "train"),
        configs.job("export", "evaluate"),
    )  # fmt: skip
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "train", 1)
    log.at("14:50:00", retry("14:50:00", 10.0), job="train")
    log.start("14:50:10", "train", 2, 2)
    end = JobFailed(
        exit_code=137, signal="SIGKILL", wall_seconds=1854.0, why="no attempts left (2 of 2)",
        last_lines=("Epoch 26/100", "Out of memory:\x1b[31m killed"),
    )  # fmt: skip
    log.at("15:21:04", end, job="train", attempt=2)
    log.at("15:21:04", JobBlocked(by="train"), job="evaluate")
    log.at("15:21:04", JobBlocked(by="train"), job="export")
    log.at("15:21:04", QueueFailed(reason="jobs", detail="train"))
    assert told(log, "export", "16:00:00") == [
        "export is blocked: it waits for evaluate, which waits for train.",
        "train failed on attempt 2 of 2 at 15:21:04 PST: exit code 137 (SIGKILL) after 30m 54s. "
        "No retry: no attempts left (2 of 2).",
        "Last output:",
        "  Epoch 26/100",
        "  Out of memory: killed",
        "History, oldest first:",
        "  14:50:00 PST: train failed on attempt 1 of 2 after 3s: exit code 1; retried after 10s.",
        f"Next: `spawn queue resume {Q} --retry-failed` retries train, then runs evaluate and "
        "export.",
        f"Or: `spawn queue logs {Q} train` prints its whole output.",
    ]


def test_a_running_job_has_its_start_and_the_cause_of_its_retry() -> None:
    log = submitted(SHORT, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "fetch", 1)
    stopped = JobInterrupted(cause="spot", exit_code=143, wall_seconds=60.0)
    log.at("14:01:00", stopped, job="fetch")
    log.at("14:01:00", QueueInterrupted(cause="spot"))
    log.at("15:00:00", owner(QueueResumed))
    log.start("15:00:00", "fetch", 2, 2)
    assert told(log, "fetch", "15:10:00") == [
        "fetch has been running since 15:00:00 PST (10m): attempt 2 (budget: 1 of 3), times out in "
        "20m.",
        "History, oldest first:",
        "  14:01:00 PST: fetch was interrupted on attempt 1 after 1m: the spot instance was "
        "reclaimed; budget unspent.",
        "  14:01:00 PST: the queue was interrupted: the spot instance was reclaimed.",
        "  15:00:00 PST: ana@ip-10-0-0-1 took over the queue on i-0123456789abcdef0, epoch 2.",
        f"Next: `spawn queue logs {Q} fetch --follow` follows its output.",
    ]


def test_an_adopted_job_names_the_runner_that_adopted_it() -> None:
    log = training()
    log.at("15:30:00", owner(QueueResumed))
    lines = told(log, "train", "15:31:00")
    assert "At 15:30:00 PST, ana@ip-10-0-0-1 took over the queue" in lines[1]
    assert len([line for line in lines if "took over the queue" in line]) == 1


def test_a_retry_names_the_failure_and_its_due_time() -> None:
    log = submitted(configs.queue(configs.job("a", attempts=2)), "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "a", 1)
    log.at("14:00:03", retry("14:00:03", 10.0, last_lines=("oops",)), job="a")
    assert told(log, "a", "14:00:05") == [
        "a is retrying: attempt 1 of 2 failed at 14:00:03 PST: exit code 1 after 3s.",
        "Last output:",
        "  oops",
        "Its retry policy (exponential, at most 5m) waits 10s: attempt 2 is due at 14:00:13 PST, "
        "in 8s.",
        f"Next: `spawn queue status {Q} --watch` shows its progress; no action is needed.",
    ]


def waiting(*, max_parallel: int = 1, on_failure: str = "stop") -> Log:
    config = configs.queue(
        *map(configs.job, "abc"), max_parallel=max_parallel, on_failure=on_failure
    )
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "a", 1)
    return log


def test_a_job_that_waits_for_its_turn_names_the_running_jobs() -> None:
    lines = told(waiting(), "b", "14:00:30")
    assert lines[:2] == [
        "b is pending: it has not started.",
        "It is ready and waits for its turn: max_parallel is 1, and a has been running "
        "since 14:00:00 PST.",
    ]


def test_a_job_behind_another_ready_job_names_it() -> None:
    lines = told(waiting(max_parallel=2), "c", "14:00:30")
    assert lines[1] == "It is ready and waits for its turn: b comes first."


def test_a_job_that_can_start_says_so() -> None:
    assert told(waiting(max_parallel=2), "b", "14:00:30")[1] == ("It is ready and starts next.")


def test_a_due_retry_waits_for_its_turn() -> None:
    config = configs.queue(configs.job("a", attempts=2), configs.job("b"))
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "a", 1)
    log.at("14:00:03", retry("14:00:03", 10.0), job="a")
    log.start("14:00:03", "b", 2)
    turn = (
        "It is ready and waits for its turn: max_parallel is 1, and b has been running since "
        "14:00:03 PST."
    )
    assert turn not in told(log, "a", "14:00:05")
    assert turn in told(log, "a", "14:00:20")
    assert any("attempt 2 was due at 14:00:13 PST" in line for line in told(log, "a", "14:00:20"))


def test_with_durability_s3_a_job_waits_for_its_dependencies_in_the_store() -> None:
    config = configs.queue(configs.job("a"), configs.job("b", "a"), durability="s3")
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "a", 1)
    log.at("14:00:03", JobCompleted(exit_code=0, wall_seconds=3.0), job="a")
    assert told(log, "b", "14:00:04")[1] == (
        "It starts as soon as the completions of its dependencies are in S3."
    )


def test_after_a_failure_that_stops_the_queue_no_job_starts() -> None:
    log = waiting(max_parallel=2)
    log.start("14:00:01", "b", 2)
    log.at("14:00:05", JobFailed(exit_code=1, why="no attempts left (1 of 1)"), job="a")
    assert told(log, "c", "14:00:30")[1] == (
        "No new job starts: a failed at 14:00:05 PST, and on_failure is stop. The queue ends after "
        "b."
    )
    log.at("14:01:00", JobCompleted(exit_code=0, wall_seconds=59.0), job="b")
    log.at("14:01:00", QueueFailed(reason="jobs", detail="a"))
    assert told(log, "c", "14:02:00") == [
        "c is pending: it has not started.",
        "The queue failed at 14:01:00 PST: a.",
        "No new job starts: a failed at 14:00:05 PST, and on_failure is stop.",
        f"Next: `spawn queue resume {Q} --retry-failed` retries a.",
    ]


def test_a_cancelled_queue_names_the_user_who_cancelled_it() -> None:
    log = waiting()
    log.at("14:00:05", JobFailed(exit_code=143, signal="SIGTERM", why="cancelled"), job="a")
    log.at("14:00:05", QueueFailed(reason="cancelled", detail="by ana@laptop"))
    assert told(log, "b", "14:00:30")[1] == (
        "The queue was cancelled at 14:00:05 PST by ana@laptop."
    )
    lines = told(log, "a", "14:00:30")
    assert lines[0].endswith("exit code 143 (SIGTERM). The queue was cancelled.")
    assert "  14:00:05 PST: the queue was cancelled by ana@laptop." in lines


def test_a_queue_without_a_runner_names_the_last_runner() -> None:
    lines = told(training(), "evaluate", "16:00:00", alive=False)
    assert lines[2:] == [
        "The queue has no runner. The last one was started by ana@ip-10-0-0-1 on "
        "i-0123456789abcdef0, epoch 1; its last event was at 15:21:04 PST.",
        f"Next: `spawn queue resume {Q}` resumes the queue.",
    ]


def test_a_queue_that_never_started_has_its_submission_time() -> None:
    assert told(submitted(SHORT, "14:05:30"), "fetch", "14:06:00", alive=False) == [
        "fetch is pending: it has not started.",
        "The queue was submitted at 14:05:30 PST, but no runner has started it.",
        f"Next: `spawn queue resume {Q}` starts the queue here.",
    ]


def uploading() -> Log:
    config = configs.queue(configs.job("a", result_files=("out/*",)), configs.job("b", "a"))
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "a", 1)
    found = Results(files=2, size=2048, sha256="0" * 64)
    log.at("14:00:09", JobCompleted(exit_code=0, wall_seconds=9.0, results=found), job="a")
    return log


def test_a_job_waits_for_results_that_are_being_saved() -> None:
    log = uploading()
    assert told(log, "b", "14:00:10")[:3] == [
        "b is pending: it waits for a.",
        "a completed at 14:00:09 PST on attempt 1 of 1 after 9s.",
        "Its results are still being saved; dependents wait for up to 5m.",
    ]
    log.at("14:00:11", ResultsUploaded(files=2, size=2048, key="k", sha256="0" * 64), job="a")
    assert "2 result files saved (2 KB)." in told(log, "a", "14:00:12")


def test_unsaved_results_are_named_with_a_hint() -> None:
    log = uploading()
    log.at("14:00:11", ResultsUploadFailed(error="AccessDenied"), job="a")
    log.start("14:00:12", "b", 2)
    log.at("14:00:13", JobCompleted(exit_code=0, wall_seconds=1.0), job="b")
    log.at("14:00:13", QueueFailed(reason="results", detail="a"))
    assert told(log, "a", "14:00:30")[1:] == [
        "Its results are not saved: AccessDenied.",
        f"Next: `spawn queue resume {Q}` retries the upload of its results, unchanged since it "
        "completed.",
        "Or: `spawn queue run FILE --queue-id NEW` produces them again if they are missing or have "
        "changed.",
    ]


def test_resets_rejections_and_reconfigurations_have_their_user_and_time() -> None:
    log = submitted(configs.queue(configs.job("a"), configs.job("b", "a")), "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "a", 1)
    log.at("14:00:05", JobFailed(exit_code=1, why="no attempts left (1 of 1)"), job="a")
    log.at("14:00:05", JobBlocked(by="a"), job="b")
    log.at("14:00:06", QueueFailed(reason="jobs", detail="a"))
    log.at("14:10:00", owner(QueueResumed))
    config = configs.queue(configs.job("a", command="mended"), configs.job("b", "a"))
    changes = ("job a: command", "job b: timeout", "max_parallel: 1 -> 2")
    reconfigured = QueueReconfigured(
        config=config, jobs_total=2, config_sha256="0" * 64, changes=changes
    )
    log.at("14:10:01", reconfigured)
    log.at("14:10:02", JobReset(reason="retry", by="ana@laptop"), job="a")
    log.at("14:10:02", JobUnblocked(by="a"), job="b")
    log.at("14:10:03", RequestRefused(request="x", why="no job has failed"))
    log.start("14:10:04", "a", 2, 2)
    lines = told(log, "a", "14:11:00")
    assert lines[0].startswith("a has been running since 14:10:04 PST (56s): attempt 2 (budget: 1 ")
    assert lines[2:-1] == [
        "  14:00:05 PST: a failed on attempt 1: exit code 1; no attempts left (1 of 1).",
        "  14:10:00 PST: ana@ip-10-0-0-1 took over the queue on i-0123456789abcdef0, epoch 2.",
        "  14:10:01 PST: the configuration was changed: job a: command; max_parallel: 1 -> 2.",
        "  14:10:02 PST: ana@laptop reset a, with a fresh budget.",
        "  14:10:03 PST: a request was rejected: no job has failed.",
    ]


def test_a_command_that_cannot_be_prepared_needs_another_configuration() -> None:
    log = submitted(configs.queue(configs.job("a")), "14:00:00")
    log.at("14:00:00", owner())
    log.at("14:00:01", JobStarted(token="", pid=0, folder="", log_file=""), job="a")
    log.at("14:00:01", JobFailed(why="it needs ${X}, which is not set"), job="a")
    log.at("14:00:01", QueueFailed(reason="jobs", detail="a"))
    assert told(log, "a", "14:00:30") == [
        "a failed on attempt 1 of 1 at 14:00:01 PST. It needs ${X}, which is not set.",
        f"Next: `spawn queue resume {Q} --config FILE` retries a with a corrected configuration.",
        f"Or: `spawn queue resume {Q} --retry-failed` retries a.",
    ]


def test_the_hint_for_an_instance_changes_the_configuration_there() -> None:
    log = submitted(configs.queue(configs.job("a")), "14:00:00")
    log.at("14:00:00", owner())
    log.at("14:00:01", JobStarted(token="", pid=0, folder="", log_file=""), job="a")
    log.at("14:00:01", JobFailed(why="it needs ${X}, which is not set"), job="a")
    log.at("14:00:01", QueueFailed(reason="jobs", detail="a"))
    state = log.replay().state
    history = collect_history(state, log.rows, ["a"], last=log.seq)
    on = "i-0123456789abcdef0"
    found = explain(state, history, "a", now=moment("14:00:30"), target=Target(on, Q))
    first, second = list(render(found, ZONE))[1:]
    assert first.startswith(f"Next: `spawn queue resume {Q} --config FILE` on {on} retries a ")
    assert second == f"Or: `spawn queue resume {on} --queue {Q} --retry-failed` retries a."


def test_a_time_on_another_day_includes_the_date() -> None:
    log = training()
    now = moment("15:00:00") + timedelta(days=2)
    lines = list(render(why(log, "preprocess", now), ZONE))
    assert lines[0].startswith("preprocess completed at 2026-01-27 15:21:04 PST")


def test_rows_without_types_give_the_same_explanation() -> None:
    log = training()
    log.at("15:30:00", QueueInterrupted(cause="spot"))
    log.at("15:40:00", owner(QueueResumed))
    state, bare = log.replay().state, [(seq, None, line, hash_) for seq, _, line, hash_ in log.rows]
    named_, unnamed = (
        collect_history(state, rows, ["export"], last=log.seq) for rows in (log.rows, bare)
    )
    assert named_ == unnamed
    assert len(named_.queue) == 3


def test_many_attempts_are_counted_and_the_newest_are_shown() -> None:
    log = submitted(configs.queue(configs.job("a", attempts=500)), "01:00:00")
    log.at("01:00:00", owner())
    for attempt in range(1, 200):
        clock = f"0{1 + attempt // 60}:{attempt % 60:02}:00"
        log.start(clock, "a", attempt, attempt)
        log.at(clock, retry(clock, 0.0), job="a", attempt=attempt)
    answer = why(log, "a", moment("09:00:00"))
    attempts = [fact for fact in answer.facts if fact.kind == "attempt"]
    assert len(attempts) == 20
    assert [fact.more for fact in answer.facts if fact.kind == "left_out"] == [179]
    assert len(list(render(answer, ZONE))) < 20


def test_the_chain_is_the_shortest_and_names_other_dependencies() -> None:
    config = configs.queue(
        configs.job("slow"), configs.job("x", "slow"), configs.job("y", "x"),
        configs.job("z", "y", "slow"),
    )  # fmt: skip
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "slow", 1)
    chain = trace(log.replay().state, "z")
    assert (chain.jobs, chain.others) == (("z", "slow"), ("y",))
    assert told(log, "z", "14:01:00")[0] == "z is pending: it waits for slow; also for y."


def test_control_sequences_in_texts_of_a_job_are_escaped() -> None:
    log = submitted(PIPELINE, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "preprocess", 1)
    evil = "\x1b]0;owned\x07\x1b[2J\nx"
    failed = JobFailed(exit_code=1, why=f"because {evil}", last_lines=(evil,))
    log.at("14:00:01", failed, job="preprocess")
    text = "\n".join(told(log, "preprocess", "14:00:02"))
    assert not [letter for letter in text if ord(letter) < 32 and letter != "\n"]
    assert "because" in text


@given(legal_logs())
def test_every_job_of_any_log_has_an_explanation(
    log: LogBuilder,
) -> None:
    state = log.replay().state
    for job_id, job in state.jobs.items():
        answer = why(log, job_id, log.now)
        lines = list(render(answer, ZONE))
        assert lines[0].startswith(f"{job_id} ")
        assert job.state in lines[0]
        assert answer.next
        chain = trace(state, job_id).jobs
        needs = {each: other.config.depends_on for each, other in state.jobs.items()}
        for waiting, needed in itertools.pairwise(chain):
            known = needed in dag.reach([waiting], needs)  # results of any ancestor may be lost
            assert known or state.jobs[waiting].blocked_by == needed
        if job.state in ("pending", "retrying", "blocked"):
            root = state.jobs[chain[-1]]
            assert root.state != "completed" or chain[-1] in state.uploading
        shaped = as_json(answer, ZONE)
        assert next(fact["text"] for fact in shaped["chain"]) in lines[0]


@pytest.mark.parametrize("length", [1, 3000])
def test_a_long_chain_is_followed_without_recursion_and_abbreviated(length: int) -> None:
    config: QueueConfig = configs.chain(length + 1)
    log = LogBuilder(Q, step=timedelta(0))
    from tests.support.logs import submission

    log.add(*submission(config))
    log.queue(owner())
    answer = why(log, f"j{length}", log.now)
    assert len(answer.facts[0].chain) == length + 1
    assert len(next(render(answer, ZONE))) < 300


def test_why_and_status_agree_after_the_clock_was_set_back() -> None:
    log = submitted(SHORT, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "fetch", 1)
    log.at("15:00:00", retry("15:00:00", 600.0), job="fetch")
    report = log.report("13:00:00")
    answer = why(log, "fetch", moment("13:00:00"))
    assert answer.as_of == report.as_of == moment("15:00:00")
    assert report.jobs[0].retry_in == 600.0
    assert "due at 15:10:00 PST, in 10m." in "\n".join(render(answer, ZONE))
