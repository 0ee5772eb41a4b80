"""`durability: "s3"`: a job starts only after everything it depends on is in the object store."""

from tests.support.machines import Machines, check_replica
from tests.support.queues import job

from spawn.core.values.timestamps import parse_timestamp


def test_a_dependent_starts_only_after_the_completion_is_in_the_store(
    machines: Machines,
) -> None:
    a = machines.machine()
    queue = a.queue(
        job("first", "[ -e held ] || until [ -e held ]; do nap; done"),
        job("second", "true", "first"),
        job("apart", "until [ -e late ]; do nap; done"),
        job("apart-too", "true"),
        durability="s3",
        max_parallel=2,
    )
    process = queue.start()
    queue.wait_executing("first")
    queue.wait_executing("apart")
    queue.until(lambda: len(machines.remote().events()) == 4, "the store has the starts")
    with machines.proxy.fault("hold", "PUT", key="_spawn/log/") as rule:
        a.release("held")
        queue.wait_for("JobCompleted", "first")
        queue.until(lambda: rule.hits > 0, "its completion is held up")
        queue.wait_for("JobCompleted", "apart-too")  # jobs without dependencies do not wait
        a.release("late")
        queue.wait_for("JobCompleted", "apart")
        assert queue.types("second") == []
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    check_replica(queue, machines.remote())


def test_no_job_of_a_chain_starts_ahead_of_the_store(machines: Machines) -> None:
    machines.override_constant("spawn.runner.replication.replicator.LONGEST_PAUSE", 1.0)
    a = machines.machine()
    jobs = [job("j0", "true"), *(job(f"j{n}", "true", f"j{n - 1}") for n in range(1, 6))]
    queue = a.queue(*jobs, durability="s3")
    with (
        machines.proxy.fault("late", "PUT", key="_spawn/log/", share=0.5, seconds=0.4),
        machines.proxy.fault("lose", "PUT", key="_spawn/log/", share=0.3),
    ):
        done = queue.run()
    assert done.code == 0, done.err
    check_replica(queue, machines.remote())
    there = machines.arrivals()
    at = {(event["type"], event.get("job_id")): event for event in machines.remote().events()}
    for number in range(1, 6):
        completed = at["JobCompleted", f"j{number - 1}"]
        started = at["JobStarted", f"j{number}"]
        assert there[completed["seq"]] <= parse_timestamp(started["at"]).timestamp()
