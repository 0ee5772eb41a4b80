"""A runner that is killed: what it started goes on, and the next one learns how it ended."""

import os
import random
import signal

import pytest
from tests.support.queues import World, attempt_processes, is_alive, job, retry, until

from spawn.core.moments import moment


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_outlives_its_runner_and_the_next_waits_for_it(world: World, code: int) -> None:
    queue = world.queue(job("a", f"{until('go')}; echo whole; exit {code}"), job("b", "true", "a"))
    queue.detach()
    pid = queue.wait_executing("a").pid
    queue.kill_runner()
    assert is_alive(pid)

    queue.detach("--or-resume")
    queue.wait_for("QueueResumed")
    assert is_alive(pid)
    world.let("go")
    queue.wait_for("QueueFailed" if code else "QueueCompleted")
    assert queue.executed() == [("a", 1), *[("b", 1)] * (code == 0)]
    assert queue.outcome("a").exit_code == code
    assert queue.stdout("a") == b"whole\n"
    assert queue.state.epoch == 2
    assert [event.epoch for event in queue.of("a")] == [1, 2]


@pytest.mark.parametrize(
    ("end", "outcome", "code", "name"),
    [
        ("exit 0", "JobCompleted", 0, None),
        ("exit 3", "JobFailed", 3, None),
        ("kill -9 $$", "JobFailed", 137, "SIGKILL"),
    ],
)
def test_how_a_job_ended_while_nobody_ran_the_queue_is_known(
    world: World, end: str, outcome: str, code: int, name: str | None
) -> None:
    queue = world.queue(job("a", f"{until('go')}; {end}"))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    world.let("go")
    queue.wait_over("a")
    assert queue.types("a") == ["JobStarted"]

    queue.resume()
    assert queue.types("a") == ["JobStarted", outcome]
    assert (queue.outcome("a").exit_code, queue.outcome("a").signal) == (code, name)
    assert queue.executed() == [("a", 1)]


def test_a_timeout_comes_also_while_nobody_runs_the_queue(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60", timeout="1500ms", retry=retry(2))
    )
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    queue.wait_over("a")
    assert queue.resume().code == 0
    assert queue.data("a", "JobRetryScheduled").timed_out


def test_results_of_a_job_that_ended_while_nobody_ran_the_queue_are_kept(world: World) -> None:
    queue = world.queue(job("a", f"{until('go')}; echo 1 > x", result_files=["x"]))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    world.let("go")
    queue.wait_over("a")
    assert queue.resume().code == 0
    assert queue.data("a", "ResultsUploaded").files == 1


def test_the_next_runner_can_stop_a_job_that_it_did_not_start(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60"))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    process = queue.start("--or-resume")
    queue.wait_for("QueueResumed")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert queue.resume().code == 0


def test_a_stop_is_known_to_the_next_runner_when_the_one_that_asked_died(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            f"trap 'touch told; {until('go')}; exit 0' TERM;"
            "[ $JOB_ATTEMPT = 2 ] || while :; do sleep 0.02; done",
        )
    )
    queue.detach()
    queue.wait_executing("a")
    os.kill(queue.runner(), signal.SIGTERM)
    queue.until((world.work / "told").exists, "the job was told")
    queue.kill_runner()
    world.let("go")
    assert queue.resume().code == 0
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert queue.executed() == [("a", 1), ("a", 2)]


def test_a_retry_waits_what_is_left_of_its_delay(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ]", retry=retry(2, "2500ms")))
    queue.detach()
    scheduled = queue.wait_for("JobRetryScheduled", "a")
    queue.kill_runner()
    assert queue.resume().code == 0
    again = queue.of("a", "JobStarted")[1]
    waited = (moment(again.at) - moment(scheduled.at)).total_seconds()
    assert 2.49 <= waited < 5
    assert again.epoch == 2
    assert queue.executed() == [("a", 1), ("a", 2)]


def test_a_retry_that_is_overdue_starts_at_once(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ]", retry=retry(2, "300ms")))
    queue.detach()
    scheduled = queue.wait_for("JobRetryScheduled", "a")
    queue.kill_runner()
    assert queue.resume().code == 0
    resumed = queue.wait_for("QueueResumed")
    again = queue.of("a", "JobStarted")[1]
    assert moment(again.at) >= moment(scheduled.data.retry_at)
    late = moment(again.at) - max(moment(resumed.at), moment(scheduled.data.retry_at))
    assert late.total_seconds() < 1


def test_a_job_whose_runner_and_supervisor_died_is_lost_and_nothing_of_it_lives(
    world: World,
) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || { setsid sleep 77 & touch up; sleep 78; }")
    )
    queue.detach()
    started = queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its child is there")
    supervisor = queue.supervisor("a")
    queue.kill_runner()
    os.kill(supervisor, signal.SIGKILL)
    queue.wait_over("a")
    assert attempt_processes(started) != []  # without its supervisor nobody has ended it

    queue.detach("--or-resume")
    queue.wait_for("JobInterrupted", "a")
    assert attempt_processes(started) == []
    assert queue.data("a", "JobInterrupted").cause == "lost"
    queue.wait_for("QueueCompleted")


def test_a_queue_survives_any_number_of_dead_runners(world: World) -> None:
    chance = random.Random(4)
    names = [f"j{number}" for number in range(40)]
    queue = world.queue(
        *(
            job(name, "[ $((${JOB_ID#j} % 5)) != 0 ] || [ $JOB_ATTEMPT -ge 2 ]", retry=retry(9))
            for name in names
        ),
        max_parallel=3,
    )
    for epoch in range(1, 8):
        queue.detach(*["--or-resume"] * (epoch > 1))
        enough = len(queue.events()) + chance.randrange(25)
        queue.until(
            lambda enough=enough: len(queue.events()) >= enough or queue.state.ended, "it goes on"
        )
        if queue.state.ended:
            break
        queue.kill_runner()
    queue.resume()
    assert queue.state.state == "completed"
    completed = [event.job_id for event in queue.events() if event.type == "JobCompleted"]
    assert sorted(completed) == sorted(names)
    causes = {getattr(event.data, "cause", None) for event in queue.events()}
    assert causes <= {None, "never_began"}


def test_a_dead_runner_s_queue_is_told_from_one_that_runs(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    told = world.spawn("status", "q")
    assert told.code == 0
    assert "runner" in told.out
    world.let("go")
    assert queue.resume().code == 0


@pytest.mark.xfail(strict=True, reason="the command line takes every end of its runner for one")
def test_a_command_line_whose_runner_is_killed_says_how_to_go_on(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    process = queue.start()
    queue.wait_executing("a")
    queue.kill_runner()
    out, err = process.communicate(timeout=30)
    world.let("go")
    assert queue.resume().code == 0
    assert process.returncode == 1
    assert "--or-resume" in out + err


def test_output_of_a_job_without_a_runner_is_whole(world: World) -> None:
    queue = world.queue(job("a", f"echo before; {until('go')}; seq 100000; echo after"))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    world.let("go")
    assert queue.resume().code == 0
    lines = queue.stdout("a").split()
    assert (lines[0], len(lines), lines[-1]) == (b"before", 100_002, b"after")
