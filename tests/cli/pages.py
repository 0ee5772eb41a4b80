"""Queues for tests of the HTML report, built from events with fixed times."""

import random
from datetime import datetime, timedelta

from tests.cli import samples
from tests.cli.samples import ZONE, Log, moment, owner
from tests.support import configs
from tests.support.logs import LogBuilder, submission

from spawn.cli.output.page.data import PageData
from spawn.cli.output.page.page import page
from spawn.cli.support.report_data import explain_failures
from spawn.core.domain.events import (
    JobBlocked,
    JobCompleted,
    JobFailed,
    JobInterrupted,
    JobReset,
    JobRetryScheduled,
    JobUnblocked,
    QueueCompleted,
    QueueFailed,
    QueueInterrupted,
    QueueReconfigured,
    QueueResumed,
    QueueStarted,
    RequestRefused,
    Results,
    ResultsUploaded,
    ResultsUploadFailed,
)
from spawn.core.reports.build import build
from spawn.core.reports.timeline.collect import Collector
from spawn.core.reports.timeline.path import critical_path
from spawn.core.values.timestamps import format_timestamp

EVIL = "</script></style><img src=x onerror=alert(1)><svg/onload=alert(2)>\"'&\x1b[31m\u202e"
"""What a hostile job prints."""


def sheet(
    log: LogBuilder,
    now: datetime,
    *,
    alive: bool | None = None,
    there: frozenset[str] = frozenset(),
) -> PageData:
    """Return the sheet of a log at a moment, in the samples' zone."""
    collector = Collector(log.queue_id)
    collector.feed(log.rows)
    state = collector.fold.state
    timeline = collector.timeline(now=None if alive is False else now)
    return PageData(
        state=state,
        report=build(state, now, runner_alive=None if state.ended else alive),
        timeline=timeline,
        path=critical_path(timeline),
        whys=explain_failures(state, lambda: log.rows, now=now, last=log.seq),
        zone=ZONE,
        files_beside=there,
    )


def html(
    log: Log, clock: str, *, alive: bool | None = None, there: frozenset[str] = frozenset()
) -> str:
    """Return the page of a log at a time of day."""
    return page(sheet(log, moment(clock), alive=alive, there=there))


def again(
    clock: str, code: int, seconds: float, number: int, most: int, delay: float, **more: object
) -> JobRetryScheduled:
    """A failed attempt that is retried."""
    return JobRetryScheduled(
        exit_code=code,
        wall_seconds=seconds,
        why=f"attempt {number} of {most} failed",
        delay=delay,
        retry_at=format_timestamp(moment(clock) + timedelta(seconds=delay)),
        **more,  # type: ignore[arg-type]
    )


def saved(files: int, size: int, job: str) -> ResultsUploaded:
    """Results that are saved."""
    return ResultsUploaded(files=files, size=size, key=f"{job}/m", sha256="0" * 64)


def completed() -> Log:
    """The manual page's pipeline, completed."""
    config = configs.queue(
        configs.job(
            "preprocess",
            attempts=3,
            command="python preprocess.py --input /data/raw --output /data/processed",
            result_files=("a",),
            timeout=1800.0,
        ),
        configs.job(
            "train",
            "preprocess",
            command="python train.py --data /data/processed --epochs 100",
            result_files=("b",),
            attempts=2,
        ),
        configs.job(
            "evaluate",
            "train",
            command="python evaluate.py --model /models/model.pth",
            attempts=3,
            result_files=("c",),
        ),
        configs.job("plots", "preprocess", command="python plots.py"),
        configs.job(
            "export",
            "evaluate",
            "plots",
            command="python export.py",
            attempts=2,
            result_files=("d",),
        ),
        queue_name="Digits, nightly",
        max_parallel=2,
    )
    log = Log()
    log.now = moment("14:05:30")
    log.add(*submission(config))
    log.at("14:05:32", owner())
    found = Results(files=2, size=2_400_000, sha256="0" * 64)
    log.start("14:05:32", "preprocess", 4100)
    log.at(
        "14:21:04",
        JobCompleted(
            exit_code=0,
            wall_seconds=932.0,
            cpu_seconds=1800.5,
            peak_memory_bytes=2_100_000_000,
            results=found,
        ),
        job="preprocess",
    )
    log.at("14:21:40", saved(2, 2_400_000, "preprocess"), job="preprocess")
    log.start("14:21:40", "train", 4200)
    log.start("14:21:40", "plots", 4201)
    log.at(
        "14:26:10",
        JobCompleted(
            exit_code=0, wall_seconds=270.0, cpu_seconds=260.0, peak_memory_bytes=300_000_000
        ),
        job="plots",
    )
    log.at(
        "14:33:00",
        again(
            "14:33:00",
            137,
            680.0,
            1,
            2,
            10.0,
            signal="SIGKILL",
            cpu_seconds=1300.0,
            last_lines=("Epoch 12/100", "Killed"),
        ),
        job="train",
    )
    log.start("14:33:10", "train", 4300, 2)
    log.at(
        "15:24:02",
        JobCompleted(
            exit_code=0,
            wall_seconds=3052.0,
            cpu_seconds=6004.0,
            peak_memory_bytes=9_300_000_000,
            results=found,
        ),
        job="train",
        attempt=2,
    )
    log.at("15:24:31", saved(3, 268_000_000, "train"), job="train", attempt=2)
    log.start("15:24:31", "evaluate", 4400)
    log.at(
        "15:31:00",
        JobCompleted(
            exit_code=0,
            wall_seconds=389.0,
            cpu_seconds=700.0,
            peak_memory_bytes=1_300_000_000,
            results=found,
        ),
        job="evaluate",
    )
    log.at("15:31:04", saved(2, 268_000, "evaluate"), job="evaluate")
    log.start("15:31:04", "export", 4500)
    log.at(
        "15:33:50",
        JobCompleted(
            exit_code=0,
            wall_seconds=166.0,
            cpu_seconds=150.0,
            peak_memory_bytes=800_000_000,
            results=found,
        ),
        job="export",
    )
    log.at("15:34:10", saved(1, 134_000_000, "export"), job="export")
    log.at("15:34:10", QueueCompleted(owned_seconds=5318.0))
    return log


def failed() -> Log:
    """Retries, a timeout, blocked jobs, and hostile text."""
    config = configs.queue(
        configs.job("fetch", attempts=3, command="curl -fsS https://example.org/data.tar | tar x"),
        configs.job("clean", "fetch", command=f"echo '{EVIL}'"),
        configs.job(
            "train", "clean", attempts=2, command="python train.py --epochs 100", timeout=1200.0
        ),
        configs.job("evaluate", "train", attempts=3, command="python evaluate.py"),
        configs.job("export", "evaluate", command="python export.py"),
        configs.job("summary", "clean", command="python summary.py"),
        queue_name=f"Nightly {EVIL}",
        max_parallel=2,
        on_failure="continue",
    )
    log = Log()
    log.now = moment("14:00:00")
    log.add(*submission(config))
    log.at("14:00:01", owner())
    log.start("14:00:01", "fetch", 300)
    log.at(
        "14:00:31",
        again("14:00:31", 56, 30.0, 1, 3, 10.0, last_lines=("curl: (56) reset by peer",)),
        job="fetch",
    )
    log.start("14:00:41", "fetch", 301, 2)
    log.at("14:01:31", again("14:01:31", 56, 50.0, 2, 3, 30.0), job="fetch", attempt=2)
    log.start("14:02:01", "fetch", 302, 3)
    log.at(
        "14:05:00",
        JobCompleted(
            exit_code=0, wall_seconds=179.0, cpu_seconds=20.0, peak_memory_bytes=30_000_000
        ),
        job="fetch",
        attempt=3,
    )
    log.start("14:05:00", "clean", 303)
    log.at(
        "14:08:00",
        JobCompleted(
            exit_code=0, wall_seconds=180.0, cpu_seconds=170.0, peak_memory_bytes=900_000_000
        ),
        job="clean",
    )
    log.start("14:08:00", "train", 304)
    log.start("14:08:00", "summary", 305)
    log.at("14:09:10", JobCompleted(exit_code=0, wall_seconds=70.0), job="summary")
    log.at(
        "14:28:00",
        again("14:28:00", 124, 1200.0, 1, 2, 10.0, timed_out=True, last_lines=("Epoch 31/100",)),
        job="train",
    )
    log.start("14:28:10", "train", 306, 2)
    lines = (
        "Epoch 12/100  loss 0.412",
        "Epoch 13/100  loss 0.398",
        EVIL,
        "RuntimeError: CUDA out of memory. " + "x" * 300,
    )
    log.at(
        "14:36:00",
        JobFailed(
            exit_code=1,
            wall_seconds=470.0,
            cpu_seconds=900.0,
            peak_memory_bytes=12_000_000_000,
            why="no attempts left (2 of 2)",
            last_lines=lines,
        ),
        job="train",
        attempt=2,
    )
    log.at("14:36:00", JobBlocked(by="train"), job="evaluate")
    log.at("14:36:00", JobBlocked(by="train"), job="export")
    log.at("14:36:00", QueueFailed(reason="jobs", detail="train", owned_seconds=2159.0))
    return log


def unsaved() -> Log:
    """Every job has completed; the results of one are not saved."""
    config = configs.queue(configs.job("train", result_files=("model",)))
    log = Log()
    log.now = moment("14:00:00")
    log.add(*submission(config))
    log.at("14:00:01", owner())
    log.start("14:00:01", "train", 300)
    done = JobCompleted(exit_code=0, wall_seconds=9.0)
    log.at("14:00:10", done, job="train")
    log.at("14:00:12", ResultsUploadFailed(error="changed: /w/model"), job="train", attempt=1)
    log.at("14:00:12", QueueFailed(reason="results", detail="train"))
    return log


def machine(number: int) -> QueueStarted:
    """A runner on machine `number`."""
    kind = QueueStarted if number == 1 else QueueResumed
    return kind(
        instance_id=f"i-0123456789abcde{number:02}",
        hostname=f"ip-10-0-0-{number}",
        boot_id="b",
        version="0.1.0",
        owner=f"ana@ip-10-0-0-{number}",
        pid=1000,
        results_location="s3://spawn-results-us-east-1/queue-20260127-140532/",
    )


def two_machines() -> Log:
    """Interrupted on one machine, resumed on another hours later, with a job running."""
    log = samples.submitted(samples.PIPELINE, "02:00:00")
    log.at("02:00:02", machine(1))
    log.start("02:00:02", "preprocess", 500)
    log.at(
        "02:20:00",
        JobCompleted(
            exit_code=0, wall_seconds=1198.0, cpu_seconds=1100.0, peak_memory_bytes=500_000_000
        ),
        job="preprocess",
    )
    log.start("02:20:00", "train", 501)
    log.at(
        "03:05:00",
        JobInterrupted(cause="spot", exit_code=143, signal="SIGTERM", wall_seconds=2700.0),
        job="train",
    )
    log.at("03:05:01", QueueInterrupted(cause="spot", owned_seconds=3899.0))
    log.at("13:40:00", machine(2))
    log.start("13:40:05", "train", 601, 2)
    failure = JobFailed(
        exit_code=3,
        wall_seconds=300.0,
        why="no attempts left (1 of 1)",
        last_lines=("no such checkpoint",),
    )
    log.at("13:45:05", failure, job="train", attempt=2)
    log.at("13:45:05", JobBlocked(by="train"), job="evaluate")
    log.at("13:45:05", JobBlocked(by="train"), job="export")
    log.at("13:45:05", QueueFailed(reason="jobs", detail="train", owned_seconds=305.0))
    log.at(
        "13:50:00",
        QueueResumed(**{name: getattr(machine(2), name) for name in machine(2).__struct_fields__}),
    )
    log.at("13:50:00", JobReset(reason="retry", by="ana@laptop"), job="train")
    log.at("13:50:00", JobUnblocked(by="train"), job="evaluate")
    log.at("13:50:00", JobUnblocked(by="train"), job="export")
    log.at("13:50:30", RequestRefused(request="r1", why="no job has failed"))
    log.start("13:50:31", "train", 701, 3)
    return log


def foreign(text: str) -> Log:
    """A queue in which every text from outside spawn is `text`."""
    config = configs.queue(
        configs.job("a", command=text, result_files=("x",)),
        configs.job("b", command=text),
        configs.job("c", "b", command=text),
        queue_name=text,
        max_parallel=2,
        on_failure="continue",
    )
    log = Log()
    log.now = moment("14:00:00")
    log.add(*submission(config))
    them = QueueStarted(
        instance_id=text, hostname=text, boot_id=text, version=text, owner=text, pid=1,
        results_location=text,
    )  # fmt: skip
    log.at("14:00:00", them)
    log.start("14:00:01", "a", 1)
    log.start("14:00:01", "b", 2)
    found = Results(files=1, size=1, sha256="0" * 64)
    log.at("14:00:02", JobCompleted(exit_code=0, wall_seconds=1.0, results=found), job="a")
    log.at("14:00:02", ResultsUploadFailed(error=text, unmatched=(text,)), job="a")
    again_ = JobInterrupted(cause="lost", detail=text)
    log.at("14:00:03", again_, job="b")
    log.start("14:00:04", "b", 2, 2)
    log.at("14:00:05", QueueInterrupted(cause="signal", detail=text))
    log.at(
        "14:00:06", QueueResumed(**{name: getattr(them, name) for name in them.__struct_fields__})
    )
    log.at("14:00:07", RequestRefused(request=text, why=text))
    end = JobFailed(exit_code=1, signal=text, wall_seconds=1.0, why=text, last_lines=(text, text))
    log.at("14:00:08", end, job="b", attempt=2)
    log.at("14:00:08", JobBlocked(by="b"), job="c")
    log.at("14:00:09", JobReset(reason="retry", by=text), job="b")
    log.at("14:00:09", JobUnblocked(by="b"), job="c")
    slim = configs.queue(*config.jobs, queue_name=text, max_parallel=2, on_failure="continue")
    log.at(
        "14:00:09",
        QueueReconfigured(config=slim, jobs_total=3, config_sha256=text, changes=(text,)),
    )
    log.start("14:00:10", "b", 3, 3)
    log.at("14:00:11", end, job="b", attempt=3)
    log.at("14:00:11", JobBlocked(by="b"), job="c")
    log.at("14:00:12", QueueFailed(reason="jobs", detail=text))
    return log


def long() -> Log:
    """Names of the maximum length, and a job with thirty failed attempts and long output."""
    names = ["x" * 128, "y-" * 64]
    config = configs.queue(
        configs.job(names[0], attempts=30, command="z" * 3000, result_files=("w" * 300,)),
        configs.job(names[1], names[0]),
        queue_name="v" * 200,
    )
    log = Log()
    log.now = moment("14:00:00")
    log.add(*submission(config))
    log.at("14:00:01", owner())
    for attempt in range(1, 30):
        clock = f"14:{attempt:02}:00"
        log.start(clock, names[0], 1, attempt)
        more = {"last_lines": ("u" * 3000,)}
        log.at(clock, again(clock, 1, 1.0, attempt, 30, 0.0, **more), job=names[0], attempt=attempt)
    log.start("14:30:00", names[0], 1, 30)
    end = JobFailed(exit_code=1, wall_seconds=0.1, why="t" * 500, last_lines=("u" * 3000,) * 10)
    log.at("14:31:00", end, job=names[0], attempt=30)
    log.at("14:31:00", JobBlocked(by=names[0]), job=names[1])
    log.at("14:31:00", QueueFailed(reason="jobs", detail=names[0]))
    return log


def many(jobs: int = 300) -> Log:
    """Layers of jobs that run four at a time; some are retried."""
    chance = random.Random(7)
    names = [f"part-{number:04}" for number in range(jobs)]
    config = configs.queue(
        *(
            configs.job(
                name,
                *({names[chance.randrange(max(0, n - 40), n)] for _ in range(2)} if n > 7 else ()),
                attempts=3,
                command=f"python part.py {n}",
            )
            for n, name in enumerate(names)
        ),
        max_parallel=4,
    )
    needs = {job.job_id: job.depends_on for job in config.jobs}
    log = Log()
    log.now = moment("08:00:00")
    log.add(*submission(config))
    log.at("08:00:01", owner())
    start = moment("08:00:01")
    events: list[tuple[float, int, str, str, int, float]] = []
    free = [0.0] * 4
    ends: dict[str, float] = {}
    for _n, name in enumerate(names):
        ready = max((ends[need] for need in needs[name]), default=0.0)
        slot = min(range(4), key=lambda s: free[s])
        at = max(ready, free[slot])
        tries = 2 if chance.random() < 0.05 else 1
        for attempt in range(1, tries + 1):
            took = (5 + chance.expovariate(1 / 60)) * min(1.0, 600 / jobs)
            events.append((at, 1, name, "start", attempt, took))
            events.append(
                (at + took, 0, name, "end" if attempt == tries else "again", attempt, took)
            )
            at += took + (10 if attempt < tries else 0)
        ends[name] = at
        free[slot] = at
    for at, _, name, what, attempt, took in sorted(events):
        clock = f"{start + timedelta(seconds=at):%H:%M:%S.%f}"
        if what == "start":
            log.start(clock, name, 100, attempt)
        elif what == "end":
            log.at(
                clock,
                JobCompleted(
                    exit_code=0, wall_seconds=took, cpu_seconds=took, peak_memory_bytes=80_000_000
                ),
                job=name,
                attempt=attempt,
            )
        else:
            log.at(clock, again(clock, 1, took, attempt, 3, 10.0), job=name, attempt=attempt)
    log.at(f"{start + timedelta(seconds=max(ends.values()) + 1):%H:%M:%S}", QueueCompleted())
    return log
