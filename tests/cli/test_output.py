"""Output to pipes, terminals and closed pipes, and its colours."""

import json
import re

import pytest
from tests.cli.support import Home, chain
from tests.support.wait import wait_until
from tests.support.warm import SPAWN

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[\d*m")
READS = [
    ["queue", "status", "bad"],
    ["queue", "status", "bad", "--json"],
    ["queue", "status", "bad", "--watch"],
    ["queue", "status", "bad", "--watch", "--json"],
    ["queue", "history", "bad"],
    ["queue", "history", "bad", "--json"],
    ["queue", "list"],
    ["queue", "list", "--json"],
    ["queue", "list", "--quiet"],
    ["queue", "verify", "bad"],
    ["queue", "validate", "bad.json"],
    ["queue", "schema"],
    ["queue", "--help"],
    ["--version"],
]

reads = pytest.mark.parametrize("arguments", READS, ids=" ".join)


def plain(drawn: str) -> str:
    """Return terminal output without colours."""
    return COLOUR.sub("", drawn).replace("\r\n", "\n")


@reads
def test_a_closed_pipe_is_not_an_error(finished: Home, arguments: list[str]) -> None:
    done = finished.unread(*arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.cold
def test_a_closed_pipe_is_not_an_error_with_unbuffered_output(finished: Home) -> None:
    done = finished.unread("queue", "history", "bad", PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.cold
def test_a_closed_stdout_is_not_an_error(finished: Home) -> None:
    done = finished.bash("spawn queue status bad >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.cold
def test_characters_outside_the_terminals_encoding_are_replaced(finished: Home) -> None:
    done = finished("queue", "status", "bad", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Jobs: 3 total" in done.stdout


@pytest.mark.cold
def test_a_queue_runs_to_its_end_when_its_output_pipe_is_closed(home: Home) -> None:
    file = home.config({"queue_id": "deaf", "jobs": [{"job_id": "a", "command": "exit 3"}]})
    done = home.unread("queue", "run", file)
    assert (done.returncode, done.stderr) == (1, "")
    assert home.status("deaf")["job_details"][0]["exit_code"] == 3


def test_pipefail_sees_no_failure_when_head_closes_the_pipe(finished: Home) -> None:
    done = finished.bash("set -o pipefail; spawn queue history bad --json | head -n 1")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["seq"] == 1


@reads
def test_output_to_a_pipe_has_no_colours(finished: Home, arguments: list[str]) -> None:
    done = finished(*arguments, TERM="xterm-256color")
    assert done.stdout
    assert ESCAPE not in done.stdout + done.stderr


def test_an_error_in_a_pipe_has_no_colours(finished: Home) -> None:
    assert ESCAPE not in finished("queue", "status", "nope", TERM="xterm-256color").stderr


@pytest.mark.parametrize(
    "arguments",
    [["queue", "status", "bad"], ["queue", "history", "bad"], ["queue", "list"]],
    ids=" ".join,
)
def test_terminal_output_adds_only_colours(finished: Home, arguments: list[str]) -> None:
    code, drawn = finished.on_terminal(*arguments)
    assert code == 0
    assert COLOUR.search(drawn)
    assert plain(drawn) == finished(*arguments).stdout


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
@pytest.mark.parametrize(
    "arguments", [["queue", "status", "bad"], ["queue", "status", "nope"]], ids=" ".join
)
def test_no_color_and_dumb_terminals_get_no_colours(
    finished: Home, arguments: list[str], environment: dict[str, str]
) -> None:
    _, drawn = finished.on_terminal(*arguments, **environment)
    assert "bad" in drawn or "nope" in drawn
    assert ESCAPE not in drawn


def test_an_empty_no_color_is_ignored(finished: Home) -> None:
    assert COLOUR.search(finished.on_terminal("queue", "status", "bad", NO_COLOR="")[1])


def test_json_on_a_terminal_has_no_colours(finished: Home) -> None:
    _, drawn = finished.on_terminal("queue", "status", "bad", "--json")
    assert json.loads(plain(drawn))["queue_id"] == "bad"
    assert ESCAPE not in drawn


def test_run_on_a_terminal_redraws_its_view_in_place(home: Home) -> None:
    file = home.config({"queue_id": "seen", "jobs": [{"job_id": "a", "command": "exit 3"}]})
    code, drawn = home.on_terminal("queue", "run", file)
    assert code == 1
    assert re.search(r"\x1b\[\d*A", drawn)
    assert "Queue seen failed (" in plain(drawn)
    assert "Jobs: 1 total, 1 failed" in plain(drawn)


def test_no_color_applies_to_the_live_view(home: Home) -> None:
    file = home.config({"queue_id": "seen", "jobs": [{"job_id": "a", "command": "exit 3"}]})
    _, drawn = home.on_terminal("queue", "run", file, NO_COLOR="1")
    assert not COLOUR.search(drawn)


def test_control_sequences_in_job_output_are_escaped(home: Home) -> None:
    command = r"printf '\033]0;owned\007\033[2Jred\r\n' >&2; exit 3"
    file = home.config({"queue_id": "wild", "jobs": [{"job_id": "a", "command": command}]})
    shown = home("queue", "run", file).stdout + home("queue", "status", "wild").stdout
    assert shown.count("red") == 3  # by run, and twice by status
    assert all(character == "\n" or character.isprintable() for character in shown)


def test_watch_in_a_pipe_prints_one_status_per_refresh_and_ends_with_the_queue(home: Home) -> None:
    file = home.config({"queue_id": "long", "jobs": chain(home, "a")})
    home("queue", "run", file, "-d")
    seen = home.work / "seen"
    command = [SPAWN, "queue", "status", "local", "-w", "--refresh", "1s"]
    with seen.open("w") as out, home.started(*command, stdout=out) as watching:
        wait_until(lambda: "Jobs: " in seen.read_text(), seconds=20)
        home.open_gate()
        _, err = watching.communicate(timeout=20)
    assert (watching.returncode, err) == (0, "")
    states = re.findall(r"^Status: (\w+)", seen.read_text(), re.MULTILINE)
    assert (states[0], states[-1]) == ("running", "completed")


def test_watch_as_json_prints_compact_lines_and_ends_with_the_queue(home: Home) -> None:
    file = home.config({"queue_id": "long", "jobs": chain(home, "a")})
    home("queue", "run", file, "-d")
    seen = home.work / "seen"
    command = [SPAWN, "queue", "status", "local", "--watch", "--json", "--refresh", "1s"]
    with seen.open("w") as out, home.started(*command, stdout=out) as watching:
        wait_until(lambda: "\n" in seen.read_text(), seconds=20)
        home.open_gate()
        _, err = watching.communicate(timeout=20)
    assert (watching.returncode, err) == (0, "")
    printed = seen.read_text().splitlines()
    read = [json.loads(line) for line in printed]
    assert (read[0]["status"], read[-1]["status"]) == ("running", "completed")
    for line, value in zip(printed, read, strict=True):
        assert line == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_watch_of_an_ended_queue_prints_one_status(finished: Home) -> None:
    watched = finished("queue", "status", "bad", "--watch", "--refresh", "1h")
    assert (watched.returncode, watched.stderr) == (0, "")
    assert watched.stdout == finished("queue", "status", "bad").stdout


def test_watch_on_a_terminal_ends_with_the_queue(finished: Home) -> None:
    code, drawn = finished.on_terminal("queue", "status", "bad", "--watch")
    assert code == 0
    assert "Jobs: 3 total, 1 completed, 1 failed, 1 blocked" in plain(drawn)


def test_watch_reads_its_refresh_from_the_environment(finished: Home) -> None:
    done = finished("queue", "status", "bad", "--watch", SPAWN_REFRESH="0.2s")
    assert done.returncode == 2
    assert "0.2s is too short" in done.stderr


@pytest.mark.parametrize("refresh", ["1s", "1m30s", "1000ms"])
def test_a_refresh_of_a_second_or_more_is_accepted(finished: Home, refresh: str) -> None:
    assert finished("queue", "status", "bad", "--watch", "--refresh", refresh).returncode == 0
