"""Several queues on one machine: `list`, and the queue that `local` means."""

import json
import re
import shutil

from tests.cli.support import Home, chain
from tests.cli.tampering import tamper


def test_list_shows_the_newest_first(finished: Home) -> None:
    done = finished("queue", "list")
    assert (done.returncode, done.stderr) == (0, "")
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d P[SD]T"
    head, bad, good = done.stdout.splitlines()
    assert head == "QUEUE  STATUS       JOBS          ELAPSED    STARTED"
    assert re.fullmatch(rf"bad    failed       1/3 done      \d+s +{moment}", bad)
    assert re.fullmatch(rf"good   completed    2/2 done      \d+s +{moment}", good)


def test_list_quiet_prints_only_ids(finished: Home) -> None:
    for flag in ("--quiet", "-q"):
        assert finished("queue", "list", flag).stdout == "bad\ngood\n"


def test_list_as_json_is_the_status_without_the_jobs(finished: Home) -> None:
    listed = json.loads(finished("queue", "list", "--json").stdout)
    for entry, queue_id in zip(listed, ("bad", "good"), strict=True):
        status = finished.status(queue_id)
        del status["job_details"], status["as_of"], entry["as_of"]
        assert entry == status
        assert list(entry) == list(status)


def test_list_without_queues_is_empty_and_succeeds(home: Home) -> None:
    done = home("queue", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "`spawn queue run FILE`" in done.stderr
    assert json.loads(home("queue", "list", "--json").stdout) == []
    assert home("queue", "list", "--quiet").stdout == ""
    assert not home.root.exists()


def test_local_is_the_newest_queue_when_none_runs_and_queue_selects_another(finished: Home) -> None:
    assert finished.status("local")["queue_id"] == "bad"
    assert finished.status("local", "--queue", "good")["queue_id"] == "good"
    from_environment = finished("queue", "status", "local", "--json", SPAWN_QUEUE="good")
    assert json.loads(from_environment.stdout)["queue_id"] == "good"


def test_the_queue_option_with_an_unknown_id_is_not_found(finished: Home) -> None:
    done = finished("queue", "status", "local", "--queue", "nope")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: queue nope is not on this machine: ")


def test_local_prefers_a_running_queue_to_a_newer_one(home: Home) -> None:
    home("queue", "run", home.config({"queue_id": "older", "jobs": chain(home, "a")}), "-d")
    quick = {"queue_id": "newer", "jobs": [{"job_id": "a", "command": "true"}]}
    assert home("queue", "run", home.config(quick)).returncode == 0
    done = home("queue", "status", "local", "--json")
    assert json.loads(done.stdout)["queue_id"] == "older"
    assert done.stderr == ""
    assert home("queue", "list", "-q").stdout == "newer\nolder\n"


def test_local_ignores_a_queue_that_was_never_submitted(home: Home) -> None:
    quick = {"queue_id": "older", "jobs": [{"job_id": "a", "command": "true"}]}
    assert home("queue", "run", home.config(quick)).returncode == 0
    newest = home.root / "state" / "queues" / "newest"
    newest.mkdir()
    for name in ("events.db", "runner.lock"):
        (newest / name).touch()
    assert home("queue", "list", "-q").stdout.splitlines()[-1] == "older"
    assert home.status("local")["queue_id"] == "older"
    shutil.rmtree(newest.with_name("older"))
    done = home("queue", "status", "local")
    assert (done.returncode, done.stdout) == (3, "")
    assert "is empty: its queue was never submitted" in done.stderr


def test_local_names_other_running_queues_on_stderr(home: Home) -> None:
    for queue_id in ("first", "second"):
        file = home.config({"queue_id": queue_id, "jobs": chain(home, "a")})
        home("queue", "run", file, "-d")
    done = home("queue", "status", "local", "--json")
    assert json.loads(done.stdout)["queue_id"] == "second"
    assert done.stderr == "Also running: first (--queue ID shows it)\n"
    assert home("queue", "status", "local", "--queue", "first").stderr == ""
    for command in (["cancel"], ["resume"], ["resume", "--retry-failed"]):
        refused = home("queue", command[0], "local", *command[1:])
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr == (
            "Error: 2 queues run on this machine: second, first: `local` must mean one of them\n"
            "Hint: --queue ID selects one\n"
        )
    assert {home.status(queue_id)["status"] for queue_id in ("first", "second")} == {"running"}


def test_a_mistyped_instance_id_is_rejected_unless_such_a_queue_exists(home: Home) -> None:
    for command in ("status", "cancel", "history", "list"):
        done = home("queue", command, "i-xyz")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: 'i-xyz' is not a valid instance id: ")
    quick = {"queue_id": "i-xyz", "jobs": [{"job_id": "a", "command": "true"}]}
    assert home("queue", "run", home.config(quick)).returncode == 0
    assert home.status("i-xyz")["status"] == "completed"


def test_an_unknown_job_is_reported_with_the_existing_jobs(finished: Home) -> None:
    done = finished("queue", "logs", "good", "zzzzzz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: queue good has no job 'zzzzzz'\nHint: it has fetch and count\n"


def test_the_short_path_of_a_log_belongs_to_the_newest_queue_with_that_job(home: Home) -> None:
    for queue_id in ("first", "second"):
        value = {"queue_id": queue_id, "jobs": [{"job_id": "a", "command": f"echo {queue_id}"}]}
        assert home("queue", "run", home.config(value)).returncode == 0
    paths = [home.status(name)["job_details"][0]["log_file"] for name in ("first", "second")]
    assert paths == [f"{home.root}/log/first/a.log", f"{home.root}/log/a.log"]
    for path, said in zip(paths, ("first", "second"), strict=True):
        with open(path) as file:
            assert file.read().endswith(f"] {said}\n")


def test_list_shows_other_queues_beside_an_unreadable_log(home: Home) -> None:
    for queue_id in ("sound", "broken"):
        value = {"queue_id": queue_id, "jobs": [{"job_id": "a", "command": "true"}]}
        assert home("queue", "run", home.config(value)).returncode == 0
    tamper(home.queue("broken").events, "UPDATE events SET line = line || ' ' WHERE seq = 3")
    done = home("queue", "list")
    assert done.returncode == 0
    assert re.search(r"(?m)^broken +unreadable +event 3 is not what was written", done.stdout)
    assert re.search(r"^sound +completed ", done.stdout, re.MULTILINE)
    listed = json.loads(home("queue", "list", "--json").stdout)
    assert [entry["status"] for entry in listed] == ["unreadable", "completed"]
