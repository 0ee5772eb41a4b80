"""`spawn terminate` keeps an instance that has the only copy of anything of its queue."""

import subprocess

import pytest
from tests.support import warm
from tests.support.instances import Instance
from tests.support.queues import SECONDS, SPAWN, Finished, job, until
from tests.support.terminal import terminal


def terminate(instance: Instance, *flags: str) -> Finished:
    """Run `spawn terminate` on the instance to its end, without a terminal."""
    done = warm.run(
        [SPAWN, "terminate", instance.id, *flags],
        env=instance.person.environ,
        cwd=instance.person.laptop.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def state(instance: Instance) -> str:
    """Return the instance's state in EC2."""
    found = instance.aws.client("ec2").describe_instances(InstanceIds=[instance.id])
    return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])


def tag(instance: Instance, queue_id: str = "q") -> None:
    """Tag the instance as a launch does."""
    location = f"s3://{instance.bucket}/{queue_id}/"
    instance.tag(spawn_queue_id=queue_id, spawn_results_location=location)


def test_an_instance_with_a_running_queue_is_terminated_only_by_force(
    instance: Instance,
) -> None:
    tag(instance)
    queue = instance.queue(job("train", until("never")), kill_grace="1s").detach()
    queue.wait_executing("train")
    done = terminate(instance, "--yes")
    assert (done.code, done.out) == (1, ""), done.err
    assert f"instance {instance.id} was not terminated: queue q is running: train" in done.err
    assert f"`spawn queue cancel {instance.id} --queue q` stops it" in done.err
    assert instance.person.spawn("cancel", instance.id).code == 0
    queue.wait_idle()
    answers = [("n\n", 1, "running"), ("\x04", 1, "running"), ("y\n", 0, "terminated")]
    for keys, code, then in answers:
        command = [SPAWN, "terminate", instance.id]
        with terminal(
            command, instance.person.environ, instance.person.laptop.folder, columns=80
        ) as shown:
            shown.type(keys)
            assert shown.end() == code, shown.text
        asked = f"Terminate {instance.id} (queue q, running)? [y/N]"
        assert asked in shown.text.replace("\n", "")
        assert ("Nothing was terminated" in shown.text) == bool(code)
        assert state(instance) == then, shown.text


def test_an_instance_with_unsaved_log_or_output_is_kept(instance: Instance) -> None:
    tag(instance)
    assert instance.queue(job("one", "echo made")).run().code == 0
    s3 = instance.aws.client("s3")
    there = [
        each["Key"] for each in s3.list_objects_v2(Bucket=instance.bucket, Prefix="q/")["Contents"]
    ]
    (facts,) = [key for key in there if key.endswith("/metadata.json")]
    kept = s3.get_object(Bucket=instance.bucket, Key=facts)["Body"].read()
    s3.delete_object(Bucket=instance.bucket, Key=facts)
    done = terminate(instance, "--yes")
    assert done.code == 1
    assert "output of queue q is not in S3: one" in done.err
    s3.put_object(Bucket=instance.bucket, Key=facts, Body=kept)
    for key in there:
        if "/_spawn/log/" in key or "/_spawn/packs/" in key:
            s3.delete_object(Bucket=instance.bucket, Key=key)
    done = terminate(instance, "--yes")
    assert (done.code, done.out) == (1, ""), done.err
    assert state(instance) == "running"


@pytest.mark.cold
def test_an_instance_with_a_queue_without_a_bucket_is_kept(instance: Instance) -> None:
    tag(instance)
    assert instance.queue(job("one", "true"), s3=False).run("--no-s3").code == 0
    done = terminate(instance, "--yes")
    assert (done.code, done.out) == (1, "")
    assert "queue q has no bucket: its log and results are only on the instance" in done.err
    assert state(instance) == "running"
    done = terminate(instance, "--yes", "--force")
    assert (done.code, done.out) == (0, f"Instance {instance.id} is shutting-down\n")


def test_an_unreachable_instance_is_judged_by_its_log_in_s3(
    instance: Instance,
) -> None:
    tag(instance)
    queue = instance.queue(job("one", until("end"))).detach()
    queue.wait_executing("one")
    instance.stop_feed()
    done = terminate(instance, "--yes")
    assert (done.code, done.out) == (1, "")
    assert "queue q is running" in done.err
    instance.world.release("end")
    queue.wait_idle()
    done = terminate(instance, "--yes")
    assert (done.code, done.out) == (0, f"Instance {instance.id} is shutting-down\n"), done.err
    assert f"The log and results stay in s3://{instance.bucket}/q/" in done.err
