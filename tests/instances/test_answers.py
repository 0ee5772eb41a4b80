"""Errors when an instance does not answer as expected: what happened, why, what to do."""

import base64
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from msgspec import structs
from tests.support import warm
from tests.support.answers import Answer, RecordedRequest, answering, forward
from tests.support.feeds import answered, hello
from tests.support.instances import Instance, Person, launch
from tests.support.queues import SECONDS, Finished, job, until
from tests.support.s3 import free_port
from tests.support.sshd import ME, agent, keygen, public, sshd

from spawn.cli.ssh import streams
from spawn.core.domain import chain
from spawn.core.domain.codec import encode
from spawn.core.domain.events import QueueStarted
from spawn.store.replica import lines, names

HUNG = 300.0
"""Seconds after which a command counts as hung, on the busiest machine. The peers never answer, so
only a timeout of the product ends the wait."""


def refused(person: Person, target: str, *flags: str, **environ: str) -> Finished:
    """Run `status`, check that it fails with a clear error and no data, and return it."""
    finished = person.spawn("status", target, *flags, seconds=HUNG, **environ)
    assert (finished.code, finished.out) == (1, ""), finished
    assert "Traceback" not in finished.err
    assert "Hint: " in finished.err
    return finished


def ran(instance: Instance) -> None:
    """A queue that ran on the instance."""
    assert instance.queue(job("one", "echo done")).run().code == 0


# host keys and users


def test_a_wrong_host_key_is_an_error_without_a_fallback_to_s3(
    instance: Instance, person: Person, tmp_path: Path
) -> None:
    ran(instance)
    assert person.status(instance.id)["queue_id"] == "q"
    port = instance.server.port
    instance.server.stop()
    with sshd(tmp_path / "stranger", allow=[person.laptop.key], port=port) as stranger:
        said = refused(person, instance.id).err
        assert "does not match the known one: nothing was sent" in said
        assert "ssh-keygen -R" in said
        assert "--from-s3 reads its queue's log in S3 instead" in said
        assert "Accepted" not in stranger.log.read_text()
        finished = person.spawn("status", instance.id, "--json", "--from-s3")
    assert json.loads(finished.out)["status"] == "completed"


def test_a_host_key_that_changes_during_a_watch_ends_it(
    instance: Instance, person: Person, tmp_path: Path
) -> None:
    queue = instance.queue(job("one", until("end"))).detach()
    queue.wait_executing("one")
    watching = person.start("status", instance.id, "--watch", "--json", "--refresh", "1s")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["status"] == "running"
    port = instance.server.port
    instance.server.stop()
    with sshd(tmp_path / "stranger", allow=[person.laptop.key], port=port) as stranger:
        _, err = watching.communicate(timeout=SECONDS)
        assert "Accepted" not in stranger.log.read_text()
    assert watching.returncode == 1
    assert "does not match the known one: nothing was sent" in err
    assert "Read from" not in err
    instance.world.release("end")
    queue.wait_for("QueueCompleted")


def test_an_unknown_host_key_is_rejected_and_accepted_as_the_hint_says(
    instance: Instance, person: Person
) -> None:
    ran(instance)
    person.laptop.known_hosts.unlink()
    stranger = person.spawn("status", "i-0fedcba9876543210").err
    assert "; EC2 has no such instance in us-east-1" in stranger
    said = refused(person, instance.id).err
    assert "EC2 has no such" not in said
    assert f"the host key of {instance.id} cannot be verified" in said
    assert "aws ec2 get-console-output" in said
    accept = said.split("if they match: ")[1].strip()
    subprocess.run(["bash", "-c", accept], check=True)
    assert person.status(instance.id)["queue_id"] == "q"


@pytest.mark.cold
def test_a_host_key_in_the_queues_log_in_s3_is_trusted(instance: Instance, person: Person) -> None:
    ran(instance)
    person.laptop.known_hosts.unlink()
    _copy(instance, "vouched", (public(instance.server.host_keys["ed25519"]),))
    instance.tag(spawn_queue_id="q", spawn_results_location=f"s3://{instance.bucket}/vouched/")
    assert person.status(instance.id)["queue_id"] == "q"
    assert "the queue's log in S3" in (person.cache / "ssh" / "known_hosts").read_text()


def test_a_host_key_in_another_instances_log_is_not_trusted(
    instance: Instance, person: Person
) -> None:
    ran(instance)
    person.laptop.known_hosts.unlink()
    shown = public(instance.server.host_keys["ed25519"])
    _copy(instance, "vouched", (shown,), owner="i-0fedcba9876543210")
    instance.tag(spawn_queue_id="q", spawn_results_location=f"s3://{instance.bucket}/vouched/")
    finished = person.spawn("status", instance.id)
    never = f"Queue q was started on i-0fedcba9876543210, never on {instance.id}: "
    assert finished.err.startswith(never)
    assert "booting" not in finished.err
    assert f"the host key of {instance.id} cannot be verified: nothing was sent" in finished.err
    assert "if they match: " in finished.err
    assert f"Read from s3://{instance.bucket}/vouched/" in finished.err
    assert instance.server.logins() == 0


def test_a_host_key_on_the_instances_console_is_trusted(instance: Instance, person: Person) -> None:
    ran(instance)
    person.laptop.known_hosts.unlink()
    shown = public(instance.server.host_keys["ed25519"])
    console = f"-----BEGIN SSH HOST KEY KEYS-----\n{shown}\n-----END SSH HOST KEY KEYS-----\n"
    text = base64.b64encode(console.encode()).decode()
    xml = f"<GetConsoleOutputResponse><output>{text}</output></GetConsoleOutputResponse>"
    with ec2(instance, b"GetConsoleOutput", xml) as endpoint:
        assert person.status(instance.id, AWS_ENDPOINT_URL_EC2=endpoint)["queue_id"] == "q"
    assert "the instance's console" in (person.cache / "ssh" / "known_hosts").read_text()


def test_a_rejected_key_is_reported_with_its_name_and_a_hint(
    instance: Instance, person: Person
) -> None:
    ran(instance)
    assert person.status(instance.id)["queue_id"] == "q"
    other = keygen(person.laptop.folder / "other")
    person.laptop.key.rename(person.laptop.folder / "kept")
    other.rename(person.laptop.key)
    said = refused(person, instance.id).err
    assert f"rejected the login as {ME}: keys tried: {person.laptop.key}" in said
    assert "--ssh-user names another user, --identity FILE another key" in said
    assert "--from-s3 reads its queue's log in S3 instead" in said
    kept = str(person.laptop.folder / "kept")
    assert person.status(instance.id, "--identity", kept)["queue_id"] == "q"


def test_an_unknown_user_is_rejected(instance: Instance, person: Person) -> None:
    said = refused(person, instance.id, "--ssh-user", "nobody-of-that-name").err
    assert "rejected the login as nobody-of-that-name" in said


def test_without_any_key_the_error_lists_the_places_searched(
    instance: Instance, person: Person
) -> None:
    person.laptop.key.unlink()
    said = refused(person, instance.id).err
    assert f"no key to log in to 127.0.0.1:{instance.server.port} as " in said
    assert "--identity FILE names the private key" in said


def test_the_right_key_of_an_agent_is_used(
    instance: Instance, person: Person, tmp_path: Path
) -> None:
    ran(instance)
    others = [keygen(tmp_path / f"other-{number}") for number in range(3)]
    with agent(tmp_path, *others, person.laptop.key) as path:
        person.laptop.key.rename(tmp_path / "away")
        instance.write_ssh_config(f"Host *\n    IdentityAgent {path}")
        assert person.status(instance.id)["queue_id"] == "q"


def test_a_jump_host_is_used(instance: Instance, person: Person, tmp_path: Path) -> None:
    ran(instance)
    with sshd(tmp_path / "jump", allow=[person.laptop.key]) as jump:
        person.laptop.add_known_hosts(jump.known_hosts_line(f"[127.0.0.1]:{jump.port}"))
        instance.write_ssh_config(
            f"Host i-*\n    ProxyJump gate\nHost gate\n    HostName 127.0.0.1\n"
            f"    Port {jump.port}\n    User {ME}\n"
        )
        assert person.status(instance.id)["queue_id"] == "q"
        assert jump.logins() == 1


# no answer


def test_a_closed_port_is_reported(bare: Instance, person: Person) -> None:
    bare.server.stop()
    said = refused(person, bare.id).err
    assert f"nothing listens at 127.0.0.1:{bare.server.port}" in said
    assert "takes a minute" in said


@pytest.mark.parametrize("says", ["nothing at all", "nothing after the connection"])
def test_a_host_that_drops_packets_times_out(bare: Instance, person: Person, says: str) -> None:
    seconds = streams.CONNECT_SECONDS if warm.cold else 1.0
    person.override_constant("spawn.cli.ssh.streams.CONNECT_SECONDS", seconds)
    person.override_constant("spawn.cli.ssh.handshake.BANNER_SECONDS", seconds)
    bare.server.stop()
    with swallowing(accepts=says != "nothing at all") as port:
        bare.server.port = port
        bare.write_ssh_config()
        said = refused(person, bare.id).err
    if says == "nothing at all":
        assert f"127.0.0.1:{port} does not answer: no connection within {seconds:g} s" in said
        assert "security group" in said
    else:
        assert f"127.0.0.1:{port} accepts the connection but does not answer" in said


@pytest.mark.parametrize("state", ["stopped", "terminated"])
def test_a_stopped_instance_is_reported(bare: Instance, person: Person, state: str) -> None:
    bare.vanish(state)
    said = refused(person, bare.id).err
    assert f"instance {bare.id} is {state}" in said
    start = f"`aws ec2 start-instances --instance-ids {bare.id}` starts it"
    assert (start in said) == (state == "stopped")
    assert "--queue ID and --bucket NAME read a queue's log in S3" in said


def test_a_starting_instance_is_reported(bare: Instance, person: Person) -> None:
    bare.server.stop()
    xml = (
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item>"
        f"<instanceId>{bare.id}</instanceId><instanceState><name>pending</name></instanceState>"
        "<launchTime>2026-01-27T14:00:00.000Z</launchTime>"
        "</item></instancesSet></item></reservationSet></DescribeInstancesResponse>"
    )
    with ec2(bare, b"Action=DescribeInstances", xml) as endpoint:
        said = refused(person, bare.id, AWS_ENDPOINT_URL_EC2=endpoint).err
    assert f"instance {bare.id} is pending: it has been starting since 2026-01-27 14:00:00" in said
    assert "try again in a minute or two" in said


def test_an_unknown_instance_is_not_found(bare: Instance, person: Person) -> None:
    bare.server.stop()
    said = refused(person, "i-0fedcba9876543210").err
    assert "nothing listens at 127.0.0.1" in said
    assert "EC2 has no instance i-0fedcba9876543210" in said
    person.laptop.configure("")
    said = refused(person, "i-0fedcba9876543210").err
    assert "EC2 has no instance i-0fedcba9876543210: " in said
    assert "--profile names another account, --region another region" in said
    mistyped = person.spawn("status", "i-12345")
    assert (mistyped.code, mistyped.out) == (2, "")
    assert "'i-12345' is not a valid instance id" in mistyped.err
    assert person.spawn("cancel", "i-12345").code == 2
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = person.spawn("status", bare.id, AWS_ENDPOINT_URL_EC2=nowhere).err
    assert "Hint: check the network, --region and --profile" in said
    assert "--queue ID and --bucket NAME read a queue's log in S3" in said


def test_an_instance_in_another_region_is_reported_with_its_region(
    bare: Instance, person: Person
) -> None:
    person.laptop.configure("")
    said = refused(person, bare.id, AWS_DEFAULT_REGION="eu-west-1").err
    assert f"instance {bare.id} is not in the region of the AWS configuration" in said
    assert "it is in us-east-1" in said
    assert "Hint: --region us-east-1" in said


# other programs answer


def test_another_program_on_the_feeds_port_is_rejected(bare: Instance, person: Person) -> None:
    ran(bare)
    with serving(person.port, answered(b"<html>It works</html>")):
        said = refused(person, bare.id).err
        assert f"the program on the feed's port of {bare.id} is not a spawn feed" in said
        bare.tag(spawn_queue_id="q", spawn_results_location=f"s3://{bare.bucket}/q/")
        finished = person.spawn("status", bare.id, "--json")
    assert json.loads(finished.out)["status"] == "completed"
    assert "is not a spawn feed" in finished.err
    assert "(set SPAWN_FEED_PORT to another port on both machines). Read from" in finished.err


@pytest.mark.parametrize(
    ("protocols", "side"), [((2, 3), "here"), ((0, 0), "there")], ids=["newer", "older"]
)
def test_a_feed_of_another_version_names_the_side_to_update(
    bare: Instance, person: Person, protocols: tuple[int, int], side: str
) -> None:
    oldest, protocol = protocols
    with serving(person.port, hello(oldest=oldest, protocol=protocol)):
        said = refused(person, bare.id).err
    assert f"the feed of {bare.id} uses an incompatible protocol" in said
    assert f"update spawn {side}" in said


# selecting a queue


def test_an_instance_without_a_queue_is_reported(instance: Instance, person: Person) -> None:
    finished = person.spawn("status", instance.id)
    assert (finished.code, finished.out) == (3, "")
    assert f"no queue was ever run on {instance.id}" in finished.err


def test_a_queue_that_is_not_on_the_instance_is_not_found(
    instance: Instance, person: Person
) -> None:
    ran(instance)
    finished = person.spawn("status", instance.id, "--queue", "other")
    assert (finished.code, finished.out) == (3, "")
    assert f"queue other is not on {instance.id}: there is no log at " in finished.err
    assert "this machine" not in finished.err


def test_with_two_queues_the_other_is_named_and_can_be_selected(
    instance: Instance, person: Person
) -> None:
    for name in ("first", "second"):
        instance.queue(job("one", until("end")), queue_id=name).detach().wait_executing("one")
    finished = person.spawn("status", instance.id, "--json")
    shown = json.loads(finished.out)["queue_id"]
    (other,) = {"first", "second"} - {shown}
    assert finished.err == f"Also running: {other} (--queue ID shows it)\n"
    assert person.status(instance.id, "--queue", other)["queue_id"] == other
    assert person.status(instance.id, SPAWN_QUEUE=other)["queue_id"] == other
    why = person.spawn("why", instance.id, "one", "--queue", other).out
    assert f"`spawn queue logs {instance.id} --queue {other} one --follow`" in why
    instance.world.release("end")
    for queue in instance.world.queues:
        queue.wait_for("QueueCompleted")


def test_a_host_key_is_trusted_only_for_its_instance(bare: Instance, person: Person) -> None:
    other = launch(bare.aws)
    said = refused(person, other).err
    assert f"the host key of {other} cannot be verified" in said


@contextmanager
def ec2(instance: Instance, action: bytes, xml: str) -> Iterator[str]:
    """An EC2 server that gives its own answer to one action; yields its endpoint."""

    def answer(asked: RecordedRequest) -> Answer:
        return Answer(body=xml.encode()) if action in asked.body else forward(instance.aws, asked)

    with answering(answer) as server:
        yield server.endpoint


def _copy(instance: Instance, prefix: str, keys: tuple[str, ...], *, owner: str = "") -> None:
    """Copy the queue's log into the bucket, with these host keys as its machine's."""
    (queue,) = instance.world.queues
    rows, hash_ = [], chain.genesis("q")
    for event in queue.events():
        if isinstance(event.data, QueueStarted):
            data = structs.replace(
                event.data, ssh_host_keys=keys, instance_id=owner or event.data.instance_id
            )
            event = structs.replace(event, data=data)
        line = encode(event)
        hash_ = chain.next_hash(hash_, line)
        rows.append((event.seq, event.type.encode(), line, hash_))
    instance.aws.client().put_object(
        Bucket=instance.bucket, Key=f"{prefix}/{names.segment(1)}", Body=lines.encode(rows)
    )


@contextmanager
def swallowing(*, accepts: bool) -> Iterator[int]:
    """A port that accepts connections and never answers, or whose backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16 if accepts else 0)
        port = int(listener.getsockname()[1])
        waiting = []
        if not accepts:  # the backlog is full
            for _ in range(2):
                one = socket.socket()
                one.setblocking(False)
                with suppress(BlockingIOError):
                    one.connect(("127.0.0.1", port))
                waiting.append(one)
        yield port
        for one in waiting:
            one.close()


@contextmanager
def serving(port: int, answer: bytes) -> Iterator[None]:
    """A program on a port that gives the same answer to everything."""
    with socket.create_server(("127.0.0.1", port)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, suppress(OSError):
                        while sock.recv(65536):
                            sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
