"""Two machines and one queue: which may take it over, and what happens to a late owner."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.machines import Machines, check_replica, log_of
from tests.support.processes import attempt_processes, is_alive
from tests.support.proxy import Proxy
from tests.support.queues import Queue, World, job, retry, until

from spawn.store import queues
from spawn.store.log.verify import verify
from spawn.store.replica.lease import RENEW_SECONDS

LEASE = r"_spawn/lease\.json$"
OWNED = re.compile(r"_spawn/(lease|log/)")
"""Keys that only the owner may write; packs and output are harmless copies."""


def _take(world: World, *flags: str) -> tuple[int, str, str]:
    done = world.spawn("resume", "q", "--from-s3", *flags)
    return done.code, done.out, done.err


def _begun(world: World, **fields: object) -> Queue:
    """A queue whose second job runs, fully replicated."""
    return world.queue(
        job("first", "true"),
        job("second", f"trap '' TERM; {until('go')}", "first"),
        job("third", "true", "second"),
        **fields,
    )


def _in_store(machines: Machines, queue: Queue) -> None:
    queue.until(
        lambda: len(machines.remote().events()) == len(queue.events()), "the store has the log"
    )


@pytest.mark.parametrize("renewals", [0, 1])
def test_a_runner_suspended_during_a_takeover_stops_at_its_first_renewal(
    machines: Machines, renewals: int
) -> None:
    """The new owner renews its lease `renewals` times before the old one wakes: with 1, the
    old one's own renewal is overdue."""
    assert RENEW_SECONDS < 15, "ARCHITECTURE.md promises 15 s, which tests/sim checks"
    with machines.separate_proxy() as way:
        _sleep_through_a_takeover(machines, way, renewals)


def _sleep_through_a_takeover(machines: Machines, way: Proxy, renewals: int) -> None:
    machines.override_constant("spawn.runner.replication.replicator.RENEW_SECONDS", 2.0)
    machines.override_constant("spawn.runner.loop.queue_loop.FENCED_GRACE", 1.0)
    a, b = machines.machine("a", way), machines.machine("b")
    here = _begun(a)
    process = here.start()
    started = here.wait_executing("second")
    _in_store(machines, here)
    runner = here.runner()
    os.kill(runner, signal.SIGSTOP)
    code, _, err = _take(b)
    assert code == 1
    assert "queue q is owned by" in err
    assert "s ago" in err
    assert "--force" in err
    there = machines.queue_on(b, here)
    after = b.start("resume", "q", "--from-s3", "--force")
    again = there.wait_executing("second", 2)
    there.until(lambda: len(machines.proxy.puts(LEASE)) > renewals, "the new owner renews")
    assert is_alive(started.pid), "the old owner does not know yet"
    before = len(way.asked)
    os.kill(runner, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    tries = [e for e in way.asked[before:] if e.method == "PUT" and OWNED.search(e.key)]
    assert [(e.key, e.status) for e in tries] == [("q/_spawn/lease.json", 412)]
    assert process.returncode == 1
    assert "another runner owns the queue; the local folder is kept as" in err
    assert attempt_processes(started) == [], "its job is dead"
    assert attempt_processes(again), "the other's is alive"
    (kept,) = [each.folder for each in queues.list_put_aside(a.roots, "q")]
    assert kept.name == "q.fenced-1"
    assert not here.paths.folder.exists()
    told = verify(kept / "events.db", "q").state
    assert (told.state, told.reason) == ("interrupted", "fenced")
    a.release("go")
    after.communicate(timeout=40)
    assert after.returncode == 0
    assert there.executed() == [("second", 2), ("third", 1)]
    check_replica(there, machines.remote())


@pytest.mark.cold
def test_a_gracefully_stopped_queue_is_taken_over_without_force(machines: Machines) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _begun(a, kill_grace="1s")
    here.start()
    here.wait_executing("second")
    here.stop()
    assert machines.remote().lease["handed_back"] is True
    there = machines.queue_on(b, here)
    a.release("go")
    code, _, err = _take(b)
    assert code == 0, err
    assert there.executed() == [("second", 2), ("third", 1)]
    check_replica(there, machines.remote())


@contextmanager
def _later(machines: Machines, seconds: float) -> Iterator[None]:
    """Move the server's clock forward for readers of the lease."""
    with machines.proxy.fault("ahead", "GET", key=r"lease\.json$", seconds=seconds):
        yield


def test_an_expired_lease_is_taken_without_force_if_no_job_was_running(
    machines: Machines,
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = a.queue(
        job("first", "exit 9", retry=retry(2, "1h")),
        job("second", "true", "first"),
    )
    here.detach()
    here.wait_for("JobRetryScheduled", "first")
    _in_store(machines, here)
    machines.lose(a)
    there = machines.queue_on(b, here)
    with _later(machines, 50):
        code, _, err = _take(b)
        assert (code, "owned by" in err) == (1, True), "not expired yet"
        assert not there.paths.events.exists(), "a rejected takeover leaves no file"
    with _later(machines, 62):
        code, _, err = _take(b, "--detach")
        assert code == 0, err
    there.wait_for("QueueResumed")
    there.stop()
    check_replica(there, machines.remote())


def test_an_expired_lease_needs_force_while_a_job_may_be_running(
    machines: Machines,
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _begun(a)
    here.detach()
    here.wait_executing("second")
    _in_store(machines, here)
    machines.lose(a)
    there = machines.queue_on(b, here)
    with _later(machines, 300):
        code, _, err = _take(b)
        assert code == 1
        assert "queue q may still be running on" in err
        assert "job second is running there; its lease was renewed 30" in err
        assert "--force" in err
        assert not there.paths.events.exists()
        a.release("go")
        code, _, err = _take(b, "--force")
    assert code == 0, err
    assert there.data("second", "JobInterrupted").cause == "fenced"
    assert "it ran on" in there.data("second", "JobInterrupted").detail
    assert there.executed() == [("second", 2), ("third", 1)]
    check_replica(there, machines.remote())


def _each_for_itself(world: World) -> Queue:
    """A queue whose jobs wait for a file of their own machine."""
    mine = "until [ -e $JOB_ID-${SPAWN_HOME##*/} ]; do nap; done"
    return world.queue(
        job("first", mine), job("second", mine, "first"), job("third", mine, "second")
    )


def test_a_disconnected_owner_that_continued_is_fenced_on_reconnection(
    machines: Machines,
) -> None:
    with machines.separate_proxy() as way:
        a, b = machines.machine("a", way), machines.machine("b")
        here = _each_for_itself(a)
        process = here.start()
        here.wait_executing("first")
        _in_store(machines, here)
        way.down()
        a.release("first-a")
        started = here.wait_executing("second")
        there = machines.queue_on(b, here)
        after = b.start("resume", "q", "--from-s3", "--force")
        there.wait_executing("first", 2)
        b.release("first-b")
        again = there.wait_executing("second")
        way.up()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another runner owns the queue" in err
    assert attempt_processes(started) == []
    assert attempt_processes(again)
    (kept,) = [each.folder for each in queues.list_put_aside(a.roots, "q")]
    lines = log_of(kept / "events.db")
    theirs = machines.remote().lines()
    assert lines[:3] == theirs[:3]
    assert lines[3] != theirs[3], "the old owner continued its own log"
    assert verify(kept / "events.db", "q").state.reason == "fenced"
    b.release("second-b")
    b.release("third-b")
    after.communicate(timeout=40)
    assert after.returncode == 0
    assert there.executed() == [("first", 2), ("second", 1), ("third", 1)]
    check_replica(there, machines.remote())


def _kill_only_runner(queue: Queue) -> None:
    """Kill the runner; its job continues."""
    os.kill(queue.runner(), signal.SIGKILL)
    queue.wait_idle()


@pytest.mark.parametrize("alive", [True, False], ids=["at work", "done"])
def test_a_previous_owner_ends_its_job_and_reports_the_takeover(
    machines: Machines, alive: bool
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _each_for_itself(a)
    here.detach()
    started = here.wait_executing("first")
    _in_store(machines, here)
    _kill_only_runner(here)
    there = machines.queue_on(b, here)
    after = b.start("resume", "q", "--from-s3", "--force")
    there.wait_executing("first", 2)
    if not alive:
        for name in ("first-b", "second-b", "third-b"):
            b.release(name)
        after.communicate(timeout=40)
    done = a.spawn("resume", "q")
    assert done.code == 1
    if alive:
        assert "queue q is owned by" in done.err
    else:
        assert "nothing is left to do" in done.err
    assert attempt_processes(started) == [], "its job is dead"
    if alive:
        for name in ("first-b", "second-b", "third-b"):
            b.release(name)
        after.communicate(timeout=40)
    assert after.returncode == 0
    check_replica(there, machines.remote())


def test_a_previous_owner_with_unshipped_events_has_its_folder_set_aside(
    machines: Machines,
) -> None:
    with machines.separate_proxy() as way:
        a, b = machines.machine("a", way), machines.machine("b")
        here = _each_for_itself(a)
        here.detach()
        here.wait_executing("first")
        _in_store(machines, here)
        way.down()
        a.release("first-a")
        started = here.wait_executing("second")
        _kill_only_runner(here)
        there = machines.queue_on(b, here)
        after = b.start("resume", "q", "--from-s3", "--force")
        there.wait_executing("first", 2)
        way.up()
        done = a.spawn("resume", "q")
    assert done.code == 1
    assert "another runner owns the queue; the local folder is kept as" in done.err
    assert attempt_processes(started) == []
    (kept,) = [each.folder for each in queues.list_put_aside(a.roots, "q")]
    assert verify(kept / "events.db", "q").state.reason == "fenced"
    for name in ("first-b", "second-b", "third-b"):
        b.release(name)
    after.communicate(timeout=40)
    assert after.returncode == 0
    check_replica(there, machines.remote())


def test_one_of_two_concurrent_takeovers_succeeds(
    machines: Machines,
) -> None:
    a = machines.machine("a")
    here = _each_for_itself(a)
    here.detach()
    here.wait_executing("first")
    _in_store(machines, here)
    machines.lose(a)
    both = [machines.machine("b"), machines.machine("c")]
    on = [machines.queue_on(world, here) for world in both]
    with machines.proxy.fault("hold", "PUT", key="_spawn/") as rule:
        takers = [world.start("resume", "q", "--from-s3", "--force") for world in both]
        on[0].until(lambda: rule.hits == 2, "both claim it")
    for job_id in ("first", "second", "third"):
        for world in both:
            world.release(f"{job_id}-{world.home.name}")
    told = [taker.communicate(timeout=60) for taker in takers]
    said = [f"{t.returncode} {out}{err}" for t, (out, err) in zip(takers, told, strict=True)]
    assert sorted(taker.returncode for taker in takers) == [0, 1], said
    (winner,) = [queue for queue, taker in zip(on, takers, strict=True) if taker.returncode == 0]
    (err,) = [err for (_, err), taker in zip(told, takers, strict=True) if taker.returncode == 1]
    assert "queue q is owned by" in err or "nothing is left to do" in err
    assert winner.executed() == [("first", 2), ("second", 1), ("third", 1)]
    check_replica(winner, machines.remote())


def test_a_queue_that_ended_before_a_later_claim_has_completed(
    machines: Machines,
) -> None:
    with machines.separate_proxy() as way:
        a = machines.machine("a", way)
        here = a.queue(job("first", until("go")))
        process = here.start()
        here.wait_executing("first")
        _in_store(machines, here)
        with way.fault("hold", "PUT", key="lease") as rule:
            a.release("go")
            here.wait_for("QueueCompleted")
            here.until(lambda: rule.hits > 0, "it hands the queue back")
            lease = machines.remote().lease
            machines.remote().write("_spawn/lease.json", {**lease, "epoch": 2, "nonce": "other"})
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert queues.list_put_aside(a.roots, "q") == []
    check_replica(here, machines.remote())


def test_takeovers_do_not_count_as_losses_of_the_running_job(machines: Machines) -> None:
    a = machines.machine("a")
    here = _begun(a)
    here.detach()
    here.wait_executing("second")
    for attempt, name in enumerate("bcd", 2):
        _in_store(machines, here)
        machines.lose(here.world)
        world = machines.machine(name)
        here = machines.queue_on(world, here)
        code, _, err = _take(world, "--force", "--detach")
        assert code == 0, err
        here.wait_executing("second", attempt)
    a.release("go")
    here.wait_for("QueueCompleted")
    causes = [event.data.cause for event in here.job_events("second", "JobInterrupted")]
    assert causes == ["fenced"] * 3


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_a_queue_with_an_unshipped_end_resumes_on_its_machine(machines: Machines, how: str) -> None:
    a = machines.machine("a")
    here = a.queue(job("first", f"{until('go')}; [ -e mended ]"))
    here.detach()
    here.wait_executing("first")
    _in_store(machines, here)
    machines.proxy.down()
    if how == "failed":
        a.release("go")
    else:
        a.start("cancel", "q")
    here.wait_for("QueueFailed")
    here.kill_runner()
    machines.proxy.up()
    a.release("go")
    a.release("mended")
    done = a.spawn("resume", "q", "--retry-failed")
    assert done.code == 0, done.err
    assert queues.list_put_aside(a.roots, "q") == []
    check_replica(here, machines.remote())


def test_a_queue_that_was_taken_over_resumes_after_an_outage(machines: Machines) -> None:
    """It was submitted on another machine, which `queue.json` names permanently."""
    a, b = machines.machine("a"), machines.machine("b")
    here = _begun(a)
    here.detach()
    here.wait_executing("second")
    _in_store(machines, here)
    machines.lose(a)
    there = machines.queue_on(b, here)
    code, _, err = _take(b, "--force", "--detach")
    assert code == 0, err
    there.wait_executing("second", 2)
    _in_store(machines, there)
    there.kill_runner()
    machines.proxy.down()
    after = b.start("resume", "q")
    there.wait_for("QueueResumed", count=2)
    a.release("go")
    there.wait_for("JobCompleted", "second")
    machines.proxy.up()
    _, err = after.communicate(timeout=60)
    assert after.returncode == 0, err
    assert queues.list_put_aside(b.roots, "q") == []
    check_replica(there, machines.remote())
