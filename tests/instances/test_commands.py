"""Every command, run against an instance."""

import json
import re
import sys
from pathlib import Path

import pytest
from tests.support.instances import Instance, Person
from tests.support.queues import SECONDS, job, until

from spawn import __version__


def test_the_status_of_a_running_queue_equals_the_instances_own(
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
    instance.world.release("end")
    queue.wait_for("QueueCompleted")
    assert person.status(instance.id)["status"] == "completed"


def test_history_prints_the_log_of_the_instance(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", "true"))
    assert queue.run().code == 0
    finished = person.spawn("history", instance.id, "--json")
    assert (finished.code, finished.err) == (0, "")
    types = [json.loads(line)["type"] for line in finished.out.splitlines()]
    assert types == [event.type for event in queue.events()]


def test_why_explains_a_waiting_job(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("train", until("end")), job("evaluate", "true", "train")).detach()
    queue.wait_executing("train")
    finished = person.spawn("why", instance.id, "evaluate")
    assert (finished.code, finished.err) == (0, "")
    assert finished.out.startswith("evaluate is pending: it waits for train")
    there = instance.world.spawn("why", "local", "evaluate").out
    there = there.replace("queue logs q ", f"queue logs {instance.id} ")
    assert _untimed(finished.out) == _untimed(there)
    instance.world.release("end")
    queue.wait_for("QueueCompleted")


def _untimed(text: str) -> str:
    """Remove durations that depend on the current time."""
    return re.sub(r"\(\d+s\)", "", text)


def test_logs_prints_the_exact_output(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", "printf 'a\\tb'; printf 'wrong' >&2"))
    assert queue.run().code == 0
    finished = person.spawn("logs", instance.id, "one")
    assert (finished.code, finished.out, finished.err) == (0, "a\tb", "wrong")


def test_results_are_downloaded_from_the_bucket(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", "echo model > out.bin", result_files=["out.bin"]))
    assert queue.run().code == 0
    finished = person.spawn("results", instance.id, "-o", "there")
    assert finished.code == 0, finished.err
    there = person.laptop.folder / "there" / "one"
    assert (there / "results" / "out.bin").read_text() == "model\n"


def test_results_that_exist_only_on_the_instance_are_reported(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true"), s3=False).run("--no-s3").code == 0
    finished = person.spawn("results", instance.id)
    assert finished.code == 1
    assert f"the results of queue q are only on {instance.id}: it has no bucket" in finished.err
    assert "run `spawn queue results q` there" in finished.err


def test_verify_checks_the_log_of_the_instance(instance: Instance, person: Person) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    finished = person.spawn("verify", instance.id)
    assert (finished.code, finished.err) == (0, "")
    assert finished.out == instance.world.spawn("verify", "q").out


def test_verify_from_s3_checks_the_replica_of_the_instances_queue(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    person.status(instance.id)
    finished = person.spawn("verify", instance.id, "--from-s3")
    assert (finished.code, finished.err) == (0, "")
    assert f"Read from: s3://{instance.bucket}/q/ (" in finished.out


def test_report_writes_a_page_of_the_instances_queue(instance: Instance, person: Person) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    finished = person.spawn("report", instance.id)
    assert (finished.code, finished.err) == (0, "")
    assert "one" in (person.laptop.folder / "q-report.html").read_text()


@pytest.mark.parametrize(
    ("command", "code", "ended"), [("true", 0, "completed"), ("false", 1, "failed")]
)
def test_wait_waits_for_the_end_of_the_instances_queue(
    instance: Instance, person: Person, command: str, code: int, ended: str
) -> None:
    queue = instance.queue(job("one", f"{until('end')}; {command}")).detach()
    queue.wait_executing("one")
    waiting = person.start("wait", instance.id)
    instance.world.release("end")
    out, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, out) == (code, f"{ended}\n"), err


def test_at_shows_a_past_moment_of_the_instances_queue(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", "true"))
    assert queue.run().code == 0
    started = queue.job_events("one", "JobStarted")[0].at
    report = person.status(instance.id, "--at", started)
    assert report["status"] == "running"
    assert report["jobs"]["completed"] == 0


def test_cancel_runs_spawn_on_the_instance(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", until("never")), kill_grace="1s").detach()
    queue.wait_executing("one")
    finished = person.spawn("cancel", instance.id)
    assert (finished.code, finished.out) == (0, "Queue q is cancelled\n"), finished.err
    assert queue.state.reason == "cancelled"
    again = person.spawn("cancel", instance.id)
    assert again.code == 1
    assert again.err == (
        "Error: queue q was already cancelled\n"
        f"Hint: `spawn queue status {instance.id} --queue q` shows how it ended\n"
    )
    resumed = person.spawn("resume", instance.id)
    assert resumed.code == 1
    assert "queue q was cancelled: cancelled and failed jobs" in resumed.err
    assert f"`spawn queue resume {instance.id} --retry-failed --queue q` retries one" in resumed.err


def test_cancel_selects_the_named_queue(instance: Instance, person: Person) -> None:
    names = ("first", "second", "third")
    for name in names:
        queue = instance.queue(job("one", until("never")), queue_id=name, kill_grace="1s")
        queue.detach().wait_executing("one")
    shown = person.spawn("status", instance.id, "--json")
    (by_flag, by_name) = {*names} - {json.loads(shown.out)["queue_id"]}
    refused = person.spawn("cancel", instance.id)
    assert (refused.code, refused.out) == (2, "")
    assert f"3 queues run on {instance.id}: " in refused.err
    assert "--queue ID selects one" in refused.err
    listed = person.spawn("list", instance.id, "--json")
    assert json.loads(listed.out) == [
        {"queue_id": name, "status": "running", "runner_alive": True, "troubles": []}
        for name in ("third", "second", "first")
    ]
    assert person.spawn("list", instance.id, "-q").out == "third\nsecond\nfirst\n"
    assert person.spawn("list", instance.id).out.splitlines()[:2] == [
        "QUEUE   STATUS",
        "third   running",
    ]
    said = [
        person.spawn("cancel", instance.id, "--queue", by_flag),
        person.spawn("cancel", instance.id, SPAWN_QUEUE=by_name),
        person.spawn("cancel", instance.id),
    ]
    left = json.loads(shown.out)["queue_id"]
    assert [each.out for each in said] == [
        f"Queue {each} is cancelled\n" for each in (by_flag, by_name, left)
    ]


def test_an_invalid_queue_id_never_reaches_a_remote_command(bare: Instance, person: Person) -> None:
    finished = person.spawn("cancel", bare.id, SPAWN_QUEUE="--help")
    assert finished.code == 2
    assert "'--help' is not a queue id" in finished.err
    assert bare.server.logins() == 0


def test_resume_retry_failed_runs_spawn_on_the_instance_and_detaches(
    instance: Instance, person: Person
) -> None:
    queue = instance.queue(job("one", "test -e end"))
    assert queue.run().code == 1
    instance.world.release("end")
    finished = person.spawn("resume", instance.id, "--retry-failed")
    assert finished.code == 0, finished.err
    queue.wait_for("QueueCompleted")
    queue.wait_idle()


def test_resume_with_nothing_to_do_is_reported(instance: Instance, person: Person) -> None:
    assert instance.queue(job("one", "true")).run().code == 0
    finished = person.spawn("resume", instance.id)
    assert finished.code == 1
    assert "queue q has completed; nothing is left to do" in finished.err
    assert f"`spawn queue results {instance.id} --queue q` downloads" in finished.err


@pytest.mark.parametrize("flags", [("--config", "x.json"), ("--from-s3",), ("--leave-jobs",)])
def test_unsupported_options_are_rejected_before_connecting(
    bare: Instance, person: Person, flags: tuple[str, ...]
) -> None:
    finished = person.spawn("resume", bare.id, *flags)
    assert finished.code == 2
    assert "only these options work with an instance: --retry-failed, " in finished.err
    assert bare.server.logins() == 0


def test_cancel_never_falls_back_to_another_machine(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("one", until("end"))).detach()
    queue.wait_executing("one")
    person.status(instance.id)
    instance.server.stop()
    finished = person.spawn("cancel", instance.id)
    assert finished.code == 1
    assert "nothing listens at 127.0.0.1" in finished.err
    assert not queue.state.ended
    instance.world.release("end")
    queue.wait_for("QueueCompleted")


def test_a_missing_remote_spawn_is_reported_with_the_paths_searched(
    bare: Instance, person: Person
) -> None:
    with_path = [each.replace(f"{Path(sys.executable).parent}:", "") for each in bare.server.lines]
    bare.server.stop()
    bare.server.lines = with_path
    bare.server.start()
    finished = person.spawn("cancel", bare.id)
    assert finished.code == 1
    assert "spawn not found on" in finished.err
    assert "--ssh-user selects the user who installed it" in finished.err


@pytest.mark.parametrize("version", ["0.0.1", "99.0.0"])
def test_an_incompatible_remote_spawn_is_reported_with_its_version(
    bare: Instance, person: Person, tmp_path: Path, version: str
) -> None:
    other = tmp_path / "bin"
    other.mkdir()
    program = other / "spawn"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec echo "spawn {version}"\n'
        "echo \"No such command 'cancel'\" >&2; exit 2\n"
    )
    program.chmod(0o755)
    bare.server.stop()
    bare.server.lines = [each.replace('"PATH=', f'"PATH={other}:') for each in bare.server.lines]
    bare.server.start()
    finished = person.spawn("cancel", bare.id)
    assert finished.code == 1
    assert f"it is version {version}, and this is {__version__}" in finished.err
    assert "does not understand `queue cancel local`" in finished.err


def test_resume_for_a_lost_instance_prints_how_to_resume_elsewhere(
    instance: Instance, person: Person
) -> None:
    assert instance.queue(job("one", "false")).run().code == 1
    person.status(instance.id)
    instance.vanish("stopped")
    finished = person.spawn("resume", instance.id, "--retry-failed")
    assert finished.code == 1
    assert f"instance {instance.id} is stopped" in finished.err
    command = f"`spawn queue resume q --from-s3 --retry-failed --bucket {instance.bucket}"
    assert command in finished.err
    listed = person.spawn("list", instance.id)
    assert listed.code == 1
    assert "`spawn queue list --bucket NAME` lists the queues in a bucket" in listed.err
