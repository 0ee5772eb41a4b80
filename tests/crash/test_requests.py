"""A runner is killed while it handles a request: the next runner handles it once."""

import os
import signal

import pytest
from tests.crash import campaign
from tests.support.queues import Queue, World, job, until

from spawn.core.values.timestamps import format_timestamp
from spawn.runner.system_clock import SystemClock
from spawn.store.failpoints import VARIABLE
from spawn.store.queue_dir import requests


def _asked(queue: Queue, kind: str) -> requests.Request:
    at = format_timestamp(SystemClock().wall())
    return requests.post_request(queue.paths.requests, kind, by="ana@lab", at=at)  # type: ignore[arg-type]


def _dies_at(queue: Queue, name: str) -> dict[str, str]:
    return {VARIABLE: f"{name}:1:{queue.world.folder / 'counter'}"}


@pytest.mark.parametrize("point", ["runner.requested", "runner.answered"])
def test_a_reset_is_applied_once_whenever_the_runner_dies(world: World, point: str) -> None:
    queue = world.queue(
        job("a", "[ -e mended ]"),
        job("b", "true", "a"),
        job("c", until("go")),
        on_failure="continue",
    )
    runner = campaign.start(queue, **_dies_at(queue, point))
    queue.wait_for("JobFailed", "a")
    queue.wait_executing("c")
    world.release("mended")
    request = _asked(queue, "reset")
    assert campaign.kill_after(runner, 30) is False, "it died at the failpoint"
    world.release("go")
    assert queue.resume().code == 0
    (reset,) = queue.job_events("a", "JobReset")
    assert (reset.data.by, reset.data.request) == ("ana@lab", request.id)
    assert queue.executed().count(("a", 2)) == 1
    assert list(queue.paths.requests.glob("*.json")) == []


@pytest.mark.parametrize("point", ["runner.requested", "runner.stopping"])
def test_a_cancel_is_applied_whenever_the_runner_dies(world: World, point: str) -> None:
    queue = world.queue(job("a", until("go")), job("b", "true", "a"), kill_grace="1s")
    runner = campaign.start(queue, **_dies_at(queue, point))
    queue.wait_executing("a")
    _asked(queue, "cancel")
    assert campaign.kill_after(runner, 30) is False, "it died at the failpoint"
    assert queue.resume().code == 1
    assert queue.data("a", "JobFailed").why == "cancelled"
    assert queue.state.reason == "cancelled"
    assert queue.types("b") == ["JobBlocked"]
    assert list(queue.paths.requests.glob("*.json")) == []


def test_a_stop_is_recorded_though_the_runner_died_while_stopping(world: World) -> None:
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('go')}"), kill_grace="1s")
    runner = campaign.start(queue, **_dies_at(queue, "runner.stopping"))
    queue.wait_executing("a")
    os.kill(runner.pid, signal.SIGTERM)
    assert campaign.kill_after(runner, 30) is False, "it died at the failpoint"
    assert queue.resume().code == 0
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert queue.executed() == [("a", 1), ("a", 2)]


def test_a_request_from_before_the_end_does_not_affect_the_resumed_queue(world: World) -> None:
    queue = world.queue(job("a", "[ -e mended ]"))
    assert queue.run().code == 1
    _asked(queue, "cancel")
    world.release("mended")
    assert world.spawn("resume", "q", "--retry-failed").code == 0
    assert list(queue.paths.requests.glob("*.json")) == []
