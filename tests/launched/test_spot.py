"""A spot instance from its launch to its successor, under a systemd that is process 1.

AWS is moto, and the instances boot from their user data: systemd starts, restarts and leaves the
services. There are two instances. The first one has its runner killed, loses power, and is
interrupted by EC2 in the middle of a training; the second one resumes from the checkpoint, and
powers itself off.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.imds import Spot
from tests.support.instances import REGION, Person
from tests.support.machine import USER, Machine, machine
from tests.support.queues import SPAWN, Finished, job
from tests.support.s3 import Server, free_port
from tests.support.wait import wait_until

from spawn.core.values.timestamps import parse_timestamp
from spawn.store.aws.boot import locations

pytestmark = [pytest.mark.gate, pytest.mark.long, pytest.mark.tool("debootstrap")]

SPAWN_THERE = "/usr/local/bin/spawn"
QUEUE = "digits"
BUCKET = f"spawn-results-{REGION}"
SECRET = "hunter2"
TOKEN = f'{SECRET} $HOME "and" more'
TRAIN = """\
step=$(ls checkpoints 2>/dev/null | sort -n | tail -n 1)
echo "from step ${step:=0}, with a token of ${#TOKEN} and $(wc -l <data) rows"
mkdir -p checkpoints
save() { echo $step >part && mv part checkpoints/$step; }
told() { cat "$SPAWN_INTERRUPTION_FILE" && save; exit 143; }
trap told TERM
while [ $step -lt 6 ]; do
  step=$((step + 1))
  while [ $step = 4 ]; do touch at4; sleep 0.1; done
  save
done
echo "a model of step $step" >model
"""
CONFIG = {
    "queue_id": QUEUE,
    "jobs": [
        job("prepare", "seq 5 >data", result_files=["data"]),
        job("train", "bash train.sh", "prepare", result_files=["checkpoints/", "model"]),
        job("export", "cp model exported", "train", result_files=["exported"]),
    ],
}


class Owner:
    """The owner of the queue: a user with a folder, and AWS.

    Args:
        person: The user of the shell.
        aws: The AWS server.
    """

    def __init__(self, person: Person, aws: Server) -> None:
        self.person = person
        self.aws = aws
        self.folder = person.laptop.folder / "project"
        self.folder.mkdir()
        (self.folder / "train.sh").write_text(TRAIN)
        (self.folder / "q.json").write_text(json.dumps(CONFIG))
        (self.folder.parent / "env").write_text(f"TOKEN={TOKEN}\n")

    def launch(self, *flags: str) -> str:
        """Launch an instance from the folder; returns its id, by which EC2 shows it as running."""
        command = [SPAWN, "launch", "--instance-type", "m7i.large", "--sync", ".", *flags]
        done = subprocess.run(
            [*command, "--env-file", "../env"],
            env={**self.person.environ, "SPAWN_SSH_FROM": "127.0.0.1/32"},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def terminates(self, instance_id: str) -> None:
        """Terminate the instance as far as EC2 is concerned."""
        self.aws.client("ec2").terminate_instances(InstanceIds=[instance_id])

    def history(self) -> list[dict[str, Any]]:
        """Return the queue's events from S3."""
        return events(self.person.spawn("history", QUEUE, "--json", "--from-s3"))

    def stored(self) -> dict[str, bytes]:
        """Return all objects in the bucket by their keys below the queue's prefix."""
        client = self.aws.client()
        found = client.list_objects_v2(Bucket=BUCKET)
        assert not found["IsTruncated"]
        return {
            each["Key"].removeprefix(f"{QUEUE}/"): client.get_object(
                Bucket=BUCKET, Key=each["Key"]
            )["Body"].read()
            for each in found["Contents"]
        }

    def user_data(self, instance_id: str) -> bytes:
        """Return the user data of an instance, as any of its users can read it."""
        client = self.aws.client("ec2")
        found = client.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        return base64.b64decode(found["UserData"]["Value"])


@pytest.fixture
def owner(tmp_path: Path, aws: Server) -> Iterator[Owner]:
    """An owner with a separate AWS."""
    person = Person(tmp_path / "laptop", aws)
    try:
        yield Owner(person, aws)
    finally:
        person.close()


@contextmanager
def booted(owner: Owner, folder: Path, instance_id: str, spot: Spot) -> Iterator[Machine]:
    """Boot the instance; a failure of the test includes its diagnostics."""
    with machine(
        folder,
        owner.aws,
        instance_id,
        region=REGION,
        port=free_port(),
        feed_port=owner.person.port,
        spot=spot,
    ) as made:
        try:
            yield made
        except AssertionError as error:
            raise AssertionError(f"{error}\n{made.describe()}") from error


def events(done: Finished) -> list[dict[str, Any]]:
    """Parse the output of `history --json`."""
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def types(history: list[dict[str, Any]], job_id: str) -> list[str]:
    """Return the types of a job's events."""
    return [each["type"] for each in history if each.get("job_id") == job_id]


def outputs(stored: dict[str, bytes]) -> list[str]:
    """Return the saved stdout of all attempts."""
    return [data.decode() for name, data in stored.items() if name.endswith("/stdout.log")]


def work(made: Machine) -> Path:
    """Return the working folder of the jobs."""
    return made.upper / locations.work_folder(QUEUE).lstrip("/")


def inside(made: Machine, *command: str) -> Finished:
    """Run `spawn queue ...` on the instance as the login user."""
    done = made.inside("runuser", "-u", USER, "--", SPAWN_THERE, "queue", *command)
    return Finished(done.returncode, done.stdout, done.stderr)


def says(made: Machine, unit: str = locations.RUNNER_UNIT) -> dict[str, str]:
    """Return systemd's properties of a service."""
    wanted = "--property=ActiveState,SubState,Result,NRestarts,MainPID,ExecMainStatus"
    done = made.inside("systemctl", "show", unit, wanted)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def wait_for_service_end(made: Machine) -> dict[str, str]:
    """Wait until the runner's service has ended; returns its properties."""
    rests = ("inactive", "failed")
    wait_until(
        lambda: made.runs and says(made).get("ActiveState") in rests,
        seconds=60,
        what="it wait_for_service_end",
    )
    return says(made)


def running(made: Machine) -> tuple[int, int]:
    """Return the pids of the runner and of the training process."""
    parent = says(made)["MainPID"]
    (runner,) = made.inside("ps", "--ppid", parent, "-o", "pid=").stdout.split()
    status = json.loads(inside(made, "status", QUEUE, "--json").out)
    assert status["job_details"][1]["status"] == "running"
    return int(runner), status["job_details"][1]["pid"]


def wait_for_training(made: Machine) -> None:
    """Wait until the training has reached the epoch at which it waits."""
    wait_until(lambda: (work(made) / "at4").exists(), seconds=300, what="train is at step 4")


def test_after_a_spot_interruption_another_instance_resumes_from_the_checkpoint(
    tmp_path: Path, owner: Owner
) -> None:
    first = owner.launch("--batch-queue", "q.json", "--spot")
    spot = Spot()
    with booted(owner, tmp_path, first, spot) as made:
        wait_for_training(made)
        _check_secret_is_in_one_file(made)
        _kill_its_runner(made)
        _cut_its_power(made)
        deadline = spot.give_notice(120)
        _interrupt_instance(owner, made, deadline)
        _check_refused_start(owner, made)
    owner.terminates(first)

    second = owner.launch("--resume", QUEUE, "--on-complete", "terminate")
    with booted(owner, tmp_path, second, Spot()) as made:
        wait_until(lambda: not made.runs, seconds=300, what="it powers itself off")
        before = _check_resumption(owner)
        made.start()
        _check_it_stays_on(made)
        assert len(owner.history()) == before
    assert SECRET.encode() not in owner.user_data(first) + owner.user_data(second)
    assert not [name for name, data in owner.stored().items() if SECRET.encode() in data]


def _check_secret_is_in_one_file(made: Machine) -> None:
    """Check that the secret is in only one file of the disk."""
    mode = made.inside("stat", "-c", "%a %U", locations.ENVIRONMENT).stdout
    assert mode == f"600 {USER}\n"
    disk = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/var")
    assert made.inside("grep", "-rlF", SECRET, *disk).stdout == f"{locations.ENVIRONMENT}\n"
    assert SECRET not in made.inside("journalctl", "--no-pager").stdout


def _kill_its_runner(made: Machine) -> None:
    runner, train = running(made)
    made.inside("kill", "-KILL", str(runner))
    wait_until(lambda: says(made)["NRestarts"] == "1", seconds=60, what="it is started again")
    wait_until(lambda: "QueueResumed" in inside(made, "history", QUEUE, "--json").out, seconds=60)
    again, same = running(made)
    assert again != runner
    assert same == train, "the training continued meanwhile"
    history = events(inside(made, "history", QUEUE, "--json"))
    assert types(history, "train") == ["JobStarted"]


def _cut_its_power(made: Machine) -> None:
    made.stop()
    (work(made) / "at4").unlink()
    made.start()
    wait_for_training(made)
    history = events(inside(made, "history", QUEUE, "--json"))
    assert types(history, "train") == ["JobStarted", "JobInterrupted", "JobStarted"]
    assert says(made)["ActiveState"] == "active"


def _interrupt_instance(owner: Owner, made: Machine, deadline: str) -> None:
    ended = wait_for_service_end(made)
    assert (ended["ActiveState"], ended["Result"]) == ("inactive", "success")
    assert (ended["ExecMainStatus"], ended["NRestarts"]) == ("143", "0")
    history = owner.history()
    assert types(history, "train")[-3:] == ["JobStarted", "JobInterrupted", "CheckpointSaved"]
    assert history[-1]["type"] == "QueueInterrupted"
    assert history[-1]["data"]["cause"] == "spot"
    assert [e["data"]["cause"] for e in history if e["type"] == "JobInterrupted"] == [
        "lost",
        "spot",
    ]
    status = owner.person.spawn("status", QUEUE, "--from-s3")
    assert "the spot instance was reclaimed" in status.out
    stored = owner.stored()
    assert json.loads(stored["_spawn/lease.json"])["handed_back"] is True
    kept = [data for name, data in stored.items() if name.endswith("checkpoints/4")]
    assert kept == [b"4\n"]
    (told,) = (text for text in outputs(stored) if text.startswith("from step 3,"))
    assert told.startswith(f"from step 3, with a token of {len(TOKEN)} and 5 rows\n")
    assert parse_timestamp(told.splitlines()[1]) == parse_timestamp(deadline)


def _check_refused_start(owner: Owner, made: Machine) -> None:
    made.inside("mv", f"{locations.STATE}/queues/{QUEUE}", f"{locations.STATE}/aside")
    (work(made) / locations.CONFIG).write_text("{")
    made.inside("systemctl", "start", locations.RUNNER_UNIT)
    ended = wait_for_service_end(made)
    assert (ended["Result"], ended["ExecMainStatus"], ended["NRestarts"]) == ("exit-code", "2", "0")
    boot_log = owner.stored()["_spawn/boot.log"].decode()
    assert "failed to start the queue" in boot_log
    assert locations.CONFIG in boot_log


def _check_resumption(owner: Owner) -> int:
    """Check the resumed queue; returns the number of its events."""
    history = owner.history()
    assert [each["type"] for each in history if each["type"].startswith("Queue")][-1] == (
        "QueueCompleted"
    )
    assert [each.get("job_id") for each in history if each["type"] == "JobStarted"] == [
        *("prepare", "train", "train"),
        *("train", "export"),
    ]
    stored = owner.stored()
    assert stored["_spawn/boot.log"] == b"", "it belongs to the first instance"
    assert f"from step 4, with a token of {len(TOKEN)} and 5 rows\n" in outputs(stored)
    got = owner.person.spawn("results", QUEUE, "-o", str(owner.folder / "got"))
    assert got.code == 0, got.err
    exported = owner.folder / "got" / "export" / "results" / "exported"
    assert exported.read_text() == "a model of step 6\n"
    return len(history)


def _check_it_stays_on(made: Machine) -> None:
    """Restart the instance after its queue's end: it must stay on for its user."""
    wait_until(
        lambda: made.inside("systemctl", "is-active", "multi-user.target").returncode == 0,
        seconds=60,
        what="it has booted",
    )
    ended = wait_for_service_end(made)
    assert (ended["Result"], ended["ExecMainStatus"]) == ("success", "0")
    assert made.inside("systemctl", "is-active", locations.FEED_UNIT).stdout == "active\n"
    assert "poweroff" not in made.inside("systemctl", "list-jobs").stdout
    assert made.runs
