"""A runner is killed repeatedly while one in seven requests to its store fails."""

import random
from contextlib import ExitStack

import pytest
from tests.crash import campaign
from tests.support.machines import Machines
from tests.support.soak import scaled

KILLS = scaled(5, 50)
FAULTS = ("500", "503", "reset")


@pytest.mark.gate
def test_kills_with_an_unreliable_store_lose_nothing(machines: Machines) -> None:
    chance = random.Random(1)
    killed = 0
    for number in range(KILLS):
        a = machines.machine(f"a{number}")
        queue = campaign.queue(a)
        order = {"bucket": machines.bucket, "prefix": f"kills/{number}"}
        with ExitStack() as faults:
            for fault in FAULTS:
                faults.enter_context(machines.proxy.fault(fault, share=0.05))
            while killed < KILLS and not (queue.events() and queue.state.ended):
                runner = campaign.start(queue, order)
                done = campaign.wait_commits(runner, chance.choice([1, 2, 3, 5, 8, 13]))
                if campaign.kill_after(runner, chance.uniform(0.0, 0.1)):
                    killed += 1
                    epoch = queue.state.epoch
                    assert sum(event.epoch == epoch for event in queue.events()) >= done
        campaign.run_to_end(queue)
        campaign.check(queue, "never_began", far=True)
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} runners were killed")
