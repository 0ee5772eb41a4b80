"""Queues of EC2 instances: their location, and EC2's answer about an owner."""

import json

from tests.support.ec2 import IMAGE
from tests.support.imds import ENDPOINT, metadata
from tests.support.machines import Machines, Remote, check_replica
from tests.support.queues import job, until
from tests.support.s3 import Server

BUCKET = "spawn-results-us-east-1"


def test_a_queue_of_a_terminated_instance_is_taken_over_without_force(
    machines: Machines, server: Server
) -> None:
    ec2 = server.client("ec2")
    found = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)
    instance_id = found["Instances"][0]["InstanceId"]
    document = {"instanceId": instance_id, "region": "us-east-1"}
    a, b = machines.machine("a"), machines.machine("b")
    for each in (a, b):
        del each.environ["SPAWN_BUCKET"]
    with metadata(json.dumps(document).encode()) as imds:
        a.environ |= {ENDPOINT: imds.endpoint, "AWS_EC2_METADATA_DISABLED": "false"}
        here = a.queue(job("first", "true"), job("second", until("go"), "first"), queue_id="on-ec2")
        here.detach()
        here.wait_executing("second")
        (started,) = [each.data for each in here.events() if each.type == "QueueStarted"]
        assert (started.instance_id, started.region) == (instance_id, "us-east-1")
        assert started.results_location == f"s3://{BUCKET}/on-ec2/"
        remote = Remote(server.endpoint, BUCKET, "on-ec2")
        here.until(lambda: len(remote.events()) == len(here.events()), "the store has the log")
    blocked = server.client("s3").get_public_access_block(Bucket=BUCKET)
    assert blocked["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"] is True
    machines.lose(a)
    again = ("resume", "on-ec2", "--from-s3", "--region", "us-east-1")
    refused = b.spawn(*again)
    assert refused.code == 1
    assert f"queue on-ec2 is owned by {instance_id}" in refused.err
    assert "--force" in refused.err
    ec2.terminate_instances(InstanceIds=[instance_id])
    there = machines.queue_on(b, here)
    b.release("go")
    done = b.spawn(*again)
    assert done.code == 0, done.err
    assert f"it ran on {instance_id}" in done.out
    assert there.executed() == [("second", 2)]
    check_replica(there, remote)
