"""A spot interruption or the end of the ttl: jobs continue elsewhere from their checkpoints."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.imds import ENDPOINT, Spot, metadata
from tests.support.machines import Machines, check_replica
from tests.support.queues import Queue, World, job

from spawn.core.values.timestamps import parse_timestamp

CHECKPOINT = "train/attempts/1.1/checkpoint"
TRAIN = """\
epoch=$(cat checkpoints/epoch 2>/dev/null || echo 0)
echo "from epoch $epoch"
trap 'cp "$SPAWN_INTERRUPTION_FILE" told 2>/dev/null; exit 143' TERM
mkdir -p checkpoints
while [ $epoch -lt 5 ]; do
  epoch=$((epoch + 1)); echo $epoch > checkpoints/part; mv checkpoints/part checkpoints/epoch
  if [ $epoch = 3 ]; then touch at3; until [ -e go ]; do nap; done; fi
done
echo model > model
"""


class Instance:
    """A machine that is an EC2 instance, with its own metadata service."""

    def __init__(self, world: World, spot: Spot) -> None:
        self.world = world
        self.spot = spot
        self.powered_off = world.folder / f"off-{world.home.name}"


@contextmanager
def _instance(machines: Machines, name: str = "a") -> Iterator[Instance]:
    """An EC2 instance. Its `systemctl` only records its arguments."""
    spot = Spot()
    document = json.dumps({"instanceId": f"i-0123456789abcde{name}0", "region": "us-east-1"})
    with metadata(document.encode(), spot=spot) as service:
        world = machines.machine(name)
        world.override_constant("spawn.runner.shutdown.spot_notices.POLL_SECONDS", 0.2)
        made = Instance(world, spot)
        programs = world.folder / f"bin-{name}"
        programs.mkdir()
        fake = programs / "systemctl"
        fake.write_text(f'#!/bin/sh\necho "$@" >> {made.powered_off}\n')
        fake.chmod(0o755)
        world.environ["PATH"] = f"{programs}:{world.environ['PATH']}"
        world.environ["AWS_EC2_METADATA_DISABLED"] = "false"
        world.environ[ENDPOINT] = service.endpoint
        yield made


@pytest.fixture
def instance(machines: Machines) -> Iterator[Instance]:
    """One EC2 instance."""
    with _instance(machines) as made:
        yield made


def _train(world: World, **fields: Any) -> Queue:
    return world.queue(
        job("train", TRAIN, result_files=["checkpoints/", "model"]),
        job("evaluate", "cat model > score", "train"),
        **fields,
    )


def _end(queue: Queue) -> Any:
    return queue.events()[-1].data


def _delete_work(world: World) -> None:
    """Delete everything that jobs wrote, as the next machine does not have it."""
    for left in sorted(world.work.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()


def _resume_elsewhere(machines: Machines, queue: Queue, name: str = "b") -> Queue:
    """Resume the queue on a machine that has none of its files, to the end."""
    b = machines.machine(name)
    there = machines.queue_on(b, queue)
    b.release("go")
    done = b.spawn("resume", "q", "--from-s3")
    assert done.code == 0, done.err
    assert there.state.state == "completed"
    return there


def test_a_spot_interruption_saves_a_checkpoint_that_another_machine_resumes(
    machines: Machines, instance: Instance
) -> None:
    a = instance.world
    here = _train(a, kill_grace="10s")
    runner = here.start()
    here.until((a.work / "at3").exists, "train is at epoch 3")
    deadline = instance.spot.give_notice(120)
    out, err = runner.communicate(timeout=60)
    assert runner.returncode == 143, err
    assert (a.work / "told").read_text().strip() == parse_timestamp(deadline).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ"
    )
    assert here.types("train") == ["JobStarted", "JobInterrupted", "CheckpointSaved"]
    assert here.data("train", "JobInterrupted").cause == "spot"
    end = _end(here)
    assert (end.cause, parse_timestamp(end.detail.split()[-1])) == (
        "spot",
        parse_timestamp(deadline),
    )
    assert end.detail.startswith("terminate at ")
    assert "spot" in out
    assert here.types("evaluate") == []
    remote = machines.remote()
    assert remote.lease["handed_back"] is True
    check_replica(here, remote)
    assert remote.read(f"{CHECKPOINT}/checkpoints/epoch") == b"3\n"
    assert "from epoch 0" in remote.read("train/attempts/1.1/stdout.log").decode()
    assert not [key for key in remote.keys("") if "/results/" in key], "checkpoints are not results"
    assert not instance.powered_off.exists(), "EC2 terminates it"
    status = a.spawn("status", "q").out
    assert "the spot instance was reclaimed" in status

    _delete_work(a)
    there = _resume_elsewhere(machines, here)
    assert b"from epoch 3" in there.stdout("train", 2)
    assert there.data("train", "CheckpointPutBack").files == 1
    assert "checkpoint restored here: 1 file downloaded" in there.world.spawn("history", "q").out
    assert there.executed() == [("train", 2), ("evaluate", 1)]


def test_a_changed_checkpoint_is_not_restored(machines: Machines, instance: Instance) -> None:
    a = instance.world
    here = _train(a)
    here.detach("--on-complete", "stop")
    here.until((a.work / "at3").exists, "train is at epoch 3")
    here.stop()
    assert here.types("train")[-1] == "CheckpointSaved", "a plain stop saves one too"
    assert not instance.powered_off.exists(), "the user who stops it may still need the machine"
    machines.remote().put(f"{CHECKPOINT}/checkpoints/epoch", b"9\n")
    _delete_work(a)
    there = _resume_elsewhere(machines, here)
    assert b"from epoch 0" in there.stdout("train", 2)
    assert "does not match the log" in there.data("train", "CheckpointPutBack").error


def test_a_notice_between_attempts_interrupts_the_queue(
    machines: Machines, instance: Instance
) -> None:
    again = {"max_attempts": 2, "backoff": "fixed", "delay": "1h"}
    here = instance.world.queue(job("a", "exit 3", retry=again))
    here.detach()
    here.wait_for("JobRetryScheduled", "a")
    following = here.start("--or-resume")  # as systemd does after the previous runner was killed
    assert following.stdout is not None
    while "a: " not in following.stdout.readline():
        assert following.poll() is None
    instance.spot.give_notice(90, "stop")
    following.communicate(timeout=60)
    assert following.returncode == 143, "not a failure, after which systemd would restart it"
    here.wait_idle()
    assert here.types("a") == ["JobStarted", "JobRetryScheduled"]
    assert _end(here).cause == "spot"
    assert _end(here).detail.startswith("stop at ")
    check_replica(here, machines.remote())


def test_an_upload_that_misses_the_deadline_is_not_a_checkpoint(
    machines: Machines, instance: Instance
) -> None:
    a = instance.world
    here = _train(a)
    with machines.proxy.fault("hold", "PUT", key="/checkpoint"):
        here.detach()
        here.until((a.work / "at3").exists, "train is at epoch 3")
        instance.spot.give_notice(8)
        here.wait_idle()
        assert here.types("train") == ["JobStarted", "JobInterrupted", "CheckpointNotSaved"]
        assert _end(here).cause == "spot"
        check_replica(here, machines.remote())
        assert f"{CHECKPOINT}.json" not in machines.remote().keys("")
    assert "checkpoint not saved" in a.spawn("status", "q").out


def test_a_notice_during_an_upload_of_results_waits_for_it(
    machines: Machines, instance: Instance
) -> None:
    a = instance.world
    here = a.queue(
        job("a", "echo 1 > made", result_files=["made"]),
        job("b", "cat made", "a", "a2"),
        job("a2", "true"),
    )
    with machines.proxy.fault("hold", "PUT", key="/results/"):
        here.detach()
        here.wait_for("JobCompleted", "a")
        instance.spot.give_notice(100)
        here.until(lambda: "EC2 interrupts this spot instance" in here.describe(), "it is known")
    here.wait_idle()
    assert here.types("a") == ["JobStarted", "JobCompleted", "ResultsUploaded"]
    assert here.types("b") == []
    assert _end(here).cause == "spot"
    check_replica(here, machines.remote())


def test_an_expired_ttl_stops_the_queue_until_a_later_ttl_is_given(
    machines: Machines, instance: Instance
) -> None:
    a = instance.world
    here = a.queue(job("a", "true"))
    at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    done = here.run("--ttl", at, "--on-complete", "stop")
    assert done.code == 143, done.err
    assert here.types("a") == []
    assert (_end(here).cause, _end(here).detail) == ("ttl", at)
    check_replica(here, machines.remote())
    assert instance.powered_off.read_text() == "poweroff\n"
    assert f"--ttl {at}" in a.spawn("status", "q").out

    size = len(here.events())
    again = here.run("--or-resume", "--ttl", at)
    assert again.code == 143
    assert "is over" in again.err
    assert "a later --ttl, or none" in again.err
    assert len(here.events()) == size, "as after a reboot"
    assert here.run("--or-resume", "--ttl", "1h").code == 0


def test_a_machine_restarted_after_its_queues_end_is_not_powered_off(
    machines: Machines, instance: Instance
) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("only root can give a process another boot id")
    here = instance.world.queue(job("a", "true"))
    assert here.run("--on-complete", "stop").code == 0
    instance.powered_off.unlink()
    other = instance.world.folder / "boot_id"
    other.write_text("11111111-2222-3333-4444-555555555555\n")
    script = f'mount --bind {other} /proc/sys/kernel/random/boot_id && exec "$@"'
    unit = ("--or-resume", "--on-complete", "stop")
    restarted = here.start(*unit, wrapper=("unshare", "-m", "sh", "-c", script, "sh"))
    _, err = restarted.communicate(timeout=60)
    assert restarted.returncode == 0, err
    assert "nothing to run" in err
    assert not instance.powered_off.exists()
    assert here.run(*unit).code == 0
    assert instance.powered_off.exists(), "as after a runner that died before the poweroff"


@pytest.mark.parametrize("code", [0, 1])
def test_a_machine_is_powered_off_once_everything_is_in_the_store(
    machines: Machines, instance: Instance, code: int
) -> None:
    here = instance.world.queue(job("a", f"echo 1 > made; exit {code}", result_files=["made"]))
    with machines.proxy.fault("hold", "PUT", key="attempts/.*stdout.log") as held:
        runner = here.start("--on-complete", "terminate")
        here.until(lambda: held.hits > 0, "its output is on its way")
        assert not instance.powered_off.exists()
    runner.communicate(timeout=60)
    assert runner.returncode == code
    assert instance.powered_off.read_text() == "poweroff\n"
    check_replica(here, machines.remote())
    assert "a/attempts/1.1/stdout.log" in machines.remote().keys("")


def test_a_machine_with_the_only_copy_of_results_is_kept_with_a_warning(
    machines: Machines, instance: Instance
) -> None:
    a = instance.world
    here = a.queue(job("a", "echo 1 > made", result_files=["made"]))
    with machines.proxy.fault("403", "PUT", key="/results/"):
        done = here.run("--on-complete", "stop")
    assert done.code == 1, done.err
    assert not instance.powered_off.exists()
    assert here.types()[-1] == "MachineKept"
    assert "results of a are not in s3://" in a.spawn("status", "q").out
    assert "the machine is NOT powered off" in here.describe()


def test_off_ec2_no_machine_is_powered_off(machines: Machines) -> None:
    here = machines.machine("a").queue(job("a", "true"))
    done = here.run("--on-complete", "stop")
    assert done.code == 2
    assert "--on-complete stop is for EC2 instances" in done.err
    assert not here.paths.events.exists()
    assert here.run("--ttl", "1h", "--on-complete", "keep").code == 0
