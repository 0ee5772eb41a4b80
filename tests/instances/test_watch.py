"""Long-running commands against an instance: `--watch`, `wait`, `logs --follow`, with faults."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.instances import Instance, Person
from tests.support.queues import SECONDS, SPAWN, Queue, job, retry, until
from tests.support.relay import relay
from tests.support.sshd import sshd
from tests.support.terminal import Terminal, terminal
from tests.support.wait import wait_until

from spawn.core.values.timestamps import parse_timestamp


class Staying:
    """A long-running command of the user; its output is in files."""

    def __init__(self, person: Person, *command: str, **environ: str) -> None:
        self._out = person.laptop.folder / f"out-{len(person.started)}"
        self._err = person.laptop.folder / f"err-{len(person.started)}"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process: subprocess.Popen[str] = person.start(
                *command, environ=environ, stdout=out, stderr=err
            )

    @property
    def out(self) -> str:
        """Its stdout so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Its stderr so far."""
        return self._err.read_text()

    @property
    def reports(self) -> list[Any]:
        """Its complete lines so far, as JSON."""
        return [json.loads(line) for line in self.out.split("\n")[:-1]]

    def until(self, condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
        """Wait for a condition while the command runs."""

        def there() -> bool:
            found = bool(condition())
            assert found or self.process.poll() is None, (
                f"the command has ended: {self.out}{self.err}"
            )
            return found

        try:
            wait_until(there, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.out}\n{self.err}") from None

    def end(self, seconds: float = 2 * SECONDS) -> int:
        """Wait for its end; returns the exit code."""
        return int(self.process.wait(seconds))


def statuses(reports: list[Any]) -> list[str]:
    """Return the queue's status in each report."""
    return [each["status"] for each in reports]


@pytest.fixture
def running(instance: Instance) -> Iterator[Queue]:
    """A running queue of the instance, which ends with `end` or with the test."""
    queue = instance.queue(job("a", f"echo begun; {until('end')}; echo over")).detach()
    queue.wait_executing("a")
    yield queue
    instance.world.release("end")
    queue.wait_idle()


@contextmanager
def watching(person: Person, target: str, *flags: str) -> Iterator[Staying]:
    """Run `--watch --json` every second; it must end with the queue and succeed."""
    staying = Staying(person, "status", target, "--watch", "--refresh", "1s", "--json", *flags)
    staying.until(lambda: staying.reports, "a report")
    yield staying
    assert staying.end() == 0, staying.err
    assert statuses(staying.reports)[-1] == "completed", staying.out
    assert set(statuses(staying.reports)[:-1]) <= {"running"}


@pytest.mark.cold
def test_a_watch_uses_one_login_and_ends_with_the_queue(
    instance: Instance, person: Person, running: Queue
) -> None:
    with watching(person, instance.id) as watch:
        watch.until(lambda: len(watch.reports) >= 3, "three reports")
        instance.world.release("end")
    assert instance.server.logins() == 1
    assert watch.err == ""
    assert watch.reports[-1]["job_details"][0]["exit_code"] == 0
    assert all(line == line.strip() for line in watch.out.splitlines())


def test_the_end_is_shown_without_waiting_for_the_next_refresh(
    instance: Instance, person: Person, running: Queue
) -> None:
    watch = Staying(person, "status", instance.id, "--watch", "--refresh", "1h", "--json")
    watch.until(lambda: watch.reports, "a report")
    instance.world.release("end")
    assert watch.end() == 0
    assert statuses(watch.reports) == ["running", "completed"]


def test_a_cut_tunnel_is_reopened_silently(
    instance: Instance, person: Person, running: Queue
) -> None:
    with watching(person, instance.id) as watch:
        for _ in range(2):
            instance.server.cut()
            before = len(watch.reports)
            watch.until(lambda before=before: len(watch.reports) >= before + 2, "it to go on")
        instance.world.release("end")
    assert instance.server.logins() >= 2


def test_a_temporarily_unreachable_instance_is_reported_once(
    instance: Instance, person: Person, running: Queue
) -> None:
    with watching(person, instance.id) as watch:
        instance.server.stop()
        watch.until(lambda: "retrying" in watch.err, "it to find out")
        instance.server.start()
        watch.until(lambda: "Connected again" in watch.err, "it to come back")
        before = len(watch.reports)
        watch.until(lambda: len(watch.reports) > before, "another report")
        instance.world.release("end")
    assert watch.err.count("retrying") == 1
    assert "Traceback" not in watch.err


def test_a_watch_continues_after_the_feed_restarts(
    instance: Instance, person: Person, running: Queue
) -> None:
    with watching(person, instance.id) as watch:
        instance.stop_feed(signal.SIGKILL)
        watch.until(lambda: "retrying" in watch.err, "it to find out")
        instance.start_feed()
        watch.until(lambda: "Connected again" in watch.err, "it to come back")
        instance.world.release("end")


def test_a_watch_returns_from_s3_to_the_instance_when_it_answers_again(
    instance: Instance, person: Person, running: Queue
) -> None:
    person.override_constant("spawn.cli.sources.background_retry.FIRST_SECONDS", 0.5)
    assert person.status(instance.id)["status"] == "running"
    instance.stop_feed()
    with watching(person, instance.id) as watch:
        assert watch.reports[0]["read_from"]["location"] == f"s3://{instance.bucket}/q/"
        instance.start_feed()
        watch.until(lambda: "answers again" in watch.err, "it to go back")
        before = len(watch.reports)
        watch.until(lambda: len(watch.reports) > before, "a report of the instance")
        assert "read_from" not in watch.reports[-1]
        instance.world.release("end")
    assert watch.err.count("Read from s3://") == 1
    assert "reached again" not in watch.err


def test_a_watch_in_s3_ends_when_another_host_answers(
    instance: Instance, person: Person, running: Queue, tmp_path: Path
) -> None:
    assert person.status(instance.id)["status"] == "running"
    instance.server.stop()
    watch = Staying(person, "status", instance.id, "--watch", "--refresh", "1s")
    watch.until(lambda: "Jobs: 1 total" in watch.out, "a report")
    frame = f"Status: running\nRead from: s3://{instance.bucket}/q/ (as of "
    assert frame in watch.out
    with sshd(tmp_path / "stranger", allow=[person.laptop.key], port=instance.server.port):
        assert watch.end() == 1
    assert "does not match the known one: nothing was sent" in watch.err
    assert "--from-s3 reads its queue's log in S3 instead" in watch.err


def test_a_watch_reports_a_dead_runner_and_continues_with_the_next(
    instance: Instance, person: Person, running: Queue
) -> None:
    with watching(person, instance.id) as watch:
        running.kill_runner()
        watch.until(lambda: not watch.reports[-1]["runner_alive"], "it is told")
        instance.world.release("end")
        running.wait_over("a")
        assert running.resume().code == 0


def test_a_watch_of_a_terminated_instance_continues_in_s3(
    instance: Instance, person: Person, running: Queue
) -> None:
    person.override_constant("spawn.cli.sources.replica.ReplicaQueue.poll_seconds", 1.0)
    with watching(person, instance.id) as watch:
        instance.vanish()
        watch.until(lambda: "s3://" in watch.err, "it to turn to S3", 2 * SECONDS)
        before = len(watch.reports)
        watch.until(lambda: len(watch.reports) > before, "a report from S3")
        instance.world.release("end")
    assert f"nstance {instance.id} is terminated" in watch.err


@pytest.mark.parametrize(
    ("last", "word", "code"), [("true", "completed", 0), ("false", "failed", 1)]
)
def test_wait_survives_a_cut_connection(
    instance: Instance, person: Person, last: str, word: str, code: int
) -> None:
    queue = instance.queue(job("a", f"{until('end')}; {last}")).detach()
    queue.wait_executing("a")
    waiting = Staying(person, "wait", instance.id)
    waiting.until(lambda: [*person.cache.glob("feeds/*/q.jsonl")], "it to have read the log")
    instance.server.cut()
    waiting.until(lambda: instance.server.logins() == 2, "it to come again")
    instance.world.release("end")
    assert waiting.end() == code, waiting.err
    assert waiting.out == f"{word}\n"
    queue.wait_idle()


def test_followed_output_is_exact_over_a_cut_and_a_retry(
    instance: Instance, person: Person
) -> None:
    queue = instance.queue(
        job(
            "a",
            f"echo one $JOB_ATTEMPT; {until('two')}; echo two; "
            f"{until('end')}; [ $JOB_ATTEMPT = 2 ]",
            retry=retry(2),
        )
    ).detach()
    queue.wait_executing("a")
    logs = Staying(person, "logs", instance.id, "a", "--follow")
    logs.until(lambda: logs.out == "one 1\n", "its first line")
    instance.server.cut()
    instance.world.release("two")
    logs.until(lambda: logs.out == "one 1\ntwo\n", "its second line")
    instance.server.cut()
    instance.world.release("end")
    assert logs.end() == 0, logs.err
    assert logs.out == "one 1\ntwo\none 2\ntwo\n"
    queue.wait_idle()


def test_following_continues_in_s3_when_the_instance_is_terminated(
    instance: Instance, person: Person, running: Queue
) -> None:
    person.override_constant("spawn.cli.sources.replica.ReplicaQueue.poll_seconds", 1.0)
    logs = Staying(person, "logs", instance.id, "a", "--follow")
    logs.until(lambda: logs.out == "begun\n", "its first line")
    instance.vanish()
    logs.until(lambda: "s3://" in logs.err, "it to turn to S3", 2 * SECONDS)
    instance.world.release("end")
    assert logs.end() == 0, logs.err
    assert logs.out == "begun\nover\n"


@pytest.mark.tool("faketime")
@pytest.mark.parametrize("off", ["+3600s", "-3600s"])
def test_a_wrong_local_clock_does_not_change_times_from_the_instance(
    instance: Instance, person: Person, running: Queue, off: str
) -> None:
    clock = clock_off(person, off)
    told = person.status(instance.id, **clock)
    there = instance.world.status()
    assert told["started_at"] == there["started_at"]
    assert seconds(told["elapsed"]) <= seconds(there["elapsed"]) < 600
    assert seconds(told["job_details"][0]["elapsed"]) < 600
    flags = ("--watch", "--refresh", "1s", "--json")
    watch = Staying(person, "status", instance.id, *flags, **clock)
    watch.until(lambda: len(watch.reports) >= 2, "two reports")
    instance.world.release("end")
    assert watch.end() == 0
    assert all(seconds(each["elapsed"]) < 600 for each in watch.reports)


@pytest.mark.tool("faketime")
@pytest.mark.parametrize("off", ["+3600s", "-3600s"])
def test_a_wrong_local_clock_does_not_change_times_from_the_store(
    instance: Instance, person: Person, running: Queue, off: str
) -> None:
    assert person.status(instance.id)["queue_id"] == running.queue_id
    finished = person.spawn("status", instance.id, "--json", "--from-s3", **clock_off(person, off))
    told = json.loads(finished.out)
    there = instance.world.status()
    assert (told["status"], told["started_at"]) == ("running", there["started_at"])
    assert seconds(told["elapsed"]) < 600
    assert abs(parse_timestamp(told["as_of"]) - parse_timestamp(there["as_of"])) < timedelta(
        minutes=10
    )
    assert "the last 1h" not in finished.err
    instance.world.release("end")


_SLEEP = """\
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
exec(open({guard!r}).read())
"""
"""Under libfaketime `time.sleep` returns at once, as its `clock_nanosleep` assumes a faked clock;
`select` waits."""


def clock_off(person: Person, off: str) -> dict[str, str]:
    """Return an environment in which the clock is wrong and time passes normally."""
    library = next(Path("/usr/lib").rglob("libfaketime.so.1"))
    folder = person.laptop.folder / "clock"
    folder.mkdir()
    guard = str(Path(person.environ["PYTHONPATH"]) / "sitecustomize.py")
    (folder / "sitecustomize.py").write_text(_SLEEP.format(guard=guard))
    return {
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": str(library),
        "FAKETIME": off,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # otherwise threads that wait for the GIL spin
        "NO_FAKE_STAT": "1",  # otherwise files that seem newer are recompiled
    }


def seconds(text: str) -> int:
    """Convert a duration of the JSON to seconds."""
    unit = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * unit[name] for number, name in re.findall(r"(\d+)([hms])", text))


def anew(screen: Terminal, after: int) -> str:
    """Return what was drawn after the screen was cleared, without control sequences."""
    _, cleared, text = screen.text[after:].partition("\x1b[2J")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text) if cleared else ""


def test_a_refresh_below_a_second_is_rejected(instance: Instance, person: Person) -> None:
    finished = person.spawn("status", instance.id, "--watch", "--refresh", "500ms")
    assert finished.code == 2
    assert "1s" in finished.err


def test_a_dead_connection_is_reported_before_it_times_out(
    instance: Instance, person: Person, running: Queue, tmp_path: Path
) -> None:
    # The timeout is long after the view reports that it gets no answer.
    person.override_constant("spawn.cli.support.watch.SLOW_SECONDS", 1.0)
    person.override_constant("spawn.store.feed.client.ANSWER_SECONDS", 5.0)
    assert person.status(instance.id)["queue_id"] == running.queue_id
    with relay(instance.server.port) as between:
        instance.write_ssh_config(f"Host {instance.id}\n    Port {between.port}")
        command = [SPAWN, "queue", "status", instance.id, "--watch", "--refresh", "1s"]
        with terminal(command, person.environ, tmp_path, columns=100) as screen:
            wait_until(lambda: "▶" in screen.text, seconds=SECONDS)
            between.swallow()
            said = "No news of queue q since "
            wait_until(lambda: said in screen.text, seconds=SECONDS)
            assert "retrying" not in screen.text
            before = len(screen.text)
            wait_until(lambda: "Elapsed" in screen.text[before:], seconds=2 * SECONDS)
            screen.type("\x03")
            assert screen.end() == 130


def test_a_terminal_view_shows_news_at_once_and_ctrl_c_ends_only_the_view(
    instance: Instance, person: Person, tmp_path: Path
) -> None:
    queue = instance.queue(job("a", until("one")), job("b", until("end"), "a")).detach()
    queue.wait_executing("a")
    command = [SPAWN, "queue", "status", instance.id, "--watch", "--refresh", "1h"]
    with terminal(command, person.environ, tmp_path, columns=80) as screen:
        wait_until(lambda: "a" in screen.text and "▶" in screen.text, seconds=SECONDS)
        instance.world.release("one")
        wait_until(lambda: "1 completed, 1 running" in screen.text, seconds=SECONDS)
        for columns in (60, 200):
            before = len(screen.text)
            screen.resize(columns)
            drawn = partial(anew, screen, before)
            wait_until(lambda drawn=drawn: "Jobs: 2 total" in drawn(), seconds=SECONDS)
            assert all(len(line) <= columns for line in drawn().splitlines()), drawn()
        screen.type("\x03")
        assert screen.end() == 130
        assert "Traceback" not in screen.text
        assert screen.text.rstrip().endswith("\x1b[?25h"), "the cursor is still hidden"
    assert queue.state.state == "running"
    instance.world.release("end")
    queue.wait_idle()
