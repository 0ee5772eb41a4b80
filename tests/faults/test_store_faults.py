"""The object store fails in every way; the queue continues and loses nothing."""

from contextlib import ExitStack
from typing import Any

import pytest
from tests.support import warm
from tests.support.machines import Machines, check_replica
from tests.support.proxy import WRITES, Fault
from tests.support.queues import Queue, World, job, retry, until
from tests.support.soak import scaled
from tests.support.wait import elapsed

from spawn.core.values.timestamps import parse_timestamp
from spawn.store.log import replica_progress

LONG = scaled(12, 180) if warm.cold else 3
"""Duration of the long outage, in seconds: several pauses between tries."""
LONGEST_PAUSE = 0.5
"""Longest pause between tries in these tests, in seconds; the product's pauses grow to 20 s."""
SEEDS = scaled(2, 100)
"""Number of fault mixes."""
LATE_SECONDS = 0.7
MIXED_SECONDS = 600.0
"""Enough for pauses that double when one in three requests fails, a few times in a row."""
RECOVERED_SECONDS = 60.0
"""Time from the end of a fault until the store has the log: several longest pauses."""


def _queue(world: World, **fields: Any) -> Queue:
    """Twelve jobs that depend on a waiting one; one of them is retried."""
    jobs = [
        job("gate", until("go")),
        *(job(f"wide-{n}", f"echo {n}", "gate") for n in range(4)),
        job("flaky", "[ $JOB_ATTEMPT = 2 ]", "gate", retry=retry(2, "50ms")),
        job("middle", "seq 100", "flaky", "wide-0", "wide-1"),
        *(job(f"later-{n}", "true", "middle") for n in range(3)),
        job("join", "true", "later-0", "later-1", "later-2"),
        job("last", "true", "join", "wide-2", "wide-3"),
    ]
    return world.queue(*jobs, max_parallel=2, **fields)


def _pause_briefly(machines: Machines) -> None:
    """Let the pauses between tries double up to `LONGEST_PAUSE`."""
    machines.override_constant("spawn.runner.replication.replicator.LONGEST_PAUSE", LONGEST_PAUSE)
    machines.override_constant("spawn.runner.transfers.publisher.FIRST_PAUSE", 0.1)
    machines.override_constant("spawn.runner.transfers.publisher.LONGEST_PAUSE", LONGEST_PAUSE)


def _all_are_done(queue: Queue) -> bool:
    return queue.events() != [] and queue.state.counts["completed"] == len(queue.state.jobs)


def _seconds(queue: Queue) -> float:
    """Return the time from the opening of the gate to the last completion, from the log."""
    (begin,), (end,) = (
        queue.job_events("gate", "JobCompleted"),
        queue.job_events("last", "JobCompleted"),
    )
    return (parse_timestamp(end.at) - parse_timestamp(begin.at)).total_seconds()


def _few_writes(machines: Machines) -> None:
    """Check that at most two segments per second were written."""
    times = [asked.at for asked in machines.proxy.puts("_spawn/log/")]
    assert len(times) <= 2 * (times[-1] - times[0]) + 2


@pytest.mark.parametrize("fault", ["500", "503", "403", "reset", "swallow", "lose", "late"])
def test_jobs_continue_during_store_failures_and_are_all_replicated_later(
    machines: Machines, fault: Fault
) -> None:
    _pause_briefly(machines)
    a = machines.machine()
    queue = _queue(a)
    process = queue.start()
    queue.wait_executing("gate")
    queue.until(lambda: len(machines.remote().events()) == 3, "the store has the start")
    methods = WRITES if fault == "lose" else ()
    with machines.proxy.fault(fault, *methods, seconds=LATE_SECONDS) as rule:
        a.release("go")
        queue.until(lambda: _all_are_done(queue), "all jobs are done")
        queue.until(lambda: rule.hits >= 3, "the fault was met")
        if fault not in ("late", "lose"):
            assert len(machines.remote().events()) == 3
    _, err = process.communicate(timeout=120)
    print(f"{fault}: jobs in {_seconds(queue):.2f} s")
    assert process.returncode == 0, err
    check_replica(queue, machines.remote())
    _few_writes(machines)


def test_a_long_outage_is_reported_and_the_replica_catches_up(machines: Machines) -> None:
    _pause_briefly(machines)
    a = machines.machine()
    queue = _queue(a)
    process = queue.start()
    queue.wait_executing("gate")
    queue.until(lambda: len(machines.remote().events()) == 3, "the store has the start")
    with machines.proxy.outage():
        over = elapsed(LONG)
        a.release("go")
        queue.until(lambda: _all_are_done(queue), "all jobs are done")
        queue.until(over, "it lasts", LONG + 10)
    queue.until(
        lambda: len(machines.remote().events()) == len(queue.events()),
        "the store has caught up",
        RECOVERED_SECONDS,
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "the log cannot be copied to s3://" in err
    assert "jobs keep running" in err
    assert "again" in err
    check_replica(queue, machines.remote())
    _few_writes(machines)


@pytest.mark.parametrize("flags", [[], ["--offline"]], ids=["", "offline"])
def test_an_owner_with_an_overdue_lease_renewal_starts_no_job(
    machines: Machines, flags: list[str]
) -> None:
    _pause_briefly(machines)
    machines.override_constant("spawn.runner.replication.replicator.RENEW_SECONDS", 0.2)
    machines.override_constant("spawn.runner.replication.replicator.TTL_SECONDS", 1.0)
    machines.override_constant("spawn.runner.loop.epoch.START_SECONDS", 1.0)
    a = machines.machine()
    queue = a.queue(job("first", until("go")), job("second", until("end"), "first"))
    process = queue.start(*flags)
    queue.wait_executing("first")
    with machines.proxy.fault("503", "PUT", key="_spawn/lease"):

        def lapsed() -> bool:
            hint = replica_progress.load_progress(queue.paths.folder)
            return hint is not None and hint.lapsed and hint.kind == "unreachable"

        queue.until(lapsed, "the lease has lapsed")
        a.release("go")
        queue.wait_for("JobCompleted", "first")
        if flags:
            queue.wait_executing("second")
        else:
            queue.until(lambda: "no job starts until the lease" in queue.describe(), "it says so")
            assert queue.types("second") == []
    queue.wait_executing("second")
    queue.until(lambda: not lapsed(), "the lease is renewed")
    a.release("end")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    check_replica(queue, machines.remote())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_mixed_faults_on_all_requests_lose_nothing(machines: Machines, seed: int) -> None:
    _pause_briefly(machines)
    a = machines.machine()
    queue = _queue(a)
    a.release("go")
    machines.proxy.seed(seed)
    with ExitStack() as faults:
        for fault in ("500", "503", "reset"):
            faults.enter_context(machines.proxy.fault(fault, share=0.05))
        faults.enter_context(machines.proxy.fault("lose", *WRITES, share=0.15))
        faults.enter_context(machines.proxy.fault("late", share=0.2, seconds=0.3))
        process = queue.start()
        _, err = process.communicate(timeout=MIXED_SECONDS)
        hits = sum(asked.fault != "" for asked in machines.proxy.asked)
    assert process.returncode == 0, err
    assert hits > 3, "there were faults"
    check_replica(queue, machines.remote())
    _few_writes(machines)
