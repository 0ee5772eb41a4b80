"""Launches of one queue take turns: a launch in progress counts before EC2 shows its instance."""

import os
import re
import subprocess
from collections.abc import Callable

import pytest
from tests.launch.conftest import LAUNCH, NOTHING, Front, Person, capacity, starts
from tests.launch.test_resume import _begun
from tests.support.answers import Answer, RecordedRequest
from tests.support.queues import SPAWN
from tests.support.soak import gate_all_but_first

from spawn.cli.launch import launch_lock


def _takes_its_turn(asked: RecordedRequest) -> bool:
    return asked.method == "PUT" and asked.path.endswith(launch_lock.KEY)


def _meanwhile(
    person: Person, words: list[str], when: Callable[[RecordedRequest], bool] = starts
) -> Callable[[RecordedRequest], Answer | None]:
    """Run a second launch completely, while a certain AWS request of the first one is pending."""
    seconds: list[subprocess.CompletedProcess[str]] = []

    def answer(asked: RecordedRequest) -> Answer | None:
        if when(asked) and not seconds:
            environ = {**os.environ, "AWS_ENDPOINT_URL": person.aws.endpoint}
            done = subprocess.run(
                [SPAWN, *words],
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            seconds.append(done)
            (person.folder / "second").write_text(f"{done.returncode}\n{done.stdout}{done.stderr}")
        return None

    return answer


@pytest.mark.parametrize("sort", gate_all_but_first(["new", "failed before", "resumed"]))
def test_one_of_two_concurrent_launches_starts_an_instance(
    person: Person, front: Front, sort: str
) -> None:
    words = [*LAUNCH, "--batch-queue", str(person.file)]
    if sort == "failed before":
        person.submit()
    if sort == "resumed":
        _begun(person, end="stopped")
        words = [*LAUNCH, "--resume", person.queue_id]
    front(_meanwhile(person, words))
    first = person.spawn(*words)
    assert first.code == 0, first.err
    said = (person.folder / "second").read_text()
    assert said.startswith("1\nError: another launch of queue"), said
    assert "`spawn list` shows its instance" in said
    (found,) = person.instances()
    assert first.out == f"{found['InstanceId']}\n"


def test_a_launch_that_finished_after_the_check_is_detected(person: Person, front: Front) -> None:
    person.submit()
    words = [*LAUNCH, "--batch-queue", str(person.file)]
    front(_meanwhile(person, words, _takes_its_turn))
    first = person.spawn(*words)
    said = (person.folder / "second").read_text()
    (found,) = person.instances()
    assert said.startswith(f"0\n{found['InstanceId']}\n"), said
    assert (first.code, first.out) == (1, "")
    assert f"{found['InstanceId']} was launched for queue" in first.err
    assert "Warning" not in first.err


def test_a_killed_launch_blocks_the_next_one_for_ten_minutes_at_most(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.submit()
    person.store().create(launch_lock.KEY, b'{"launch_id":"0123"}')
    done = person.launch()
    assert (done.code, done.out) == (1, "")
    assert re.search(r"again in (10m|9m\d+s)$", done.err.strip())
    assert person.instances() == []
    monkeypatch.setattr(launch_lock, "EXPIRY_SECONDS", -1.0)
    done = person.launch()
    assert done.code == 0, done.err
    assert len(person.instances()) == 1


def test_a_failed_launch_releases_its_turn(
    person: Person, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    front(capacity)
    assert person.launch().code == 1
    assert person.costs() == NOTHING
    monkeypatch.setenv("AWS_ENDPOINT_URL", person.aws.endpoint)
    launched = person.launch()
    assert launched.code == 0, launched.err


def test_a_terminated_instance_does_not_block_a_launch(person: Person) -> None:
    launched = person.launch()
    ids = [launched.out.strip()]
    person.look("ec2").terminate_instances(InstanceIds=ids)
    again = person.launch()
    assert again.code == 0, again.err
    assert again.out.strip() not in ids
