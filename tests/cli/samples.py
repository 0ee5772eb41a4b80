"""Queues at a moment, built from events with fixed times.

The first is the manual page's: its jobs, its process ids, its times. The page shows three different
moments at once; this one is 15:55:32, when the running job has run for the page's 34m 28s.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.support import configs
from tests.support.logs import LogBuilder, submission

from spawn.core.config.model import QueueConfig
from spawn.core.domain.events import (
    Data,
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobRetryScheduled,
    JobStarted,
    QueueFailed,
    QueueInterrupted,
    QueueResumed,
    QueueStarted,
    ResultsUploaded,
)
from spawn.core.reports.build import build
from spawn.core.reports.model import LiveData, Report
from spawn.core.reports.progress import from_output
from spawn.core.values.timestamps import format_timestamp

ZONE = ZoneInfo("America/Los_Angeles")
QUEUE_ID = "queue-20260127-140532"
NOW = "15:55:32"
TRAIN_OUTPUT = ("Epoch 25/100", "Train Loss: 0.234", "Val Loss: 0.256", "Accuracy: 89.3%")
EARLIER = {"evaluate": 41 * 60 + 4.0, "export": 600.0}
"""Durations of jobs in earlier queues, in seconds."""

PIPELINE = configs.queue(
    configs.job("preprocess", attempts=3, command="python preprocess.py", timeout=1800.0),
    configs.job(
        "train",
        "preprocess",
        command="python train.py --data /data --epochs 100",
        timeout=4 * 3600.0,
    ),
    configs.job("evaluate", "train", attempts=3, command="python evaluate.py", timeout=3600.0),
    configs.job("export", "evaluate", attempts=2, command="python export.py", timeout=1800.0),
)

SHORT = configs.queue(
    configs.job("fetch", attempts=3, timeout=1800.0),
    configs.job("train", "fetch", timeout=4 * 3600.0),
    configs.job("export", "train", attempts=2),
)


class Log(LogBuilder):
    """A log whose events have times of day of 2026-01-27, in `ZONE`."""

    def __init__(self, queue_id: str = QUEUE_ID) -> None:
        super().__init__(queue_id, step=timedelta(0))

    def at(self, clock: str, *data: Data, job: str | None = None, attempt: int = 1) -> None:
        """Append events of the queue, or of a job, at a time of day."""
        self.now = moment(clock)
        if job is None:
            self.queue(*data)
        else:
            self.job(job, *data, attempt=attempt)

    def start(self, clock: str, job: str, pid: int, attempt: int = 1) -> None:
        """Append the start of an attempt."""
        data = JobStarted(
            token=f"{job}{attempt}",
            pid=pid,
            folder=f"/var/lib/spawn-queue/queues/{self.queue_id}/jobs/{job}/attempt-{attempt}",
            log_file=f"/var/log/spawn-queue/{job}.log",
        )
        self.at(clock, data, job=job, attempt=attempt)

    def report(
        self,
        clock: str = NOW,
        *,
        live: Mapping[str, LiveData] | None = None,
        earlier: Mapping[str, float] | None = None,
        runner_alive: bool | None = True,
    ) -> Report:
        """Replay the log and report it at a time of day."""
        state = self.replay().state
        alive = None if state.ended else runner_alive
        return build(state, moment(clock), live=live, earlier=earlier, runner_alive=alive)


def moment(clock: str) -> datetime:
    """A time of 2026-01-27 in `ZONE`."""
    return datetime.fromisoformat(f"2026-01-27T{clock}").replace(tzinfo=ZONE)


def submitted(config: QueueConfig, clock: str) -> Log:
    """The log of a queue that no runner has started."""
    log = Log()
    log.now = moment(clock)
    log.add(*submission(config))
    return log


def owner(kind: type[QueueStarted] = QueueStarted) -> QueueStarted:
    """A runner on an instance."""
    return kind(
        instance_id="i-0123456789abcdef0",
        hostname="ip-10-0-0-1",
        boot_id="11111111-2222-3333-4444-555555555555",
        version="0.1.0",
        owner="ana@ip-10-0-0-1",
        pid=1000,
        results_location=f"s3://spawn-results-us-east-1/{QUEUE_ID}/",
    )


def training() -> Log:
    """The manual page's pipeline while `train` runs."""
    log = submitted(PIPELINE, "14:05:30")
    log.at("14:05:32", owner())
    log.start("15:05:32", "preprocess", 12000)
    log.at("15:21:04", JobCompleted(exit_code=0, wall_seconds=932.0), job="preprocess")
    log.start("15:21:04", "train", 12345)
    return log


def running() -> Report:
    """The manual page's status."""
    lines = tuple(f"[15:45:12] {line}" for line in TRAIN_OUTPUT)
    live = LiveData(
        progress=from_output(TRAIN_OUTPUT),
        recent=lines,
        log_file="/var/log/spawn-queue/train.log",
    )
    return training().report(live={"train": live}, earlier=EARLIER)


def failed() -> Report:
    """`train` was killed, and its dependents are blocked."""
    log = training()
    end = JobFailed(
        exit_code=137,
        signal="SIGKILL",
        wall_seconds=2068.0,
        why="no attempts left (1 of 1)",
        last_lines=("[15:55:31] Epoch 26/100", "[15:55:32] Out of\tmemory: \x1b[31mkilled\x1b[0m"),
    )
    log.at("15:55:32", end, job="train")
    log.at("15:55:32", JobBlocked(by="train"), job="evaluate")
    log.at("15:55:32", JobBlocked(by="train"), job="export")
    log.at("15:55:33", QueueFailed(reason="jobs", detail="train"))
    return log.report("16:30:00")


def retrying() -> Report:
    """`fetch` timed out twice and waits for its last attempt."""
    log = submitted(SHORT, "14:05:30")
    log.at("14:05:32", owner())
    for attempt, (start, end, again) in enumerate(
        [("14:05:32", "14:35:32", "14:35:42"), ("14:35:42", "15:05:42", "15:06:12")], 1
    ):
        log.start(start, "fetch", 12000 + attempt, attempt)
        late = JobRetryScheduled(
            exit_code=124,
            timed_out=True,
            wall_seconds=1800.0,
            why=f"attempt {attempt} of 3 failed",
            delay=(moment(again) - moment(end)).total_seconds(),
            retry_at=format_timestamp(moment(again)),
            last_lines=("[14:30:00] still reading",),
        )
        log.at(end, late, job="fetch", attempt=attempt)
    return log.report("15:05:50")


def interrupted() -> Report:
    """The runner was stopped while `train` ran."""
    log = training()
    stopped = JobInterrupted(cause="stop", exit_code=143, signal="SIGTERM", wall_seconds=2068.0)
    log.at("15:55:32", stopped, job="train")
    log.at("15:55:33", QueueInterrupted(cause="signal", detail="SIGTERM"))
    return log.report("16:30:00", runner_alive=False)


def pending() -> Report:
    """Submitted, not started by a runner."""
    return submitted(SHORT, "14:05:30").report("14:05:31", runner_alive=None)


def dead() -> Report:
    """`train` is running in the log, but its runner has died."""
    return training().report(earlier=EARLIER, runner_alive=False)


def parallel() -> Report:
    """Three running jobs, one of them restarted after its first runner was stopped."""
    config = configs.queue(
        configs.job("fetch", result_files=("data/*.csv", "notes.txt")),
        configs.job("small", "fetch"),
        configs.job("medium", "fetch", timeout=90.0),
        configs.job("a-job-with-a-long-name", "fetch", attempts=2),
        configs.job("merge", "small", "medium", "a-job-with-a-long-name"),
        configs.job("clean", "fetch"),
        max_parallel=3,
        queue_name="Three sizes",
    )
    log = submitted(config, "14:00:00")
    log.at("14:00:00", owner())
    log.start("14:00:00", "fetch", 200)
    log.at("14:00:30", JobCompleted(exit_code=0, wall_seconds=30.0), job="fetch")
    saved = ResultsUploaded(files=2, size=10, key="k", sha256="0" * 64, unmatched=("notes.txt",))
    log.at("14:00:31", saved, job="fetch")
    log.start("14:00:31", "small", 201)
    log.at("14:01:00", JobInterrupted(cause="stop", wall_seconds=29.0), job="small")
    log.at("14:01:00", QueueInterrupted(cause="signal", detail="SIGINT"))
    log.at("14:02:00", owner(QueueResumed))
    log.start("14:02:00", "small", 301, attempt=2)
    log.start("14:02:00", "medium", 302)
    log.start("14:02:00", "a-job-with-a-long-name", 303)
    live = {
        "small": LiveData(
            progress=from_output(["step 3 of 9"]), recent=("[14:02:10] step 3 of 9",)
        ),
        "medium": LiveData(progress=from_output(["42%"]), recent=("[14:02:10] 42%",)),
    }
    return log.report("14:02:20", live=live)


def beginning() -> Report:
    """The manual page's pipeline in its first job, which has a long name."""
    log = submitted(PIPELINE, "14:05:30")
    log.at("14:05:32", owner())
    log.start("14:05:32", "preprocess", 12000)
    return log.report("14:06:00")


ALL = {
    "running": running,
    "failed": failed,
    "retrying": retrying,
    "interrupted": interrupted,
    "pending": pending,
    "dead": dead,
    "parallel": parallel,
    "beginning": beginning,
}
