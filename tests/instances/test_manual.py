"""Run the manual page's status sections with bash and jq against an instance.

`SUBSTITUTIONS` has the substituted words; the rest is unchanged, and every program is real.
"""

import json
import subprocess
from pathlib import Path

import pytest
from tests.instances.test_watch import Staying
from tests.support.instances import Instance, Person
from tests.support.page import block, command, scripts
from tests.support.queues import SECONDS, SPAWN, Finished, job, until
from tests.support.wait import wait_until

pytestmark = pytest.mark.tool("jq")

SUBSTITUTIONS = {
    "i-0123456789abcdef0": "{instance}",
    "i-1234567890": "{instance}",
    "sleep 30": "sleep 0.2",
}
"""Words of the page, and their substitutes here."""


def typed(text: str, instance: Instance) -> str:
    """Return the page's text with the substitutes for an instance."""
    for said, instead in SUBSTITUTIONS.items():
        assert "{" not in said
        text = text.replace(said, instead.format(instance=instance.id))
    return text


def bash(person: Person, script: str) -> Finished:
    """Run a script as the user does."""
    done = subprocess.run(
        ["bash", "-c", script],
        env=environ(person),
        cwd=person.laptop.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def environ(person: Person) -> dict[str, str]:
    """Return the user's environment, with `spawn` on the path."""
    return {**person.environ, "PATH": f"{Path(SPAWN).parent}:{person.environ['PATH']}"}


def monitored(instance: Instance, person: Person, last: str) -> tuple[int, str]:
    """Run the monitoring script on a queue of two jobs; `last` is the second."""
    queue = instance.queue(
        job("first", until("go")), job("last", last, "first"), queue_id="watched"
    ).detach()
    queue.wait_executing("first")
    seen = person.laptop.folder / "seen"
    with (
        seen.open("w") as out,
        subprocess.Popen(
            ["bash", "-c", typed(block("while true"), instance)],
            env=environ(person),
            cwd=person.laptop.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
        ) as script,
    ):
        try:
            wait_until(lambda: "Progress: 0 / 2\n" in seen.read_text(), seconds=SECONDS)
            instance.world.release("go")
            code = script.wait(4 * SECONDS)
        finally:
            script.kill()
            instance.world.release("go")
    queue.wait_idle()
    return code, seen.read_text()


def test_the_monitoring_script_downloads_the_results_of_a_completed_queue(
    instance: Instance, person: Person
) -> None:
    code, said = monitored(instance, person, "echo made")
    assert code == 0, said
    assert "Queue completed successfully!\n" in said
    results = person.laptop.folder / "results" / "watched"
    assert (results / "last" / "stdout.log").read_text() == "made\n"
    assert (results / "last" / "exit_code").read_text().strip() == "0"


def test_the_monitoring_script_exits_with_1_for_a_failed_queue(
    instance: Instance, person: Person
) -> None:
    code, said = monitored(instance, person, "exit 3")
    assert code == 1
    assert said.endswith("Queue failed!\nFailed job: last\n")


def test_the_documented_job_check_works(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("preprocess", "true"), job("train", "true"), queue_id="checked")
    assert queue.run().code == 0
    check = typed(block('select(.job_id == "train")'), instance)
    script = f'INSTANCE={instance.id}\n{check}\necho "$QUEUE_ID"'
    done = bash(person, script)
    assert (done.code, done.err) == (0, "")
    printed, _, queue_id = done.out.rstrip().rpartition("\n")
    assert queue_id == "checked"
    assert json.loads(printed) == person.status(instance.id)["job_details"][1]


def test_the_documented_search_for_failed_jobs_works(instance: Instance, person: Person) -> None:
    assert instance.queue(job("good", "true"), job("bad", "exit 7", "good")).run().code == 1
    done = bash(person, typed(command("--json | jq '.job_details[]"), instance))
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["job_id"], found["exit_code"]) == ("bad", 7)


def test_each_documented_status_command_works(instance: Instance, person: Person) -> None:
    queue = instance.queue(job("a", until("end"))).detach()
    queue.wait_executing("a")
    lines = [text for text in scripts() if text.startswith("spawn queue status i-")]
    plain, as_json, *watches = typed("".join(lines), instance).splitlines()
    text = bash(person, plain)
    assert (text.code, text.err) == (0, "")
    assert f"Queue: q\nInstance: {instance.id}\nStatus: running\n" in text.out
    assert json.loads(bash(person, as_json).out)["instance_id"] == instance.id
    staying = [Staying(person, *line.split()[2:]) for line in watches]
    for watch in staying:
        watch.until(lambda watch=watch: "Status: running" in watch.out, "its first status")
    instance.world.release("end")
    for watch in staying:
        assert watch.end() == 0, watch.err
        assert "Status: completed" in watch.out
    queue.wait_idle()
