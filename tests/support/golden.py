"""Write the golden log of this version: `python -m tests.support.golden` at the repository's root.

Every release has a log in its own format, with every type of event, that all later versions must
replay. Only the files of the current version are written; those of released versions never change.
"""

import json
from pathlib import Path
from typing import Any

from msgspec import structs
from tests.support.configs import job, queue
from tests.support.logs import LogBuilder, started, submission

from spawn import __version__
from spawn.core.config.model import QueueConfig, RetryPolicy
from spawn.core.domain import chain
from spawn.core.domain.events import (
    TYPES,
    CheckpointNotSaved,
    CheckpointPutBack,
    CheckpointSaved,
    Draft,
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobsSubmitted,
    JobUnblocked,
    MachineKept,
    OutputNotSaved,
    OutputSaved,
    QueueCompleted,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueResumed,
    QueueStarted,
    QueueSubmitted,
    RequestRefused,
    Results,
    ResultsDelayed,
    ResultsNotPutBack,
    ResultsPutBack,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.domain.state import JobState, QueueState
from spawn.core.domain.submission import config_sha256

DATA = Path(__file__).parents[1] / "data"
QUEUE_ID = "golden"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
LATER = "2026-01-27T22:10:00.000000Z"


def golden() -> LogBuilder:
    """Return the log of a queue with every type of event; it ends completed."""
    log = LogBuilder(QUEUE_ID)
    log.add(*_paged(_config()))
    log.queue(_owner(QueueStarted, pid=100))
    _first_epoch(log)
    log.queue(_owner(QueueResumed, pid=200))
    _second_epoch(log)
    log.queue(_owner(QueueResumed, pid=300))
    _third_epoch(log)
    assert {event.type for event in log.events} == set(TYPES), "the log lacks a type of event"
    return log


def _config() -> QueueConfig:
    return queue(
        job(
            "preprocess",
            command="python preprocess.py --in 'données é ✓' | tee log\n",
            timeout=5400.0,
            environment={"DATA": "/data/${USER}", "B": "", "A": '"quoted" \\ \t'},
            result_files=("out/**/*.csv", "/data/report[1].json"),
        ),
        job("train", "preprocess", retry=RetryPolicy(max_attempts=3, backoff="fixed")),
        job("evaluate", "train", "preprocess"),
        job("export", "evaluate", result_files=("model.pth",)),
        queue_id=QUEUE_ID,
        queue_name="Golden ✓ pipeline",
        global_timeout=43200.0,
        on_failure="continue",
        max_parallel=2,
        durability="s3",
        upload_wait=60.0,
        kill_grace=7.5,
        result_s3_bucket="results-bucket",
        result_s3_prefix="teams/vision",
    )


def _paged(config: QueueConfig) -> list[Draft]:
    """Return the submission in several lines, as when one line cannot hold all jobs."""
    (draft,) = submission(config, version=__version__)
    assert isinstance(draft.data, QueueSubmitted)
    first = structs.replace(draft.data, config=structs.replace(config, jobs=config.jobs[:3]))
    return [Draft(first), Draft(JobsSubmitted(jobs=config.jobs[3:]))]


def _owner(kind: type[QueueStarted], *, pid: int) -> QueueStarted:
    return kind(
        instance_id="i-0123456789abcdef0",
        region="us-east-1",
        hostname="ip-10-0-0-7",
        boot_id="11111111-2222-3333-4444-555555555555",
        version=__version__,
        owner="ana@ip-10-0-0-7",
        pid=pid,
        results_location="s3://results-bucket/teams/vision/",
        ssh_host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ", "ecdsa-sha2-nistp256 AAAAE2"),
    )


def _first_epoch(log: LogBuilder) -> None:
    results = Results(files=2, size=123456789, sha256=DIGEST)
    completed = JobCompleted(
        exit_code=0,
        wall_seconds=61.25,
        cpu_seconds=58.5,
        peak_memory_bytes=1_500_000_000,
        output_dropped_bytes=12,
        results=results,
    )
    log.job("preprocess", started("preprocess"), completed, attempt=1)
    key = "preprocess/attempts/1.1/manifest.json"
    log.job(
        "preprocess",
        ResultsUploaded(
            files=2, size=123456789, key=key, sha256=DIGEST, unmatched=("/data/report[1].json",)
        ),
        attempt=1,
    )
    retried = JobRetryScheduled(
        exit_code=137,
        signal="SIGKILL",
        wall_seconds=0.125,
        why="attempt 1 of 3 failed",
        delay=10.0,
        retry_at=LATER,
        last_lines=("Epoch 1/100", "Traceback: \u00fcber \ufffd"),
    )
    log.job("train", started("train", 1), retried, attempt=1)
    log.queue(RequestRefused(request="reset tarin", why="there is no job tarin; train?"))
    log.job("train", started("train", 2), attempt=2)
    log.job("train", JobInterrupted(cause="spot", exit_code=143, detail="2 minutes"), attempt=2)
    key = "train/attempts/1.2/checkpoint.json"
    log.job("train", CheckpointNotSaved(error="denied"), attempt=2)
    log.job("train", CheckpointSaved(files=2, size=9, key=key, sha256=DIGEST), attempt=2)
    log.queue(QueueInterrupted(cause="spot", detail="the instance is taken back"))


def _second_epoch(log: LogBuilder) -> None:
    log.job("train", CheckpointPutBack(files=2), attempt=2)
    log.job("train", started("train", 3), attempt=3)
    failed = JobFailed(
        exit_code=124, timed_out=True, wall_seconds=5400.5, why="no more", last_lines=("oh",)
    )
    log.job("train", failed, attempt=3)
    log.job("evaluate", JobBlocked(by="train"))
    log.job("export", JobBlocked(by="train"))
    log.queue(QueueFailed(reason="jobs", detail="train"))
    log.queue(MachineKept(why="output of train is not in the object store"))


def _third_epoch(log: LogBuilder) -> None:
    log.job("train", JobReset(reason="retry", by="ana@laptop"))
    log.job("evaluate", JobUnblocked(by="train"))
    log.job("export", JobUnblocked(by="train"))
    config = _config()
    config = structs.replace(config, jobs=(*config.jobs, job("report", "export")), max_parallel=4)
    log.queue(
        QueueReconfigured(
            config=config,
            jobs_total=len(config.jobs),
            config_sha256=config_sha256(config),
            changes=("max_parallel: 2 -> 4", "job report is new"),
        )
    )
    done = JobCompleted(exit_code=0, wall_seconds=1.0)
    log.job("train", started("train", 4), done, attempt=4)
    log.job("evaluate", started("evaluate"), done, attempt=1)
    log.job("export", started("export"), done, attempt=1)
    log.job("export", OutputNotSaved(error="denied"), attempt=1)
    log.job("export", OutputSaved(), attempt=1)
    log.job("export", ResultsDelayed(error="it cannot be reached"), attempt=1)
    log.job("export", ResultsUploadFailed(error="denied", unmatched=("model.pth",)), attempt=1)
    key = "export/attempts/3.1/manifest.json"
    log.job("export", ResultsUploaded(files=0, size=0, key=key, sha256=DIGEST), attempt=1)
    log.job("export", ResultsNotPutBack(error="denied"), ResultsPutBack(files=0), attempt=1)
    log.job("report", started("report"), done, attempt=1)
    log.queue(QueueCompleted())


def summary(state: QueueState) -> dict[str, Any]:
    """Return what every version must read from the same log."""
    return {
        "queue_id": state.queue_id,
        "state": state.state,
        "reason": state.reason,
        "epoch": state.epoch,
        "version": state.version,
        "submitted_at": state.submitted_at,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "owned_seconds": state.owned_seconds,
        "config_sha256": state.config_sha256,
        "max_parallel": state.config.max_parallel,
        "queue_name": state.config.queue_name,
        "counts": state.counts,
        "running": list(state.running),
        "failed": list(state.failed),
        "uploading": list(state.uploading),
        "unsaved": list(state.upload_failed),
        "jobs": [_job(state.jobs[job_id]) for job_id in state.order],
    }


def _job(job: JobState) -> dict[str, Any]:
    return {
        "job_id": job.config.job_id,
        "command": job.config.command,
        "depends_on": job.config.depends_on,
        "state": job.state,
        "attempt": job.attempt,
        "attempts": f"{job.attempts}/{job.max_attempts}",
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "blocked_by": job.blocked_by,
        "why": job.why,
        "last_lines": job.last_lines,
        "unmatched": job.unmatched,
        "results": None if job.results is None else job.results.size,
        "uploaded": None if job.uploaded is None else job.uploaded.key,
    }


def write(folder: Path = DATA) -> list[Path]:
    """Write the log, and beside it the state after each milestone."""
    log = golden()
    lines = b"".join(chain.format_line(hash_, line) + b"\n" for _, line, hash_ in log.entries)
    jsonl = folder / f"golden-{__version__}.jsonl"
    jsonl.write_bytes(lines)
    expected = folder / f"golden-{__version__}.json"
    states = {seq: summary(_until(log, seq)) for seq in milestones(log)}
    expected.write_text(json.dumps(states, indent=1, ensure_ascii=False) + "\n")
    return [jsonl, expected]


def milestones(log: LogBuilder) -> list[int]:
    """Return the seqs after which a runner owned, left or ended the queue."""
    kinds = ("QueueInterrupted", "QueueFailed", "QueueReconfigured", "QueueCompleted")
    return [event.seq for event in log.events if event.type in kinds]


def _until(log: LogBuilder, seq: int) -> QueueState:
    fold = LogBuilder(log.queue_id).replay()
    fold.feed(log.rows[:seq])
    return fold.state


if __name__ == "__main__":
    for path in write():
        print(path.relative_to(DATA.parents[1]))
