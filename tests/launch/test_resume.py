"""A queue of a lost machine resumes on another instance; one with a live owner is not touched."""

from msgspec import structs
from tests.cli import samples
from tests.launch.conftest import LAUNCH, NOTHING, Finished, Person
from tests.support.replicas import replicate

from spawn.core.domain.events import (
    JobCompleted,
    JobInterrupted,
    QueueCompleted,
    QueueInterrupted,
)
from spawn.store.objects.interface import ObjectStore
from spawn.store.replica.submitted import BOOT_LOG


def _begun(person: Person, *, end: str = "", handed_back: bool = True) -> ObjectStore:
    """A queue's log in S3 with one of two jobs completed.

    Args:
        end: `stopped` or `completed`; empty while the other job runs.
    """
    config = structs.replace(samples.SHORT, queue_id=person.queue_id, jobs=samples.SHORT.jobs[:1])
    log = samples.Log(person.queue_id)
    log.now = samples.moment("14:05:30")
    log.add(*samples.submission(config))
    log.at("14:05:32", samples.owner())
    log.start("14:05:33", "fetch", 12000)
    if end == "completed":
        log.at("14:06:00", JobCompleted(exit_code=0, wall_seconds=27.0), job="fetch")
        log.at("14:06:00", QueueCompleted())
    if end == "stopped":
        stopped = JobInterrupted(cause="stop", exit_code=143, signal="SIGTERM", wall_seconds=27.0)
        log.at("14:06:00", stopped, job="fetch")
        log.at("14:06:01", QueueInterrupted(cause="signal", detail="SIGTERM"))
    store = person.store()
    replicate(store, log.rows, config, ends=[len(log.rows)], handed_back=handed_back)
    return store


def test_a_queue_with_a_booting_instance_is_not_resumed(person: Person) -> None:
    launched = person.launch()
    assert launched.code == 0, launched.err
    done = _resume(person)
    assert (done.code, done.out) == (1, "")
    assert f"{launched.out.strip()} was launched for queue" in done.err
    assert "spawn terminate" in done.err


def _resume(person: Person, *flags: str) -> Finished:
    return person.spawn(*LAUNCH, "--resume", person.queue_id, *flags)


def test_a_stopped_queue_resumes_on_an_instance(person: Person) -> None:
    store = _begun(person, end="stopped")
    store.create(BOOT_LOG, b"an earlier instance could not boot\n")
    done = _resume(person)
    assert done.code == 0, done.err
    (found,) = person.instances()
    assert done.out == f"{found['InstanceId']}\n"
    assert store.read(BOOT_LOG).data == b""
    data = person.user_data(found["InstanceId"])
    assert f"resume {person.queue_id} --from-s3" in data
    again = _resume(person)
    assert (again.code, again.out) == (1, "")
    assert f"{found['InstanceId']} was launched for queue" in again.err


def test_a_queue_with_a_live_owner_is_taken_over_only_by_force(person: Person) -> None:
    store = _begun(person, handed_back=False)
    before = person.made()
    done = _resume(person)
    assert (done.code, done.out) == (1, "")
    assert f"queue {person.queue_id} is owned by i-0123456789abcdef0" in done.err
    assert f"spawn queue status {person.queue_id}" in done.err
    assert person.made() == before
    assert person.costs() == NOTHING
    done = _resume(person, "--force")
    assert done.code == 0, done.err
    (found,) = person.instances()
    assert "--force" in person.user_data(found["InstanceId"])
    assert store.location.startswith("s3://")


def test_an_ended_queue_needs_no_instance(person: Person) -> None:
    _begun(person, end="completed")
    done = _resume(person)
    assert (done.code, done.out) == (1, "")
    assert "has completed" in done.err
    assert f"spawn queue results {person.queue_id}" in done.err


def test_an_unknown_queue_is_not_found(person: Person) -> None:
    done = _resume(person, "--bucket", person.bucket())
    assert (done.code, done.out) == (3, ""), done


def test_a_queue_that_never_started_is_launched_with_its_file(person: Person) -> None:
    person.submit()
    done = _resume(person)
    assert (done.code, done.out) == (1, "")
    assert "has never started" in done.err
    assert "--batch-queue" in done.err
    done = person.launch()
    assert done.code == 0, done.err
