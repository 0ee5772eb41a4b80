"""Every command, asked of an instance."""

import json

from tests.support.instances import Instance, Person
from tests.support.queues import job, until


def test_the_status_of_a_running_queue_is_the_instances_own(
    instance: Instance, person: Person
) -> None:
    queue = instance.queue(
        job("prepare", "echo ready"), job("train", f"echo go; {until('end')}", "prepare")
    ).detach()
    queue.wait_executing("train")
    report = person.status(instance.id)
    assert (report["queue_id"], report["instance_id"], report["status"]) == (
        "q",
        instance.id,
        "running",
    )
    there = instance.world.status()
    same = ("queue_id", "instance_id", "status", "started_at", "jobs", "results_location")
    assert {key: report[key] for key in same} == {key: there[key] for key in same}
    instance.world.let("end")
    queue.wait_for("QueueCompleted")
    assert person.status(instance.id)["status"] == "completed"


def test_history_is_the_log_of_the_instance(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", "true"))
    assert queue.run().code == 0
    finished = person.spawn("history", instance.id, "--json")
    assert (finished.code, finished.err) == (0, "")
    types = [json.loads(line)["type"] for line in finished.out.splitlines()]
    assert types == [event.type for event in queue.events()]
