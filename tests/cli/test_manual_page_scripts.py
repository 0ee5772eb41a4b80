"""Run the manual page's scripts with bash and jq against a local queue.

The tests substitute `local` for the instance id, and a shorter sleep. `results`, which the page's
script calls for a completed queue, is the real command.
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
"""Text that identifies the blocks and the line of the page that the tests run."""


def script(part: str) -> str:
    """Return the page's block or line that contains `part`, with `local` as its instance."""
    text = command(part) if part == FAILED_JOB else block(part)
    return text.replace("i-0123456789abcdef0", "local").replace("i-1234567890", "local")


def monitored(home: Home, last: str) -> tuple[int, str]:
    """Run the page's monitoring script on a queue of two jobs; `last` is the second."""
    jobs = [*chain(home, "first"), {"job_id": "last", "command": last, "depends_on": ["first"]}]
    home("queue", "run", home.config({"queue_id": "watched", "jobs": jobs}), "--detach")
    quick = script(MONITOR).replace("sleep 30", "sleep 0.2")
    seen = home.work / "seen"
    with seen.open("w") as out, home.started("bash", "-c", quick, stdout=out) as monitoring:
        wait_until(lambda: "Progress: 0 / 2\n" in seen.read_text(), seconds=20)
        home.open_gate()
        monitoring.communicate(timeout=20)
    return monitoring.returncode, seen.read_text()


def test_the_monitoring_script_reports_a_completed_queue(home: Home) -> None:
    code, said = monitored(home, "true")
    assert code == 0
    assert "Queue completed successfully!\n" in said
    assert "failed" not in said


def test_the_monitoring_script_names_the_failed_job_and_exits_with_1(home: Home) -> None:
    code, said = monitored(home, "exit 3")
    assert code == 1
    assert said.endswith("Queue failed!\nFailed job: last\n")


def test_the_job_check_script_prints_that_job(home: Home) -> None:
    jobs = [{"job_id": name, "command": "true"} for name in ("preprocess", "train")]
    home("queue", "run", home.config({"queue_id": "checked", "jobs": jobs}))
    done = home.bash(f'INSTANCE=local\n{script(CHECK_JOB)}\necho "$QUEUE_ID"')
    assert (done.returncode, done.stderr) == (0, "")
    printed, _, queue_id = done.stdout.rstrip().rpartition("\n")
    assert queue_id == "checked"
    assert json.loads(printed) == home.status()["job_details"][1]


def test_the_failed_jobs_command_prints_only_failed_jobs(finished: Home) -> None:
    done = finished.bash(script(FAILED_JOB))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["job_id"] == "count"
    good = script(FAILED_JOB).replace("local", "good")
    assert finished.bash(good).stdout == ""
