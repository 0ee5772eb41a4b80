"""A status through a feed equals that of `local` on its machine."""

import os
import signal
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from tests.support.feeds import Feed, Laptop
from tests.support.queues import World, job, retry, until
from tests.support.wait import wait_until

from spawn.cli import host, main
from spawn.cli.output.as_json import pretty
from spawn.cli.output.status import render
from spawn.cli.output.style import Style
from spawn.cli.sources.local import LocalQueue
from spawn.core.errors import QueueNotFound
from spawn.core.values.timestamps import parse_timestamp
from spawn.store import queues
from spawn.store.log.write import LogWriter
from spawn.store.queue_dir import lock

PLAIN = Style(colour=False)


def _same(world: World, laptop: Laptop, queue_id: str, now: datetime) -> str:
    """Check that both reports are equal; returns the report as JSON."""
    found = []

    def agree() -> bool:
        """Compare the reports; False if the machine's state has changed meanwhile."""
        with LocalQueue(world.roots, queue_id) as here, laptop.open(queue_id) as there:
            here.refresh()
            before = here.report(now)
            there.refresh()
            seen = there.report(now)
            here.refresh()
            if here.report(now) != before:
                return False
        assert seen == before
        assert pretty(seen) == pretty(before)
        assert list(render(seen, None, PLAIN)) == list(render(before, None, PLAIN))
        found.append(pretty(seen))
        return True

    wait_until(agree, seconds=30, what="two equal reports")
    return found[0]


def test_the_report_of_a_running_queue_equals_the_local_one(world: World, laptop: Laptop) -> None:
    queue = world.queue(
        job("fetch", "echo fetched", result_files=["none-*.csv"]),
        job("train", f"echo 'Epoch 25/100'; echo oops >&2; {until('end')}", "fetch", timeout="4h"),
        job("flaky", "echo no; exit 3", retry=retry(2, "1h")),
        job("export", "true", "train"),
        max_parallel=2,
    )
    queue.detach("--no-s3")
    queue.wait_executing("train")
    queue.wait_for("JobRetryScheduled", "flaky")
    queue.until(lambda: b"oops" in queue.combined("train"), "output")
    queue.until(lambda: b"Epoch" in queue.combined("train"), "output")
    said = _same(world, laptop, "q", datetime.now(UTC))
    for wanted in ('"Epoch 25/100 (25%)"', '"retry_in"', '"runner_alive": true', "no file matches"):
        assert wanted in said
    world.release("end")
    world.spawn("cancel", "q")
    queue.wait_idle()
    assert '"status": "failed"' in _same(world, laptop, "q", datetime.now(UTC))


@pytest.mark.cold
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_the_status_command_prints_the_same_bytes(
    world: World, laptop: Laptop, flags: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    queue = world.queue(job("a", "echo 'step 1 of 4'"), job("b", "exit 3", "a"), job("c", "true"))
    assert queue.run("--no-s3").code == 1
    now = parse_timestamp("2026-12-24T18:00:00.000000Z")
    capfd.readouterr()
    with (
        patch.dict(os.environ, SPAWN_HOME=str(world.home)),
        patch.object(host, "now", lambda: now),
    ):
        assert main.run(["queue", "status", "local", *flags]) == 0
    with laptop.open() as source:
        source.refresh()
        report = source.report(now)
    ours = pretty(report) if flags else "\n".join(render(report, None, PLAIN))
    assert capfd.readouterr().out == ours + "\n"


def test_the_estimate_uses_earlier_queues_of_the_machine(world: World, laptop: Laptop) -> None:
    first = world.queue(job("a", "sleep 0.2"), job("b", "true", "a"), queue_id="first")
    assert first.run("--no-s3").code == 0
    command = f"sleep 0.2; {until('end')}"
    second = world.queue(job("a", command), job("b", "true", "a"), queue_id="second")
    second.detach("--no-s3")
    second.wait_executing("a")
    with laptop.open("second") as source:
        source.refresh()
        assert source.report(datetime.now(UTC)).estimated_completion is None
    world.release("end")
    second.wait_idle()
    third = world.queue(job("a", command), job("b", "true", "a"), queue_id="third")
    (world.work / "end").unlink()
    third.detach("--no-s3")
    third.wait_executing("a")
    assert '"estimated_completion": "20' in _same(world, laptop, "third", datetime.now(UTC))
    world.release("end")
    third.wait_idle()


def test_a_dead_runner_is_reported(world: World, laptop: Laptop) -> None:
    queue = world.queue(job("a", until("end")))
    queue.detach("--no-s3")
    queue.wait_executing("a")
    with laptop.open() as source:
        source.refresh()
        assert source.runner_alive()
        queue.kill_runner()
        source.refresh()
        assert not source.runner_alive()
        assert source.report(datetime.now(UTC)).runner_alive is False
    assert '"runner_alive": false' in _same(world, laptop, "q", datetime.now(UTC))
    world.release("end")
    queue.wait_over("a")
    assert '"unnoticed": "ended ' in _same(world, laptop, "q", datetime.now(UTC))
    assert queue.resume().code == 0


def test_a_log_that_cannot_be_shipped_is_reported_as_behind(world: World, laptop: Laptop) -> None:
    world.environ |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }
    queue = world.queue(job("a", until("end")))
    queue.detach("--bucket", "nowhere", "--offline")
    queue.wait_executing("a")
    path = queue.paths.folder / "replica.json"
    queue.until(lambda: path.exists() and b'"trouble"' in path.read_bytes(), "trouble")
    said = _same(world, laptop, "q", datetime.now(UTC))
    assert '"replica"' in said
    assert '"trouble"' in said
    assert '"kind": "replica"' in said
    with laptop.open() as source:
        source.refresh()
        (trouble,) = source.troubles()
        assert "the log cannot be copied to s3://nowhere/q/" in trouble.what
    world.release("end")
    os.kill(queue.runner(), signal.SIGTERM)
    queue.until(lambda: "QueueInterrupted" in queue.types() or queue.state.ended, "its end")
    os.kill(queue.runner(), signal.SIGTERM)
    queue.wait_idle()


def test_the_default_is_the_running_queue_and_others_are_named(
    world: World, laptop: Laptop
) -> None:
    for name in ("one", "two"):
        world.queue(job("a", until(name)), queue_id=name).detach("--no-s3").wait_executing("a")
    world.queue(job("a", "true"), queue_id="three").run("--no-s3")
    with laptop.open() as source:
        assert source.queue_id == "two"
    assert laptop.said == ["Also running: one (--queue ID shows it)"]
    with laptop.open("one") as source:
        source.refresh()
        assert source.state.state == "running"
    for queue in world.queues:
        world.release(queue.queue_id)
        queue.wait_idle()
    with laptop.open() as source:
        assert source.queue_id == "three"


def test_queues_of_a_machine_are_listed_newest_first(world: World, feed: Feed) -> None:
    world.queue(job("a", "true"), queue_id="good").run("--no-s3")
    world.queue(job("a", "false"), queue_id="bad").run("--no-s3")
    stays = world.queue(job("a", until("end")), queue_id="stays").detach("--no-s3")
    stays.wait_executing("a")
    with feed.client() as client:
        listed = [(each.queue_id, each.state, each.runs) for each in client.queues().queues]
    assert listed == [("stays", "running", True), ("bad", "failed", False),
                      ("good", "completed", False)]  # fmt: skip
    world.release("end")
    stays.wait_idle()


def test_a_machine_without_queues_is_reported(feed: Feed, laptop: Laptop) -> None:
    with feed.client() as client:
        assert client.queues().queues == ()
    with pytest.raises(QueueNotFound, match="no queue was ever run on i-0123456789abcdef0"):
        laptop.open()
    with laptop.open("other") as source, pytest.raises(QueueNotFound) as caught:
        source.refresh()
    assert "queue other is not on i-0123456789abcdef0" in str(caught.value)
    left = [each for each in laptop.roots.cache.rglob("*") if each.is_file()]
    assert not left, "a missing queue leaves no cache"


@pytest.mark.parametrize(("held", "hint"), [(True, "retry in a moment"), (False, "`spawn queue ")])
def test_an_empty_log_is_reported_with_a_hint(
    world: World, laptop: Laptop, held: bool, hint: str
) -> None:
    paths = queues.create_folder(world.roots, "q")
    LogWriter(paths.events).close()
    taken = lock.acquire(paths.lock)
    assert taken is not None
    if not held:
        os.close(taken)
    with LocalQueue(world.roots, "q") as here, pytest.raises(QueueNotFound) as told:
        here.refresh()
    with laptop.open("q") as there, pytest.raises(QueueNotFound) as asked:
        there.refresh()
    if held:
        os.close(taken)
    assert asked.value.what == f"i-0123456789abcdef0: {told.value.what}"
    assert asked.value.why == told.value.why
    assert told.value.hint.startswith(hint)
    assert asked.value.hint.startswith(hint)


def test_a_past_moment_shows_the_state_at_that_moment(world: World, laptop: Laptop) -> None:
    queue = world.queue(job("a", "true"), job("b", "true", "a"))
    queue.run("--no-s3")
    then = queue.job_events("b", "JobStarted")[0].at
    with laptop.open() as source:
        source.refresh(until=then)
        report = source.report(parse_timestamp(then), past=True)
    assert (report.status, report.jobs[1].status) == ("running", "running")
