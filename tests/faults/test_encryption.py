"""Whole queues with encryption of their objects configured."""

import pytest
from tests.support.machines import Machines
from tests.support.queues import job
from tests.support.s3 import Server

KEY = "arn:aws:kms:us-east-1:111122223333:key/queues"


def test_every_object_of_a_queue_has_the_configured_encryption(
    machines: Machines, server: Server
) -> None:
    a = machines.machine()
    a.environ |= {"SPAWN_SSE": "aws:kms", "SPAWN_SSE_KMS_KEY_ID": KEY}
    queue = a.queue(
        job("make", "head -c 9437184 /dev/zero > large; echo 1 > x", result_files=["x", "large"])
    )
    # As if created by another account: the bucket's default must not matter.
    server.client().create_bucket(Bucket=machines.bucket)
    assert queue.run().code == 0
    keys = machines.remote().keys()
    assert {"_spawn/queue.json", "_spawn/lease.json"} <= set(keys)
    assert "make/attempts/1.1/results/large" in keys
    client = server.client()
    for key in keys:
        head = client.head_object(Bucket=machines.bucket, Key=f"q/{key}")
        found = (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId"))
        assert found == ("aws:kms", KEY), key
    del a.environ["SPAWN_SSE"], a.environ["SPAWN_SSE_KMS_KEY_ID"]
    read = a.spawn("verify", "q", "--from-s3")
    assert read.code == 0, read.err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"SPAWN_SSE": "kms"}, "SPAWN_SSE is 'kms': S3 has no such encryption"),
        ({"SPAWN_SSE_KMS_KEY_ID": KEY}, "SPAWN_SSE_KMS_KEY_ID is set, but SPAWN_SSE is not"),
    ],
)
def test_an_invalid_setting_exits_with_2_and_creates_nothing(
    machines: Machines, setting: dict[str, str], told: str
) -> None:
    a = machines.machine()
    queue = a.queue(job("make", "true"))
    a.environ |= setting
    done = queue.run()
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "\nHint: " in done.err
    assert machines.proxy.asked == []
    for name in setting:
        del a.environ[name]
    assert not queue.paths.events.exists(), "the queue does not exist"
    assert queue.run().code == 0
