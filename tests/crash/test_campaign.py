"""The kill campaign: twenty jobs, with a runner or a supervisor killed at every possible point."""

import os
import random
from pathlib import Path

import pytest
from tests.crash import campaign
from tests.crash.points import POINTS
from tests.support.queues import World, world_in
from tests.support.soak import always_then_gate, gate_all_but_first, scaled

from spawn.store.aws.boot.locations import SERVICE_VARIABLE
from spawn.store.failpoints import NAMES, VARIABLE

ONCE = ("runner.locked", "runner.claimed", "runner.owned", "runner.adopted", "runner.finished")
"""Failpoints that a runner reaches once in its life."""
ELSEWHERE = ("runner.requested", "runner.answered", "runner.stopping")
"""Failpoints that a runner reaches only after a request: see `test_requests.py`."""
OFTEN = {"runner.collected": (1, 2)}
COUNTS = always_then_gate((6,), (1, 13))
SEEDS = scaled(4, 20)
KILLS = 10


def _points(prefix: str) -> list[tuple[str, int]]:
    names = [name for name in NAMES if name.startswith(prefix) and name not in ELSEWHERE]
    return [
        (name, count)
        for name in names
        for count in OFTEN.get(name, (1,) if name in ONCE or prefix == "publisher." else COUNTS)
    ]


@pytest.mark.parametrize(("name", "count"), [*_points("runner."), *_points("publisher.")])
def test_a_runner_killed_at_a_failpoint_loses_nothing(world: World, name: str, count: int) -> None:
    queue = campaign.queue(world)
    counter = world.folder / "counter"
    runner = campaign.start(queue, **{VARIABLE: f"{name}:{count}:{counter}"})
    assert campaign.kill_after(runner, 60) is False, "it died at the failpoint"
    assert counter.stat().st_size >= count
    campaign.run_to_end(queue)
    campaign.check(queue, "never_began")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("supervisor.")])
@pytest.mark.parametrize("count", gate_all_but_first([1, 4]))
def test_a_supervisor_killed_at_a_failpoint_loses_at_most_one_attempt(
    world: World, name: str, count: int
) -> None:
    queue = campaign.queue(world)
    counter = world.folder / "counter"
    runner = campaign.start(queue, **{VARIABLE: f"{name}:{count}:{counter}"})
    campaign.kill_after(runner, 60)
    if not name.startswith("supervisor.stop") or count == 1:
        assert counter.stat().st_size >= count, "no supervisor reached the failpoint"
    campaign.check(queue, "never_began", "lost")


@pytest.mark.parametrize("seed", gate_all_but_first(range(SEEDS)))
def test_a_runner_killed_at_random_moments_loses_nothing(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    killed = 0
    for number in range(KILLS):
        (tmp_path / str(number)).mkdir()
        with world_in(tmp_path / str(number)) as world:
            queue = campaign.queue(world)
            while killed < KILLS and not (queue.events() and queue.state.ended):
                runner = campaign.start(queue)
                # Counted in commits and not in time, so that it holds on a busy machine.
                commits = chance.choice([1, 2, 3, 5, 8, 13])
                done = campaign.wait_commits(runner, commits)
                if campaign.kill_after(runner, chance.uniform(0.0, 0.1)):
                    killed += 1
                    epoch = queue.state.epoch
                    assert sum(event.epoch == epoch for event in queue.events()) >= done
            campaign.run_to_end(queue)
            campaign.check(queue, "never_began")
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} runners were killed")


def test_every_failpoint_is_in_one_place() -> None:
    root = Path(__file__).parents[2]
    sources = [
        file.read_text()
        for folder in ("runner", "store")
        for file in sorted((root / folder).rglob("*.py"))
    ]
    for name in NAMES:
        found = sum(source.count(f'mark("{name}")') for source in sources)
        assert found == 1, f"{name} is in {found} places"


@pytest.mark.cold
def test_jobs_do_not_inherit_the_runners_variables(world: World) -> None:
    queue = world.queue({"job_id": "a", "command": f'echo "[${VARIABLE}${SERVICE_VARIABLE}]"'})
    told = {VARIABLE: f"runner.requested:1:{os.devnull}", SERVICE_VARIABLE: "1"}
    campaign.kill_after(campaign.start(queue, **told), 60)
    assert queue.stdout("a") == b"[]\n"


def test_every_failpoint_is_explained_and_names_tests_that_exist() -> None:
    assert tuple(POINTS) == NAMES
    root = Path(__file__).parents[2]
    for point in POINTS.values():
        assert point.tests
        assert all((root / test).is_file() for test in point.tests)
