"""Assemble the explanation of a job's state: the answer first, advice last."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import structs

from spawn.core.domain.plan import is_stopping
from spawn.core.domain.replay import Row
from spawn.core.domain.state import JobState, QueueState
from spawn.core.reports.model import Report, Target, Trouble, TroubleKind
from spawn.core.reports.why import facts
from spawn.core.reports.why.advice import ResumeCommand, advice
from spawn.core.reports.why.chain import Chain, trace
from spawn.core.reports.why.history import History, collect
from spawn.core.reports.why.model import Explanation, Fact
from spawn.core.values import dag
from spawn.core.values.timestamps import parse_timestamp

SHOWN = 5
"""Maximum number of jobs that a fact names."""


def collect_history(
    state: QueueState, rows: Iterable[Row], job_ids: Iterable[str], *, last: int
) -> History:
    """Collect the history that `explain` needs for these jobs, in one pass over the log.

    Args:
        state: The state after the event with seq `last`.
        last: The seq of the last event to read.
    """
    subjects = {each for job_id in job_ids for each in (job_id, trace(state, job_id).jobs[-1])}
    return collect(rows, subjects, last=last)


def explain(
    state: QueueState,
    history: History,
    job_id: str,
    *,
    now: datetime,
    runner_alive: bool | None = None,
    seen: Report | None = None,
    past: bool = False,
    elsewhere: bool = False,
    target: Target | None = None,
) -> Explanation:
    """Explain a job's state.

    Args:
        history: The result of `collect_history`.
        runner_alive: Whether the queue has a runner, if known.
        seen: The queue's report, for what its machine knows beyond the log.
        past: Whether the user chose `now` with `--at`; there is no advice then.
        elsewhere: Whether the log was read from its replica; commands that resume need `--from-s3`.
        target: The target that the user gave, for commands; None for the queue's id.
    """
    now = max(now, parse_timestamp(state.last_at))  # as in a report
    chain = trace(state, job_id)
    target = target or Target(state.queue_id)
    resume = ResumeCommand(Target(state.queue_id) if elsewhere else target, from_s3=elsewhere)
    found = list(_without_repeats(_facts(state, chain, history, now, runner_alive, seen)))
    held = any(fact.kind == "trouble" for fact in found)
    return Explanation(
        queue_id=state.queue_id,
        job_id=job_id,
        state=state.jobs[job_id].state,
        as_of=now,
        past=past,
        facts=tuple(found),
        next=() if past else tuple(advice(state, chain, runner_alive, target, resume, held=held)),
    )


def _facts(
    state: QueueState,
    chain: Chain,
    history: History,
    now: datetime,
    alive: bool | None,
    seen: Report | None,
) -> Iterator[Fact]:
    asked, root = state.jobs[chain.jobs[0]], state.jobs[chain.jobs[-1]]
    root_id = root.config.job_id
    if len(chain.jobs) > 1:
        yield Fact(
            kind="waits",
            job_id=chain.jobs[0],
            state=asked.state,
            chain=chain.jobs,
            others=chain.others[:SHOWN],
            more=max(0, len(chain.others) - SHOWN),
        )
    past = history.jobs[root_id]
    newest = past.tries[-1] if past.tries else None
    shown = newest if newest is not None and root.state not in ("pending", "blocked") else None
    if shown is not None:
        fact = facts.attempt(root, shown, lines=root.state in ("failed", "retrying"))
        reported = {job.job_id: job for job in seen.jobs} if seen is not None else {}
        yield facts.unnoticed(fact, reported.get(root_id))
    else:
        yield Fact(kind="state", job_id=root_id, state=root.state)
    if root.state == "running" and shown is not None and shown.began.epoch != state.epoch:
        yield structs.replace(_owner_now(history), before=False)
    yield from _retry(root)
    yield from _results(state, root)
    troubles = tuple(_troubles(state, root, seen)) if seen is not None else ()
    for fact in _waits_for(state, root, now, alive):
        if fact.kind != "next_up" or not any(each.holds for each in troubles):
            yield fact
    for each in troubles:
        yield Fact(kind="trouble", at=each.since, reason=each.text, detail=each.hint)
    yield from facts.history(root, past, history, skip=shown)
    if len(chain.jobs) > 1:
        mine = history.jobs[chain.jobs[0]]
        yield from (
            fact
            for fact in facts.history(asked, mine, History({}), skip=None)
            if fact.kind != "left_out"
        )


def _troubles(state: QueueState, root: JobState, seen: Report) -> Iterator[Trouble]:
    """Yield the runner's troubles that affect the root of a wait."""
    if root.state in ("pending", "retrying"):
        kinds: tuple[TroubleKind, ...] = ("log", "disk", "start", "lease", "restore", "replica")
    elif root.state == "running":
        kinds = ("log", "disk")
    elif root.config.job_id in state.uploading:
        kinds = ("log", "disk", "upload")
    else:
        return
    yield from (each for each in seen.troubles if each.kind in kinds)


def _without_repeats(found: Iterable[Fact]) -> Iterator[Fact]:
    """Omit facts of the past that were already given as a cause."""
    given = set()
    for fact in found:
        key = fact.kind, fact.at, fact.job_id
        if not fact.before or key not in given:
            yield fact
        given.add(key)


def _owner_now(history: History) -> Fact:
    owners = [event for event in history.queue if event.type in ("QueueStarted", "QueueResumed")]
    return facts.owner(owners[-1])


def _retry(job: JobState) -> Iterator[Fact]:
    if job.state != "retrying":
        return
    policy = job.config.retry
    yield Fact(
        kind="retry",
        job_id=job.config.job_id,
        until=parse_timestamp(job.retry_at),
        seconds=job.delay,
        limit=policy.max_delay,
        reason=policy.backoff,
        spent=job.failures,
        most=policy.max_attempts,
    )


def _results(state: QueueState, job: JobState) -> Iterator[Fact]:
    """Yield the state of a completed job's results."""
    job_id = job.config.job_id
    if job.state != "completed":
        return
    if job_id in state.uploading:
        limit = state.config.upload_wait if job.upload_pending else None
        reason = job.delayed.error if job.delayed else ""
        yield Fact(kind="saving", job_id=job_id, limit=limit, reason=reason)
    elif job.upload_failed is not None:
        yield Fact(kind="unsaved", job_id=job_id, reason=job.upload_failed.error)
    elif job.uploaded is not None and job.uploaded.files:
        yield Fact(kind="saved", job_id=job_id, files=job.uploaded.files, size=job.uploaded.size)
    if job.restore_error and not state.ended:
        yield Fact(kind="not_put_back", job_id=job_id, reason=job.restore_error)
    if job.output_error:
        yield Fact(kind="output_unsaved", job_id=job_id, reason=job.output_error)
    if job.unmatched:
        yield Fact(kind="unsaved", job_id=job_id, others=job.unmatched)


def _waits_for(
    state: QueueState, root: JobState, now: datetime, alive: bool | None
) -> Iterator[Fact]:
    """Yield what the root of a wait is waiting for, apart from its own attempt."""
    waiting = root.state in ("pending", "retrying")
    open_ = waiting or root.state == "running" or root.config.job_id in state.uploading
    if state.state == "pending":
        yield Fact(kind="not_started", at=parse_timestamp(state.submitted_at))
        return
    if state.state == "interrupted" and open_:
        yield _ended(state, "interrupted")
        return
    if state.ended:
        if waiting:
            yield _ended(state, "ended")
            yield from _stopping(state)
        return
    if alive is False and open_:
        yield _no_runner(state)
        return
    if not waiting:
        return
    if is_stopping(state):
        yield from _stopping(state)
        return
    if root.state == "retrying" and parse_timestamp(root.retry_at) > now:
        return
    needs = {job_id: job.config.depends_on for job_id, job in state.jobs.items()}
    root_id = root.config.job_id
    sought = (root_id, *dag.reach([root_id], needs))  # the job itself for its checkpoint
    away = [job_id for job_id in sought if state.jobs[job_id].restore_error]
    if away:
        reason = state.jobs[away[0]].restore_error
        yield Fact(kind="not_put_back", job_id=away[0], reason=reason, others=tuple(away[1:SHOWN]))
        return
    running = tuple(state.running)
    if len(running) >= state.config.max_parallel:
        yield _turn(state, running)
        return
    first = state.next_ready()
    if first is not None and first.index < root.index:
        yield Fact(kind="turn", others=(first.config.job_id,), most=state.config.max_parallel)
    else:
        kept = state.config.durability if root.config.depends_on else ""
        yield Fact(kind="next_up", job_id=root.config.job_id, reason=kept)


def _turn(state: QueueState, running: tuple[str, ...]) -> Fact:
    return Fact(
        kind="turn",
        chain=running[:SHOWN],
        more=max(0, len(running) - SHOWN),
        most=state.config.max_parallel,
        at=parse_timestamp(state.jobs[running[0]].started_at),
    )


def _stopping(state: QueueState) -> Iterator[Fact]:
    if not is_stopping(state):
        return
    failed = list(state.failed)
    yield Fact(
        kind="stopping",
        at=parse_timestamp(state.jobs[failed[0]].ended_at),
        chain=tuple(failed[:SHOWN]),
        more=max(0, len(failed) - SHOWN),
        others=tuple(state.running)[:SHOWN],
    )


def _ended(state: QueueState, kind: str) -> Fact:
    fact = Fact(
        kind="ended", at=parse_timestamp(state.ended_at), reason=state.reason, detail=state.detail
    )
    return structs.replace(fact, kind="interrupted") if kind == "interrupted" else fact


def _no_runner(state: QueueState) -> Fact:
    owner = state.owner
    assert owner is not None
    where = owner.hostname if owner.instance_id == "local" else owner.instance_id
    return Fact(
        kind="no_runner",
        at=parse_timestamp(state.last_at),
        by=owner.owner,
        host=where,
        pid=owner.pid,
        epoch=state.epoch,
    )
