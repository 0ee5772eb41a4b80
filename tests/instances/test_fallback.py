"""If an instance cannot be queried, its queue's log in S3 is read, with a message."""

import json
import signal

import pytest
from tests.support.instances import Instance, Person, launch
from tests.support.queues import Finished, job, until
from tests.support.s3 import free_port


def one_line(finished: Finished) -> str:
    """Return the single line on stderr."""
    (line,) = finished.err.splitlines()
    return line


def status(person: Person, instance: Instance, *flags: str) -> Finished:
    """Return the status as JSON, in any state."""
    return person.spawn("status", instance.id, "--json", *flags)


def seen(person: Person, instance: Instance) -> None:
    """Read the queue from the instance once on the user's machine."""
    assert person.status(instance.id)["queue_id"] == "q"


def test_for_a_terminated_instance_the_log_in_s3_is_read(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "echo done")).run().code == 0
    seen(person, instance)
    instance.vanish()
    finished = status(person, instance)
    assert finished.code == 0
    report = json.loads(finished.out)
    assert (report["queue_id"], report["status"]) == ("q", "completed")
    line = one_line(finished)
    assert line.startswith(f"Instance {instance.id} is terminated")
    assert f"Read from s3://{instance.bucket}/q/: 5 events, the last " in line
    assert line.endswith(" ago")


def test_a_new_machine_finds_the_queue_by_the_instances_tags(
    bare: Instance, person: Person
) -> None:
    assert bare.queue(job("one", "true"), result_s3_prefix="deep/er").run().code == 0
    bare.tag(spawn_queue_id="q", spawn_results_location=f"s3://{bare.bucket}/deep/er/")
    bare.vanish("stopped")
    finished = status(person, bare)
    assert json.loads(finished.out)["status"] == "completed"
    assert f"Instance {bare.id} is stopped" in one_line(finished)
    kept = json.loads((person.cache / "instances" / f"{bare.id}.json").read_text())
    assert kept["queue"] == "q"  # EC2 forgets its tags an hour later


def test_a_new_machine_finds_the_queue_with_options(bare: Instance, person: Person) -> None:
    assert bare.queue(job("one", "true")).run().code == 0
    bare.vanish()
    finished = status(person, bare, "--queue", "q", "--bucket", bare.bucket)
    assert json.loads(finished.out)["status"] == "completed"
    one_line(finished)


def test_for_an_instance_unknown_to_ec2_a_remembered_queue_is_read(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    instance.vanish()
    # EC2 forgets an instance an hour after its end; one of another account is unknown, too.
    cache = person.cache / "instances"
    other = "i-0fedcba9876543210"
    kept = (cache / f"{instance.id}.json").read_text()
    (cache / f"{other}.json").write_text(kept)
    finished = person.spawn("status", other, "--json")
    assert json.loads(finished.out)["queue_id"] == "q"
    assert f"EC2 has no instance {other}" in one_line(finished)


def test_without_a_feed_the_log_in_s3_is_read(instance: Instance, person: Person) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    instance.stop_feed()
    line = one_line(status(person, instance))
    assert line.startswith(
        f"No feed runs on {instance.id}: nothing listens on its port {person.port} "
        "(start `spawn queue feed` on the instance). Read from s3://"
    )


def test_hints_to_resume_name_a_command_for_the_right_machine(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "echo so; false")).run().code == 1
    seen(person, instance)
    instance.stop_feed()
    there = person.spawn("why", instance.id, "one").out
    named = f"{instance.id} --queue q"
    assert f"Next: `spawn queue resume {named} --retry-failed` retries one." in there
    assert f"Or: `spawn queue logs {named} one` prints" in there
    instance.vanish()
    gone = person.spawn("why", instance.id, "one").out
    assert "Next: `spawn queue resume q --retry-failed --from-s3` retries one." in gone
    assert "Or: `spawn queue logs q one` prints" in gone


def test_if_the_ssh_port_is_closed_the_log_in_s3_is_read(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    instance.server.stop()
    line = one_line(status(person, instance))
    assert line.startswith(f"{instance.id} cannot be queried: nothing listens at 127.0.0.1:")


def test_disabled_port_forwarding_is_reported(instance: Instance, person: Person) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    instance.server.stop()
    config = instance.server.folder / "sshd_config"
    assert config.exists()
    instance.server.lines = [*instance.server.lines, "AllowTcpForwarding no"]
    instance.server.start()
    assert "accepts the login but refuses to forward to" in one_line(status(person, instance))


def test_a_running_queue_is_shown_as_of_the_last_contact(
    instance: Instance, person: Person
) -> None:
    queue = instance.queue(job("one", until("end"))).detach()
    queue.wait_executing("one")
    seen(person, instance)
    instance.stop_feed(signal.SIGKILL)

    def there() -> bool:
        finished = status(person, instance)
        report = json.loads(finished.out)
        return report["status"] == "running" and "its runner was last heard from" in finished.err

    queue.until(there, "S3 has it running")
    instance.world.release("end")
    queue.wait_for("QueueCompleted")


def test_a_queue_without_a_bucket_is_not_confused_with_an_older_one(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true"), queue_id="old").run().code == 0
    assert person.status(instance.id)["queue_id"] == "old"
    assert instance.queue(job("one", "true"), queue_id="new", s3=False).run("--no-s3").code == 0
    assert person.status(instance.id)["queue_id"] == "new"
    instance.stop_feed()
    finished = person.spawn("status", instance.id)
    assert finished.code == 1
    assert "its queue new has no bucket: its log is only on the instance" in finished.err
    assert "start `spawn queue feed` on the instance" in finished.err
    instance.set_state("terminated")
    instance.server.stop()
    for command in ("status", "cancel", "results"):
        finished = person.spawn(command, instance.id)
        assert (finished.code, finished.out) == (1, "")
        assert "its queue new has no bucket: its log is only on the instance" in finished.err
        assert "reads its queue's log in S3" not in finished.err
        assert "Hint: --queue ID and --bucket NAME read another queue's log" in finished.err
    assert json.loads(person.spawn("status", "old", "--json").out)["status"] == "completed"


def test_a_named_queue_does_not_become_the_default_queue(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true"), queue_id="old").run().code == 0
    assert instance.queue(job("one", "true"), queue_id="new").run().code == 0
    assert person.status(instance.id)["queue_id"] == "new"
    assert person.status(instance.id, "--queue", "old")["queue_id"] == "old"
    instance.stop_feed()
    assert json.loads(status(person, instance).out)["queue_id"] == "new"
    assert json.loads(status(person, instance, "--queue", "old").out)["queue_id"] == "old"


def test_without_an_address_from_ec2_the_log_in_s3_is_read(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    person.laptop.configure("")
    nowhere = f"http://127.0.0.1:{free_port()}"
    finished = person.spawn("status", instance.id, "--json", AWS_ENDPOINT_URL_EC2=nowhere)
    assert json.loads(finished.out)["queue_id"] == "q"
    assert f"{instance.id} cannot be queried: EC2 cannot be reached" in one_line(finished)


def test_a_queue_is_pending_while_its_instance_boots(bare: Instance, person: Person) -> None:
    queue = bare.queue(job("one", "true"))
    bare.tag(spawn_queue_id="q", spawn_results_location=f"s3://{bare.bucket}/q/")
    config = {**queue.config, "queue_id": "q"}
    bare.aws.client().put_object(
        Bucket=bare.bucket, Key="q/_spawn/queue.json", Body=json.dumps(config).encode()
    )
    bare.server.stop()
    finished = status(person, bare)
    assert json.loads(finished.out)["jobs"]["pending"] == 1
    assert "not started yet" in one_line(finished)
    verified = person.spawn("verify", bare.id)
    assert verified.code == 1
    assert "queue q has not started" in verified.err


def test_from_s3_does_not_connect_to_the_instance(instance: Instance, person: Person) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    before = instance.server.logins()
    finished = status(person, instance, "--from-s3")
    assert json.loads(finished.out)["queue_id"] == "q"
    assert one_line(finished).startswith("Read from s3://")
    assert instance.server.logins() == before


def test_a_missing_log_in_s3_is_reported_with_the_cause_of_the_fallback(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    instance.stop_feed()
    client = instance.aws.client()
    for each in client.list_objects_v2(Bucket=instance.bucket)["Contents"]:
        client.delete_object(Bucket=instance.bucket, Key=each["Key"])
    finished = person.spawn("status", instance.id)
    assert finished.code == 3
    assert f"o feed runs on {instance.id}" in finished.err
    assert f"queue q is not at s3://{instance.bucket}/q/" in finished.err


def test_an_unreachable_s3_is_reported_with_the_cause_of_the_fallback(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    seen(person, instance)
    instance.stop_feed()
    nowhere = f"http://127.0.0.1:{free_port()}"
    finished = person.spawn("status", instance.id, AWS_ENDPOINT_URL=nowhere)
    assert finished.code == 1
    assert f"o feed runs on {instance.id}" in finished.err
    assert "cannot be reached" in finished.err


@pytest.mark.parametrize("flags", [(), ("--from-s3",)])
def test_an_instance_without_a_known_queue_is_an_error(
    bare: Instance, person: Person, flags: tuple[str, ...]
) -> None:
    finished = person.spawn("status", bare.id, *flags)
    assert finished.code == 3
    assert f"no queue of {bare.id} is known" in finished.err
    assert "it has no tag spawn:queue-id" in finished.err
    assert "--queue ID and --bucket NAME" in finished.err


def test_a_terminated_instance_without_a_known_queue_is_an_error(
    bare: Instance, person: Person
) -> None:
    bare.vanish()
    finished = person.spawn("status", bare.id)
    assert finished.code == 1
    assert f"instance {bare.id} is terminated" in finished.err
    assert "--queue ID and --bucket NAME" in finished.err


def test_an_invalid_queue_tag_is_not_reported_as_a_bad_argument(
    bare: Instance, person: Person
) -> None:
    bare.tag(spawn_queue_id="../etc")
    finished = person.spawn("status", bare.id)
    assert finished.code == 1
    assert "'../etc'" in finished.err
    assert "name the queue with --queue ID" in finished.err


def test_a_host_that_answers_for_another_instance_is_rejected(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    other = launch(instance.aws)
    instance.stop_feed()
    finished = person.spawn("status", other)
    assert finished.code == 1  # another host answers for it: nobody vouches
    assert "cannot be verified" in finished.err


def test_a_launched_queue_is_shown_with_its_instance_until_that_is_gone(
    bare: Instance, person: Person
) -> None:
    person.override_constant("spawn.cli.sources.replica.ReplicaQueue.poll_seconds", 1.0)
    person.override_constant("spawn.cli.commands.wait.UNOWNED_SECONDS", 1.5)
    location = f"s3://{bare.bucket}/soon/"
    job_ = {"job_id": "a", "command": "true", "working_directory": "/"}
    config = {"queue_id": "soon", "jobs": [job_]}
    bare.aws.client().put_object(
        Bucket=bare.bucket,
        Key="soon/_spawn/queue.json",
        Body=json.dumps({**config, "claimed_by": ""}).encode(),
    )
    bare.tag(spawn_queue_id="soon", spawn_results_location=location)
    said = person.spawn("status", bare.id, "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["instance_id"], told["results_location"]) == (bare.id, location)
    assert (told["status"], told["runner_alive"]) == ("pending", True)
    assert f"Results Location: {location}\n" in person.spawn("status", bare.id).out
    bare.vanish()
    told = json.loads(person.spawn("status", bare.id, "--json").out)
    assert (told["status"], told["runner_alive"]) == ("pending", False)
    assert "booting" not in told["read_from"]
    shown = person.spawn("status", bare.id).out
    assert f"\nInstance: {bare.id} (never started the queue, submitted 20" in shown
    assert person.spawn("wait", bare.id).code == 1
