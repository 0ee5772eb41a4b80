"""Exit codes (0 success, 1 failed, 2 bad arguments, 3 not found) and the messages with them."""

import re
import signal

import pytest
from tests.cli.support import Home, chain
from tests.support.wait import wait_until
from tests.support.warm import SPAWN

from spawn import __version__

READING = ("status", "history", "verify")
COMMANDS = (
    "run",
    "resume",
    "cancel",
    "status",
    "wait",
    "logs",
    "results",
    "why",
    "history",
    "report",
    "list",
    "verify",
    "validate",
    "schema",
    "feed",
)

reading = pytest.mark.parametrize("command", READING)


@reading
def test_an_unknown_queue_exits_with_3(finished: Home, command: str) -> None:
    done = finished("queue", command, "nope")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: queue nope is not on this machine: ")
    assert done.stderr.endswith(
        "\nHint: `spawn queue list` lists the queues on this machine; "
        "--bucket or --region says where in S3 to look\n"
    )


@pytest.mark.cold
def test_debug_adds_a_traceback_and_keeps_the_exit_code(finished: Home) -> None:
    done = finished("--debug", "queue", "status", "nope")
    assert "Traceback" in done.stderr
    assert done.returncode == 3


@reading
def test_local_without_any_queue_exits_with_3_and_creates_nothing(home: Home, command: str) -> None:
    done = home("queue", command, "local")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: no queue was ever run on this machine: ")
    assert "\nHint: `spawn queue run FILE` runs one\n" in done.stderr
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("command", "target"),
    [
        *(("status", target) for target in ("a/b", "..", "-", "", "a b", "x" * 129, "ä")),
        ("history", "a/b"),
        ("verify", "a/b"),
    ],
)
def test_an_invalid_target_exits_with_2(finished: Home, command: str, target: str) -> None:
    done = finished("queue", command, target)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{target}' is not a queue id: an id is 1 to 128 letters" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["queue", "nonsense"],
        ["queue", "status"],
        ["queue", "status", "good", "bad"],
        ["queue", "status", "good", "--nonsense"],
        ["queue", "status", "good", "--refresh"],
        ["queue", "status", "good", "--refresh", "soon"],
        ["queue", "status", "good", "--refresh", "10"],
        ["queue", "status", "good", "--refresh", "-1s"],
        ["queue", "status", "good", "--watch", "--refresh", "0.2s"],
        ["queue", "status", "good", "--watch", "--at", "10m ago"],
        ["queue", "status", "good", "--queue", "bad"],
        ["queue", "status", "local", "--queue", "a/b"],
        ["queue", "history"],
        ["queue", "history", "good", "--job", "cuont"],
        ["queue", "list", "good"],
        ["queue", "list", "--all"],
        ["queue", "verify"],
        ["queue", "validate"],
        ["queue", "run"],
        ["queue", "run", "good.json", "--nonsense"],
        ["queue", "schema", "good.json"],
    ],
    ids=" ".join,
)
def test_a_bad_argument_exits_with_2_and_prints_nothing_on_stdout(
    finished: Home, arguments: list[str]
) -> None:
    done = finished(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["status", "history", "verify"])
def test_reading_commands_exit_with_0_for_any_state_of_the_queue(
    finished: Home, command: str
) -> None:
    for queue_id in ("good", "bad", "local"):
        done = finished("queue", command, queue_id)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [([], "-h"), *((["queue", *command], "--help") for command in ([], *zip(COMMANDS)))],
)
def test_help_exits_with_0_and_prints_on_stdout(
    home: Home, arguments: list[str], flag: str
) -> None:
    done = home(*arguments, flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(["Usage: spawn", *arguments]))


def test_the_help_names_every_command(home: Home) -> None:
    said = home("queue", "--help").stdout
    assert re.findall(r"^  (\w+)  ", said.partition("Commands:")[2], re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_examples_and_groups_its_options(
    home: Home, command: str
) -> None:
    said = home("queue", command, "--help").stdout
    assert f"\n  Examples:\n      spawn queue {command}" in said
    groups = dict(re.findall(r"^(\w+) options:\n((?:  .*\n)+)", said, re.MULTILINE))
    assert ("--ssh-user" in said) == ("--ssh-user" in groups.get("SSH", ""))
    assert ("  --bucket" in said) == ("--bucket" in groups.get("S3", ""))
    assert ("--profile" in said) == ("--profile" in groups.get("AWS", ""))


def test_the_version_is_the_packages(home: Home) -> None:
    done = home("--version")
    assert (done.returncode, done.stdout) == (0, f"spawn {__version__}\n")


def test_run_of_a_completed_queue_exits_with_0_and_prints_its_events(home: Home) -> None:
    file = home.config({"jobs": [{"job_id": "a", "command": "echo out; echo err >&2"}]})
    done = home("queue", "run", file, "--queue-id", "short")
    assert (done.returncode, done.stderr) == (0, "")
    told = re.sub(r"\b\d+s\b", "0s", re.sub(r"\[[\d:]{8}\]", "[T]", done.stdout)).splitlines()
    assert told[2].startswith("[T] ▶ a: attempt 1 started, pid ")
    assert told[3:] == [
        "[T] ✓ a: attempt 1 completed after 0s",
        "[T] ✓ queue short: completed",
        "Queue short completed: 1 of 1 jobs completed in 0s",
        f"Results Location: {home.root}/state/objects/short/",
        "Details: spawn queue status short",
    ]


def test_run_of_a_failed_queue_exits_with_1_and_names_job_and_cause(home: Home) -> None:
    file = home.config({"jobs": [{"job_id": "a", "command": "echo oops >&2; exit 3"}]})
    done = home("queue", "run", file, "--queue-id", "short")
    assert done.returncode == 1
    assert re.search(r"✗ a: attempt 1 failed \(exit 3\) after \ds; no retry: no att", done.stdout)
    assert re.search(r"^ +\[\d\d:\d\d:\d\d\] oops$", done.stdout, re.MULTILINE)
    assert "  ✗ a: exit 3, no attempts left (1 of 1)\n" in done.stdout
    assert f"    Log: {home.root}/log/a.log\n" in done.stdout


def test_a_queue_without_an_id_is_named_after_the_current_time(home: Home) -> None:
    done = home("queue", "run", "-", "-d", stdin=b'{"jobs": [{"job_id": "a", "command": "true"}]}')
    assert done.returncode == 0
    assert re.fullmatch(r"queue-\d{8}-\d{6}\n", done.stdout)
    assert home.status(done.stdout.strip())["queue_id"] == done.stdout.strip()


@pytest.mark.parametrize(("queue_id", "state"), [("good", "completed"), ("bad", "failed")])
def test_running_an_id_again_exits_with_1_and_gives_time_state_and_hint(
    finished: Home, queue_id: str, state: str
) -> None:
    before = finished("queue", "history", queue_id, "--json").stdout
    done = finished("queue", "run", f"{queue_id}.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"Error: queue {queue_id} was run before: submitted [-0-9]+ [:0-9]+ \w+, now {state}\n"
        r"Hint: .*`--queue-id NEW` starts a new queue\n",
        done.stderr,
    )
    assert finished("queue", "history", queue_id, "--json").stdout == before


@pytest.mark.parametrize(("queue_id", "code"), [("good", 0), ("bad", 1)])
def test_or_resume_of_an_ended_queue_exits_with_its_exit_code(
    finished: Home, queue_id: str, code: int
) -> None:
    before = finished("queue", "history", queue_id, "--json").stdout
    done = finished("queue", "run", f"{queue_id}.json", "--or-resume")
    assert (done.returncode, done.stdout) == (code, "")
    assert f"Queue {queue_id} has " in done.stderr
    assert finished("queue", "history", queue_id, "--json").stdout == before


def test_or_resume_of_an_unknown_id_runs_it(home: Home) -> None:
    file = home.config({"queue_id": "new", "jobs": [{"job_id": "a", "command": "true"}]})
    assert home("queue", "run", file, "--or-resume").returncode == 0
    assert home.status("new")["status"] == "completed"


def test_detach_prints_only_the_id_and_returns_while_the_queue_runs(home: Home) -> None:
    file = home.config({"queue_id": "long", "jobs": chain(home, "a", "b")})
    done = home("queue", "run", file, "--detach")
    assert (done.returncode, done.stdout) == (0, "long\n")
    assert done.stderr == "Running. `spawn queue status long` shows its progress.\n"
    assert home.status("long")["status"] == "running"
    home.open_gate()
    wait_until(lambda: home.status("long")["status"] == "completed", seconds=20)


def test_a_second_run_of_a_running_queue_is_rejected(home: Home) -> None:
    file = home.config({"queue_id": "long", "jobs": chain(home, "a")})
    home("queue", "run", file, "--detach")
    for flags in ([], ["--detach"], ["--or-resume", "--detach"]):
        done = home("queue", "run", file, *flags)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "Error: queue long is being run by another process\n"
            "Hint: `spawn queue status long` shows it\n"
        )
    home.open_gate()
    wait_until(lambda: home.status("long")["status"] == "completed", seconds=20)
    assert home.status("long")["jobs"]["completed"] == 1


def test_the_queue_continues_when_its_command_is_killed(home: Home) -> None:
    file = home.config({"queue_id": "long", "jobs": chain(home, "a", "b")})
    with home.started(SPAWN, "queue", "run", file):
        wait_until(
            lambda: (
                home.queue("long").events.exists()
                and home("queue", "status", "long", "--json").stdout.count('"running"') > 1
            ),
            seconds=20,
        )
    assert home.status("long")["runner_alive"] is True
    home.open_gate()
    wait_until(lambda: home.status("long")["status"] == "completed", seconds=20)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_command_interrupts_the_queue_and_or_resume_resumes_it(
    home: Home, number: signal.Signals, code: int
) -> None:
    file = home.config({"queue_id": "long", "jobs": chain(home, "a", "b")})
    seen = home.work / "seen"
    with seen.open("w") as out, home.started(SPAWN, "queue", "run", file, stdout=out) as running:
        wait_until(lambda: "a: attempt 1 started" in seen.read_text(), seconds=20)
        running.send_signal(number)
        running.communicate(timeout=20)
    assert running.returncode == code
    assert f"Queue long interrupted (the runner was stopped by {number.name})" in seen.read_text()
    left = home.status("long")
    assert (left["status"], left["jobs"]["pending"]) == ("interrupted", 2)
    home.open_gate()
    assert home("queue", "run", file, "--or-resume").returncode == 0
    details = home.status("long")["job_details"]
    assert [(job["attempts"], job["attempt"]) for job in details] == [(1, 2), (1, 1)]


def test_a_queue_does_not_start_without_access_to_its_bucket(home: Home) -> None:
    value = {"result_s3_bucket": "team", "jobs": [{"job_id": "a", "command": "true"}]}
    file = home.config(value)
    home.environment |= {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    home.environment |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    done = home("queue", "run", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unable to locate credentials" in done.stderr
    assert "Hint: set credentials with `aws configure`" in done.stderr
    assert home("queue", "list", "--quiet").stdout == ""
    assert home("queue", "run", file, "--no-s3").returncode == 0
