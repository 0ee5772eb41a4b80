"""The queue of the kill campaign: anything that may be in progress at a process's death."""

import os
import select
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from msgspec import structs
from tests.support import warm
from tests.support.queues import Queue, World, job, retry

from spawn.core.config.parser import parse_config
from spawn.core.domain.events import JobInterrupted
from spawn.runner import runner_process as start_
from spawn.runner.runner_process import LogCommitted, RunnerProcess, RunRequest

EXECUTIONS = {
    "flaky": 3,
    "hopeless": 2,
    "slow": 2,
    "stubborn": 2,
    "killed": 2,
    **dict.fromkeys(
        ["first", "children", "daemon", "results", "reader", "folder", "collect", "wide-1"], 1
    ),
    **dict.fromkeys(["wide-2", "wide-3", "loud", "last"], 1),
    **dict.fromkeys(["blocked", "blocked-too", "blocked-last"], 0),
}
"""How often each of the twenty jobs runs, for any number of runner deaths."""

FAILED = {"hopeless"}
BLOCKED = {"blocked", "blocked-too", "blocked-last"}


def queue(world: World) -> Queue:
    """Twenty jobs, two at a time: they fail, have children, ignore TERM, produce results."""
    jobs = [
        job("first", "sleep 0.02"),
        job("flaky", "[ $JOB_ATTEMPT_OF_ITS_OWN -ge 3 ]", "first", retry=retry(3, "20ms")),
        job("children", "sleep 0.03 & sleep 0.05 & wait", "first"),
        job("daemon", "setsid sleep 61 & echo left one", "children"),
        job("hopeless", "echo no; exit 7", "first", retry=retry(2, "20ms")),
        job("blocked", "true", "hopeless"),
        job("blocked-too", "true", "blocked", "flaky"),
        job("results", "for n in 1 2 3; do echo $n > r$n; done", result_files=["r1", "r2", "r3"]),
        job("reader", "cat r1 r2 r3", "results"),
        job("folder", "mkdir -p d/e; echo x > d/e/x", "results", result_files=["d"]),
        job("collect", "cat d/e/x", "folder"),
        job(
            "stubborn",
            "trap '' TERM; [ $JOB_ATTEMPT_OF_ITS_OWN -ge 2 ] || while :; do nap; done",
            timeout="500ms",
            retry=retry(2, "20ms"),
        ),
        job(
            "slow", "[ $JOB_ATTEMPT_OF_ITS_OWN -ge 2 ] || sleep 9", timeout="500ms", retry=retry(2)
        ),
        job("killed", "[ $JOB_ATTEMPT_OF_ITS_OWN -ge 2 ] || kill -9 $$", retry=retry(2, "20ms")),
        *(job(f"wide-{number}", "sleep 0.01", "first") for number in (1, 2, 3)),
        job("loud", "seq 20000", "wide-1", "wide-2", "wide-3"),
        job("last", "true", "loud", "reader", "collect"),
        job("blocked-last", "true", "blocked-too", "last"),
    ]
    own = (
        'JOB_ATTEMPT_OF_ITS_OWN=0; while read -r line; do case $line in "q $JOB_ID "*) '
        "JOB_ATTEMPT_OF_ITS_OWN=$((JOB_ATTEMPT_OF_ITS_OWN + 1));; esac; "
        f"done <{world.truth}; "
    )
    for each in jobs:
        each["command"] = own + each["command"]
    return world.queue(*jobs, max_parallel=2, on_failure="continue", kill_grace="50ms")


def start(queue: Queue, changes: Mapping[str, Any] | None = None, **environ: str) -> RunnerProcess:
    """Start a runner of the queue, new or existing, and no other process.

    Args:
        changes: Changed fields of its order.
        environ: Additional environment variables.
    """
    world = queue.world
    config = parse_config(queue.file.read_bytes(), base_directory=str(world.folder), name="q.json")
    order = RunRequest(
        task="or_resume",
        queue_id=queue.queue_id,
        state=str(world.roots.state),
        log=str(world.roots.log),
        cache=str(world.roots.cache),
        config=config,
        file="q.json",
    )
    environment = patch.dict(os.environ, {**world.environ, **environ}, clear=True)
    with environment, patch.object(start_, "subprocess", warm.Subprocess):
        return RunnerProcess(structs.replace(order, **(changes or {})))


def wait_commits(runner: RunnerProcess, count: int) -> int:
    """Wait until a runner has reported `count` commits or has ended; returns their number."""
    told = 0
    while told < count and (news := runner.messages()) is not None:
        told += sum(isinstance(each, LogCommitted) for each in news)
    return told


def kill_after(runner: RunnerProcess, seconds: float) -> bool:
    """Kill a runner after `seconds`; returns whether it was still running."""
    process = os.pidfd_open(runner.pid)
    try:
        ended, _, _ = select.select([process], [], [], seconds)
        if not ended:
            signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)
    runner.wait()
    os.close(runner.fileno())
    return not ended


def run_to_end(queue: Queue) -> None:
    """Run the queue to its end with an undisturbed runner."""
    assert queue.resume().code == 1, "one of the jobs fails"


def check(queue: Queue, *causes: str, far: bool = False) -> None:
    """Check that every job ran as often as without any kill, and ended as expected.

    Args:
        causes: Allowed causes of interruptions. An attempt that ran and was interrupted is an
            additional run, or replaces a run: the commands count their runs.
        far: Whether results are saved in a bucket, not on this machine.
    """
    ended = {job_id: job.state for job_id, job in queue.state.jobs.items()}
    assert {job_id for job_id, state in ended.items() if state == "failed"} == FAILED
    assert {job_id for job_id, state in ended.items() if state == "blocked"} == BLOCKED
    assert set(ended.values()) == {"completed", "failed", "blocked"}
    executed = [job_id for job_id, _ in queue.executed()]
    interrupted = {
        (event.job_id, event.attempt): event.data.cause
        for event in queue.events()
        if isinstance(event.data, JobInterrupted)
    }
    assert set(interrupted.values()) <= set(causes), interrupted
    again = [job_id for job_id, attempt in queue.executed() if (job_id, attempt) in interrupted]
    for job_id, times in EXECUTIONS.items():
        more = executed.count(job_id) - times
        assert 0 <= more <= again.count(job_id), f"{job_id}\n{queue.describe()}"
    if far:
        return
    saved = Path(queue.world.roots.objects / "q" / "results" / "attempts")
    (attempt,) = [folder for folder in saved.iterdir() if (folder / "manifest.json").exists()]
    assert sorted(file.name for file in (attempt / "results").iterdir()) == ["r1", "r2", "r3"]
