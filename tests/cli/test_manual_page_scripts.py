"""The manual page's scripts, run as they stand there by bash and jq, for this machine's queue.

What is put in their place: `local` for the instance's id, and a shorter sleep. `results`, which
the page's script calls at a completed queue's end, is the real command or none at all: no stand-in.
"""

import json

import pytest
from tests.cli.support import Home, chain
from tests.support.page import block, command
from tests.support.wait import wait_until

pytestmark = pytest.mark.tool("jq")


MONITOR = "while true"
CHECK_JOB = 'select(.job_id == "train")'
FAILED_JOB = "--json | jq '.job_details[]"
"""What is in the page's blocks, and in one of its lines, that are run here."""


def script(part: str) -> str:
    """The page's block, or line, that has this in it; its instance is `local`."""
    text = command(part) if part == FAILED_JOB else block(part)
    return text.replace("i-0123456789abcdef0", "local").replace("i-1234567890", "local")


def monitored(home: Home, last: str) -> tuple[int, str]:
    """Run the page's monitoring script over a queue of two jobs, the last of which is `last`."""
    jobs = [*chain(home, "first"), {"job_id": "last", "command": last, "depends_on": ["first"]}]
    home("queue", "run", home.config({"queue_id": "watched", "jobs": jobs}), "--detach")
    quick = script(MONITOR).replace("sleep 30", "sleep 0.2")
    seen = home.work / "seen"
    with seen.open("w") as out, home.started("bash", "-c", quick, stdout=out) as monitoring:
        wait_until(lambda: "Progress: 0 / 2\n" in seen.read_text(), seconds=20)
        home.open_gate()
        monitoring.communicate(timeout=20)
    return monitoring.returncode, seen.read_text()


def test_the_monitoring_script_tells_a_completed_queue(home: Home) -> None:
    code, said = monitored(home, "true")
    assert code == 0
    assert "Queue completed successfully!\n" in said
    assert "failed" not in said


def test_the_monitoring_script_tells_the_failed_job_and_exits_1(home: Home) -> None:
    code, said = monitored(home, "exit 3")
    assert code == 1
    assert said.endswith("Queue failed!\nFailed job: last\n")


def test_the_script_that_checks_a_job_prints_that_job(home: Home) -> None:
    jobs = [{"job_id": name, "command": "true"} for name in ("preprocess", "train")]
    home("queue", "run", home.config({"queue_id": "checked", "jobs": jobs}))
    done = home.bash(f'INSTANCE=local\n{script(CHECK_JOB)}\necho "$QUEUE_ID"')
    assert (done.returncode, done.stderr) == (0, "")
    printed, _, queue_id = done.stdout.rstrip().rpartition("\n")
    assert queue_id == "checked"
    assert json.loads(printed) == home.status()["job_details"][1]


def test_the_line_for_failed_jobs_prints_them_and_nothing_else(finished: Home) -> None:
    done = finished.bash(script(FAILED_JOB))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["job_id"] == "count"
    good = script(FAILED_JOB).replace("local", "good")
    assert finished.bash(good).stdout == ""
