"""`spawn queue why` on real queues."""

import json

from tests.cli import samples
from tests.cli.support import Home, chain


def test_a_blocked_job_is_traced_to_the_failed_job_and_its_output(finished: Home) -> None:
    done = finished("queue", "why", "bad", "report")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "report is blocked: it waits for count."
    assert lines[1].startswith("count failed on attempt 1 of 1 at ")
    assert "exit code 3" in lines[1]
    assert lines[2] == "Last output:"
    assert lines[3].endswith(" oops")
    assert lines[4:] == [
        "Next: `spawn queue resume bad --retry-failed` retries count, then runs report.",
        "Or: `spawn queue logs bad count` prints its whole output.",
    ]


def test_json_has_the_chain_as_objects_with_their_sentences(finished: Home) -> None:
    done = finished("queue", "why", "bad", "report", "--json")
    told = json.loads(done.stdout)
    assert (told["queue_id"], told["job_id"], told["status"]) == ("bad", "report", "blocked")
    waits, attempt = told["chain"]
    assert (waits["kind"], waits["chain"]) == ("waits", ["report", "count"])
    assert attempt["kind"] == "attempt"
    assert (attempt["job_id"], attempt["exit_code"], attempt["result"]) == ("count", 3, "failed")
    assert [line.split()[-1] for line in attempt["last_lines"]] == ["oops"]
    assert attempt["text"] in finished("queue", "why", "bad", "report").stdout
    assert told["next"][0]["command"] == "spawn queue resume bad --retry-failed"


def test_an_unknown_job_is_a_bad_argument_with_the_closest_name(finished: Home) -> None:
    done = finished("queue", "why", "bad", "cuont")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: queue bad has no job 'cuont'\nHint: did you mean 'count'?\n"


def test_an_unknown_queue_is_not_found(finished: Home) -> None:
    assert finished("queue", "why", "nobody", "count").returncode == 3


def test_why_without_a_job_prints_its_usage(finished: Home) -> None:
    assert finished("queue", "why", "bad").returncode == 2


def test_a_waiting_job_waits_for_the_running_job(home: Home) -> None:
    file = home.config({"queue_id": "q", "jobs": chain(home, "a", "b")})
    assert home("queue", "run", "-d", file).returncode == 0
    done = home("queue", "why", "q", "b")
    lines = done.stdout.splitlines()
    assert lines[0] == "b is pending: it waits for a."
    assert lines[1].startswith(("a has been running since ", "a is pending"))
    home.open_gate()
    assert home("queue", "wait", "q").returncode == 0
    assert home("queue", "why", "q", "b").stdout.startswith("b completed at ")


def test_why_at_a_past_moment_uses_the_state_at_that_moment(home: Home) -> None:
    home.queue(samples.QUEUE_ID).folder.mkdir(parents=True)
    samples.training().write(home.queue(samples.QUEUE_ID).events)
    done = home("queue", "why", samples.QUEUE_ID, "train", "--at", "2026-01-27T15:10:00")
    assert done.stdout.splitlines() == [
        "As of: 2026-01-27 15:10:00 PST, in the past",
        "train is pending: it waits for preprocess.",
        "preprocess has been running since 15:05:32 PST (4m 28s): attempt 1 of 3, times out in "
        "25m 31s.",
    ]
    early = home("queue", "why", samples.QUEUE_ID, "train", "--at", "2026-01-27T14:00:00")
    assert early.returncode == 3
