"""A machine is lost at any moment with everything on it; another machine resumes from the store."""

import json
import os
import random
import signal
import time
from typing import Any

import pytest
from tests.crash import campaign
from tests.support.machines import Machines, check_replica, log_of
from tests.support.queues import Queue, World, job, retry, until
from tests.support.soak import gate_all_but_first, scaled
from tests.support.wait import elapsed

from spawn.core.values.timestamps import parse_timestamp

SEEDS = scaled(4, 100)
"""Number of machines that are lost."""
LOSSES = scaled(3, 5)
"""Number of machines that a queue with indirect dependencies loses in turn."""
RECOVERY_SECONDS = 1.0
"""Events older than this at the loss are in the store, plus the duration of a slow request."""
LIFE_SECONDS = 3.0
"""Maximum life of a machine; the queue takes longer."""


def _queue(world: World, durability: str) -> Queue:
    links = {"local": 15, "s3": 6}[durability]  # each waits for a segment
    jobs = [
        job("first", "sleep 0.1"),
        job("flaky", "[ $JOB_ATTEMPT -ge 3 ]", "first", retry=retry(5, "200ms")),
        *(job(f"wide-{n}", f"sleep 0.{n}", "first") for n in range(1, 5)),
        *(
            job(f"chain-{n}", "sleep 0.15", f"chain-{n - 1}" if n else "first")
            for n in range(links)
        ),
        job("last", "true", f"chain-{links - 1}", "flaky", *(f"wide-{n}" for n in range(1, 5))),
    ]
    return world.queue(*jobs, max_parallel=2, durability=durability)


def _lose(machines: Machines, world: World, queue: Queue) -> tuple[list[bytes], float]:
    """Lose a machine; returns the log that is lost with it, and the time."""
    os.kill(queue.runner(), signal.SIGKILL)
    at = time.time()
    machines.kill(world)
    log = log_of(queue.paths.events)
    machines.lose(world)
    return log, at


@pytest.mark.parametrize("seed", gate_all_but_first(range(SEEDS)))
def test_a_machine_lost_at_a_random_moment_loses_at_most_a_second_of_events(
    machines: Machines, seed: int
) -> None:
    chance = random.Random(seed)
    durability = ("local", "s3")[seed % 2]
    a, b = machines.machine("a"), machines.machine("b")
    here = _queue(a, durability)
    runner = campaign.start(here, {"bucket": machines.bucket})
    here.wait_for("QueueStarted")
    here.until(elapsed(chance.uniform(0.0, LIFE_SECONDS)), "it lives for so long")
    log, gone = _lose(machines, a, here)
    campaign.kill_after(runner, 10)
    there = machines.remote()
    kept = there.lines()
    assert kept == log[: len(kept)], "one log"
    lost = [json.loads(line.split(b" ", 1)[1]) for line in log[len(kept) :]]
    lag = max((gone - parse_timestamp(event["at"]).timestamp() for event in lost), default=0.0)
    slow = max((put.seconds for put in machines.proxy.asked), default=0.0)
    lags = _lags(machines, there.events())
    print(
        f"seed {seed}, {durability}: {len(lost)} of {len(log)} events lost, {lag:.2f} s old; "
        f"on their way at most {max(lags, default=0):.2f} s; slowest request {slow:.2f} s"
    )
    assert lag <= RECOVERY_SECONDS + slow
    completed = {e["job_id"] for e in there.events() if e["type"] == "JobCompleted"}
    if durability == "s3":
        needs = {each["job_id"]: each["depends_on"] for each in here.config["jobs"]}
        for job_id, _ in here.executed():
            assert set(needs[job_id]) <= completed, f"{job_id} depends on a lost event"
    b.override_constant(
        "spawn.runner.replication.replicator.SEGMENT_SECONDS", 0.1
    )  # its delays are not measured
    done = b.spawn("resume", "q", "--from-s3", "--force")
    assert done.code == 0, done.err
    after = machines.queue_on(b, here)
    assert not completed & {job_id for job_id, _ in after.executed()}, "completed, and run again"
    assert after.state.counts["completed"] == len(after.state.jobs)
    check_replica(after, there)


def _lags(machines: Machines, events: list[dict[str, Any]]) -> list[float]:
    """Return the replication delay of each event."""
    arrived = machines.arrivals()
    return [
        arrived[event["seq"]] - parse_timestamp(event["at"]).timestamp()
        for event in events
        if event["seq"] in arrived
    ]


def _far(world: World, durability: str) -> Queue:
    """Jobs that each read the results of all earlier ones, most of them transitively; every third
    changes a file of those in place. The last one waits."""
    links = 8
    made = [f"f-{n}" for n in range(links)]

    def reads(n: int) -> str:
        marks = "".join(str(each) for each in range(0, n, 3))
        trail = f'[ "$(cat trail)" = {marks} ]' if n else "true"
        return " && ".join([trail, *(f"grep -qx {each} {made[each]}" for each in range(n))])

    jobs = []
    for n in range(links):
        trail = f" && printf {n} >> trail" * (n % 3 == 0)
        command = f"{reads(n)} && sleep 0.1 && echo {n} > {made[n]}{trail}"
        results = [made[n], *["trail"] * (n % 3 == 0)]
        needs = [f"j{n - 1}"] if n else []
        jobs.append(job(f"j{n}", command, *needs, result_files=results))
    jobs.append(job("between", reads(links), f"j{links - 1}"))
    jobs.append(job("last", f"{until('go')}; {reads(links)}", "between"))
    return world.queue(*jobs, durability=durability)


def _progress(queue: Queue, jobs: int) -> None:
    """Wait until `jobs` jobs have completed on this machine, or the last one runs."""
    before = max(e.seq for e in queue.events() if e.type in ("QueueStarted", "QueueResumed"))

    def done() -> bool:
        new = [event for event in queue.events() if event.seq > before]
        completed = sum(event.type == "JobCompleted" for event in new)
        last = any(event.type == "JobStarted" and event.job_id == "last" for event in new)
        return completed >= jobs or last

    queue.until(done, f"{jobs} jobs have completed")


@pytest.mark.parametrize("seed", range(scaled(1, 5)))
def test_after_several_lost_machines_each_job_finds_the_results_of_its_ancestors(
    machines: Machines, seed: int
) -> None:
    """None of the losses counts as a loss of the running job."""
    chance = random.Random(seed)
    machines.override_constant("spawn.runner.replication.replicator.SEGMENT_SECONDS", 0.1)
    durability = ("local", "s3")[seed % 2]
    here = _far(machines.machine("m0"), durability)
    here.start()
    here.wait_for("QueueStarted")
    for number in range(1, LOSSES + 1):
        _progress(here, chance.randint(0, 3))
        here.until(elapsed(chance.uniform(0.0, 0.5)), "it lives for so long")
        machines.lose(here.world)
        for left in here.world.work.iterdir():
            left.unlink()
        kept = machines.remote().events()
        saved = {event["job_id"] for event in kept if event["type"] == "ResultsUploaded"}
        here = machines.queue_on(machines.machine(f"m{number}"), here)
        here.world.start("resume", "q", "--from-s3", "--force")
        owned = [event for event in kept if event["type"] == "QueueResumed"]
        here.wait_for("QueueResumed", count=len(owned) + 1)
        print(f"seed {seed}, {durability}, loss {number}: {len(saved)} results were saved")
    here.world.release("go")
    here.wait_for("QueueCompleted")
    here.wait_idle()
    failed = [event.job_id for event in here.events() if event.type == "JobFailed"]
    assert not failed
    assert not saved & {job_id for job_id, _ in here.executed()}, "saved, and run again"
    check_replica(here, machines.remote())
