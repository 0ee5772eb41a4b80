"""A runner dies while it claims, ships, packs or hands back: one log, wherever it is resumed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.crash import campaign
from tests.support import warm
from tests.support.machines import Machines, check_replica
from tests.support.queues import Queue, World, job, retry
from tests.support.soak import always_then_gate

from spawn.store.failpoints import NAMES, VARIABLE

POINTS = [
    ("replica.claiming", 1),
    ("replica.claimed", 1),
    ("replica.shipping", 3),
    ("replica.shipped", 2),
    ("replica.packing", 1),
    ("replica.packed", 1),
    ("replica.draining", 1),
]
"""Each failpoint, and the process that dies there."""
MORE = [(f"replica.{what}", count) for what in ("shipping", "shipped") for count in (1, 2, 4, 5)]

LATE = ("replica.packing", "replica.packed", "replica.draining")
"""Failpoints that the second machine reaches only if the first has not."""

points = pytest.mark.parametrize(("name", "count"), always_then_gate(POINTS, MORE))


def _queue(world: World, name: str = "") -> Queue:
    """A queue that cannot end before its runner dies.

    For a failpoint in shipping, each job of the chain waits for one more segment than the one
    before. For one in packing, the chain lasts until enough segments for a pack are shipped.
    """
    seconds = 0.35 if warm.cold else 0.15
    links = 14 if "pack" in name else 4
    commands = [f"sleep {seconds}"] * links
    if name in ("replica.shipping", "replica.shipped"):
        commands = [_until_reached(_counter(world), n + 2) for n in range(links)]
    jobs = [
        job("a", "true"),
        job("b", "[ -e tried ] || ! touch tried", "a", retry=retry(3, "50ms")),
        *(job(f"c{n}", each, f"c{n - 1}" if n else "b") for n, each in enumerate(commands)),
        job("d", "true", f"c{links - 1}"),
    ]
    return world.queue(*jobs)


def _until_reached(counter: Path, count: int) -> str:
    """Return a command that waits until the failpoint was reached `count` times, or for `go`."""
    reached = f"{{ read -r dots; [ ${{#dots}} -ge {count} ]; }} <{counter}"
    return f"until [ -e go ] || {reached}; do nap; done"


def _counter(world: World) -> Path:
    """File with one byte for each time that a machine reached the failpoint."""
    return world.folder / f"{world.home.name}-counter"


def _ship_often(machines: Machines) -> None:
    """Ship segments every 0.1 s instead of 0.5 s, and pack four of them instead of eight."""
    machines.override_constant("spawn.runner.replication.replicator.SEGMENT_SECONDS", 0.1)
    machines.override_constant("spawn.store.replica.pack.SEGMENTS", 4)


def _dies(machines: Machines, queue: Queue, name: str, count: int, **order: Any) -> None:
    """Let a runner die at a failpoint; commands that wait for it do not wait in the next runner."""
    counter = _counter(queue.world)
    order["bucket"] = machines.bucket
    runner = campaign.start(queue, order, **{VARIABLE: f"{name}:{count}:{counter}"})
    assert campaign.kill_after(runner, 60) is False, "it died at the failpoint"
    assert counter.stat().st_size == count
    queue.world.release("go")


def test_every_failpoint_of_the_replica_is_tested() -> None:
    named = [name for name in NAMES if name.startswith("replica.")]
    assert named == [name for name, _ in POINTS]


@points
def test_a_runner_that_dies_during_replication_loses_nothing_on_its_machine(
    machines: Machines, name: str, count: int
) -> None:
    _ship_often(machines)
    a = machines.machine("a")
    queue = _queue(a, name)
    _dies(machines, queue, name, count)
    done = queue.resume()
    assert done.code == 0, done.err
    ran = Counter(job_id for job_id, _ in queue.executed())
    assert ran == {**dict.fromkeys(queue.state.jobs, 1), "b": 2}, "each as without the death"
    check_replica(queue, machines.remote())


@pytest.mark.gate
@points
def test_machines_that_die_during_replication_are_taken_over_in_turn(
    machines: Machines, name: str, count: int
) -> None:
    _ship_often(machines)
    a, b, c = machines.machine("a"), machines.machine("b"), machines.machine("c")
    first = _queue(a, name)
    _dies(machines, first, *(("runner.ended", 3) if name in LATE else (name, count)))
    machines.lose(a)
    second = machines.queue_on(b, first)
    completed = _completed(machines)
    _dies(machines, second, name, 1, task="resume", from_s3=True, force=True)
    assert not completed & _executed(second), "completed, and run again"
    machines.lose(b)
    third = machines.queue_on(c, first)
    completed = _completed(machines)
    done = c.spawn("resume", "q", "--from-s3", "--force")
    if name == "replica.draining":
        assert (done.code, done.err) == (
            1,
            "Error: queue q has completed; nothing is left to do\n"
            "Hint: `spawn queue results q` downloads its results\n",
        )
        assert completed == {each["job_id"] for each in first.config["jobs"]}
        return
    assert done.code == 0, done.err
    assert not completed & _executed(third), "completed, and run again"
    assert third.state.counts["completed"] == len(third.state.jobs)
    check_replica(third, machines.remote())


def _completed(machines: Machines) -> set[str]:
    """Return the jobs whose completion is in the store."""
    events = machines.remote().events()
    return {event["job_id"] for event in events if event["type"] == "JobCompleted"}


def _executed(queue: Queue) -> set[str]:
    return {job_id for job_id, _ in queue.executed()}
