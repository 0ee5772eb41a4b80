"""The timeline of any legal log: complete, without gaps or overlaps."""

from itertools import pairwise

import pytest
from hypothesis import given
from tests.support.configs import chain, job, queue
from tests.support.legal import Driver, Seeded, driven, legal_logs
from tests.support.logs import LogBuilder, owner, resumed, running, started

from spawn.core.domain.events import (
    JobCompleted,
    JobRetryScheduled,
    QueueCompleted,
    QueueInterrupted,
    ResultsUploaded,
)
from spawn.core.reports.timeline.collect import MOST_ATTEMPTS, Collector
from spawn.core.reports.timeline.model import Timeline
from spawn.core.reports.timeline.path import critical_path
from spawn.core.reports.timeline.spans import spans
from spawn.core.values.timestamps import parse_timestamp


def collected(log: LogBuilder) -> Collector:
    collector = Collector(log.queue_id)
    collector.feed(log.rows)
    return collector


def timeline(log: LogBuilder) -> Timeline:
    return collected(log).timeline()


def kinds(found: Timeline, job_id: str) -> list[tuple[str, float]]:
    return [(span.kind, span.seconds) for span in spans(found, job_id)]


@given(legal_logs())
def test_a_jobs_spans_have_no_gap(log: LogBuilder) -> None:
    found = timeline(log)
    for job_id, line in found.lines.items():
        mine = spans(found, job_id)
        assert all(before.end == after.start for before, after in pairwise(mine))
        assert all(span.start <= span.end for span in mine)
        if mine:
            assert mine[0].start == line.since
            assert mine[-1].end <= found.end
            assert sum(span.seconds for span in mine) == pytest.approx(mine[-1].end - mine[0].start)


@given(legal_logs())
def test_every_attempt_of_the_log_is_one_bar(log: LogBuilder) -> None:
    found = timeline(log)
    began = [e for e in log.events if e.type == "JobStarted" and e.job_id in found.lines]
    state = log.replay().state
    for job_id in found.lines:
        bars = [span.attempt for span in spans(found, job_id) if span.kind == "run"]
        numbers = [bar.number for bar in bars if bar]
        mine = [event for event in began if event.job_id == job_id]
        assert numbers == [event.attempt for event in mine]
        for bar, event in zip(bars, mine, strict=True):
            assert bar is not None
            assert bar.start == (parse_timestamp(event.at) - found.base).total_seconds()
        if bars and bars[-1] is not None and state.jobs[job_id].attempt == bars[-1].number:
            running_now = state.jobs[job_id].state == "running"
            assert (bars[-1].result == "running") == running_now


@given(legal_logs())
def test_the_critical_path_covers_the_time_from_the_submission_to_the_end(log: LogBuilder) -> None:
    found = timeline(log)
    path = critical_path(found)
    assert bool(path) == any(line.attempts for line in found.lines.values())
    if not path:
        return
    assert (path[0].start, path[-1].end) == (0.0, found.end)
    assert all(before.end == after.start for before, after in pairwise(path))
    for stretch in path:
        pieces = stretch.spans
        if stretch.seconds:
            assert (pieces[0].start, pieces[-1].end) == (stretch.start, stretch.end)
        assert all(before.end == after.start for before, after in pairwise(pieces))
    total = sum(span.seconds for stretch in path for span in stretch.spans)
    assert total == pytest.approx(found.end)


@given(legal_logs())
def test_each_job_of_the_critical_path_depends_on_the_previous_one(log: LogBuilder) -> None:
    found = timeline(log)
    jobs = [stretch.job_id for stretch in critical_path(found) if stretch.job_id]
    assert len(set(jobs)) == len(jobs)
    for before, after in pairwise(jobs):
        assert before in found.needs[after]


@given(legal_logs())
def test_gaps_are_exactly_the_times_without_an_owner(log: LogBuilder) -> None:
    found = timeline(log)
    owned = sum((found.end if e.end is None else e.end) - e.start for e in found.epochs)
    gaps = found.gaps
    assert owned + sum(end - start for start, end in gaps) == pytest.approx(found.end)
    for epoch in found.epochs:
        end = found.end if epoch.end is None else epoch.end
        assert all(stop <= epoch.start or start >= end for start, stop in gaps)


@pytest.mark.parametrize("seed", range(40))
def test_a_queue_that_completes_has_a_path_that_ends_with_its_last_job(seed: int) -> None:
    driver = driven(Seeded(seed))
    driver.succeed()
    found = timeline(driver.log)
    path = [stretch for stretch in critical_path(found) if stretch.job_id]
    ends = {job_id: line.attempts[-1].end for job_id, line in found.lines.items()}
    assert ends[path[-1].job_id] == max(end for end in ends.values() if end is not None)


def test_rows_without_types_give_the_same_timeline() -> None:
    log = driven(Seeded(3)).log
    bare = Collector(log.queue_id)
    bare.feed([(seq, None, line, hash_) for seq, _, line, hash_ in log.rows])
    assert bare.timeline() == timeline(log)


def test_kinds_of_waits_are_distinguished() -> None:
    log = running(queue(job("a", result_files=("out",)), job("b", "a"), job("c"), max_parallel=2))
    log.job("a", started("a"), attempt=1)  # 3 s after the submission: one step per event
    log.job("a", JobCompleted(exit_code=0, wall_seconds=1.0), attempt=1)
    log.job("c", started("c"), attempt=1)
    saved = ResultsUploaded(files=1, size=1, key="k", sha256="0" * 64)
    log.job("a", saved, attempt=1)
    log.job("c", JobCompleted(exit_code=0, wall_seconds=2.0), attempt=1)
    log.job("b", started("b"), attempt=1)
    log.job("b", JobCompleted(exit_code=0, wall_seconds=1.0), attempt=1)
    log.queue(QueueCompleted())
    found = timeline(log)
    assert kinds(found, "b") == [
        ("unowned", 1), ("needs", 2), ("saving", 2), ("turn", 2), ("run", 1),
    ]  # fmt: skip
    assert kinds(found, "a") == [("unowned", 1), ("turn", 1), ("run", 1)]
    path = critical_path(found)
    assert [(stretch.job_id, stretch.seconds) for stretch in path] == [("a", 3), ("b", 5), ("", 1)]


def test_a_retry_and_a_time_without_an_owner_are_shown() -> None:
    log = running(chain(1))
    log.job("j0", started("j0"), attempt=1)
    late = JobRetryScheduled(exit_code=1, delay=9.0, retry_at="2026-01-27T22:06:00.000000Z")
    log.job("j0", late, attempt=1)
    log.queue(QueueInterrupted(cause="signal", detail="SIGTERM"), resumed())
    log.job("j0", started("j0", 2), attempt=2)
    found = timeline(log)
    assert kinds(found, "j0") == [
        ("unowned", 1), ("turn", 1), ("run", 1), ("retry", 1), ("unowned", 1), ("retry", 1),
        ("run", 0),
    ]  # fmt: skip
    assert [epoch.fate for epoch in found.epochs] == ["interrupted", "owns"]


def test_an_attempt_that_ended_without_a_runner_has_its_measured_duration() -> None:
    log = running(chain(1))
    log.job("j0", started("j0"), attempt=1)
    log.queue(resumed(), epoch=2)
    log.job("j0", JobCompleted(exit_code=0, wall_seconds=0.5), attempt=1)
    found = timeline(log)
    assert kinds(found, "j0")[-2:] == [("run", 0.5), ("unseen", 1.5)]


def test_a_clock_set_back_gives_no_negative_bar() -> None:
    log = running(chain(2))
    log.job("j0", started("j0"), attempt=1)
    log.now = log.now.replace(year=2025)
    log.job("j0", JobCompleted(exit_code=0, wall_seconds=3.0), attempt=1)
    log.job("j1", started("j1"), attempt=1)
    found = timeline(log)
    assert kinds(found, "j0")[-1] == ("run", 0)
    assert found.end == 3.0 - 1.0


def test_very_many_attempts_are_merged_and_counted() -> None:
    log = running(queue(job("a", attempts=1000)))
    again = JobRetryScheduled(exit_code=1, delay=0.0, retry_at="2026-01-27T22:06:00.000000Z")
    for attempt in range(1, 400):
        log.job("a", started("a", attempt), again, attempt=attempt)
    found = timeline(log)
    line = found.lines["a"]
    assert line.folded + len(line.attempts) == 399
    assert len(line.attempts) <= 2 * MOST_ATTEMPTS
    mine = spans(found, "a")
    assert mine[0].kind == "folded"
    assert (mine[0].start, mine[-1].end) == (line.since, found.end)
    assert all(before.end == after.start for before, after in pairwise(mine))


def test_resets_of_one_request_are_one_line_of_the_audit() -> None:
    driver = Driver(Seeded(1), queue(job("a"), job("b"), on_failure="continue", max_parallel=2))
    driver.succeed()
    audit = timeline(driver.log).audit
    assert [entry.event.type for entry in audit] == ["QueueStarted", "QueueCompleted"]
    assert isinstance(audit[0].event.data, type(owner()))
