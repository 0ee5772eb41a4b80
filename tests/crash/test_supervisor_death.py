"""A supervisor is killed: its job is lost, and all its processes are killed."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from secrets import token_hex
from typing import NoReturn

import pytest
from tests.support.processes import attempt_processes, is_alive, processes_with_variable
from tests.support.queues import World, job, retry, until
from tests.support.users import NOBODY

from spawn.core.domain.attempt_exit import AttemptExit
from spawn.runner.process import stray_processes, supervisor_socket
from spawn.runner.process.supervisor_protocol import AttemptEnded, pack


def test_a_lost_jobs_processes_are_killed_and_it_runs_again_without_spending_budget(
    world: World,
) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || { sleep 71 & setsid sleep 72 & touch up; wait; }"),
        job("b", "true", "a"),
    )
    process = queue.start()
    started = queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its children are there")
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("JobInterrupted", "a")
    assert attempt_processes(started) == []
    assert not is_alive(started.pid)
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.exit_code) == ("lost", None)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "a: attempt 1 interrupted (lost): its supervisor left no record; budget unspent" in out
    assert queue.types("a") == ["JobStarted", "JobInterrupted", "JobStarted", "JobCompleted"]
    assert queue.types() == ["QueueSubmitted", "QueueStarted", "QueueCompleted"]
    assert queue.executed() == [("a", 1), ("a", 2), ("b", 1)]
    assert queue.state.jobs["a"].attempts == 1


def test_a_job_lost_three_times_in_a_row_fails_and_shows_its_output(
    world: World,
) -> None:
    log = world.roots.queue("q").job_log("a")
    kept = f"until [ $(grep -c killed {log}) = $JOB_ATTEMPT ]; do sleep 0.02; done"
    queue = world.queue(
        job("a", f"echo to be killed; {kept}; kill -9 $PPID; sleep 60", retry=retry(5)),
        job("b", "true", "a"),
    )
    finished = queue.run()
    assert finished.code == 1
    assert [event.data.cause for event in queue.job_events("a", "JobInterrupted")] == [
        "lost",
        "lost",
    ]
    failed = queue.data("a", "JobFailed")
    assert (failed.exit_code, failed.why) == (
        None,
        "lost with its supervisor or host 3 times in a row; "
        "the last time its supervisor left no record",
    )
    assert failed.last_lines[0].endswith("to be killed")
    assert queue.types("b") == ["JobBlocked"]
    assert "to be killed" in finished.out
    told = world.spawn("history", "q").out
    assert f"attempt 3 failed; no retry: {failed.why}" in told
    assert "never ran" not in told


def test_only_consecutive_losses_are_counted(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "case $JOB_ATTEMPT in 1|2|4|5) kill -9 $PPID; sleep 60;; 3) exit 1;; esac",
            retry=retry(2),
        )
    )
    assert queue.run().code == 0
    assert [event.type for event in queue.job_events("a") if event.type != "JobStarted"] == [
        "JobInterrupted",
        "JobInterrupted",
        "JobRetryScheduled",
        "JobInterrupted",
        "JobInterrupted",
        "JobCompleted",
    ]


def test_processes_started_while_a_job_is_lost_are_killed(world: World) -> None:
    lose = "[ $JOB_ATTEMPT = 2 ] || { kill -9 $PPID; sleep 60; }"
    queue = world.queue(*(job(f"j{number}", lose) for number in range(60)))
    assert queue.run().code == 0
    left = processes_with_variable(f"SPAWN_HOME={world.home}")
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_a_process_started_during_the_search_for_strays_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = stray_processes._strays
    started: list[subprocess.Popen[bytes]] = []

    def search_and_start(token: str, session: int | None) -> list[int]:
        """Start a process with the token right after the first search."""
        found = search(token, session)
        if not started:
            started.append(subprocess.Popen(["sleep", "60"], env={"SPAWN_RUN": token}))
        return found

    monkeypatch.setattr(stray_processes, "_strays", search_and_start)
    assert stray_processes.kill_attempt(token_hex(8), None) == ()
    (process,) = started
    process.terminate()  # no effect on a process that was killed
    assert process.wait() == -signal.SIGKILL


def test_the_loss_of_one_job_does_not_affect_others(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 73"),
        *(job(name, until("go")) for name in "bc"),
        max_parallel=3,
    )
    queue.detach()
    for name in "abc":
        queue.wait_executing(name)
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("JobCompleted", "a")
    world.release("go")
    queue.wait_for("QueueCompleted")
    assert sorted(queue.executed()) == [("a", 1), ("a", 2), ("b", 1), ("c", 1)]


def test_a_process_with_a_cleared_environment_is_killed_with_its_lost_job(world: World) -> None:
    mark = f"MARK={world.folder}"
    queue = world.queue(
        job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ env -i {mark} sleep 30 & touch up; wait; }}")
    )
    queue.detach()
    queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its child is there")
    queue.until(lambda: processes_with_variable(mark) != [], "and has its own environment")
    (child,) = processes_with_variable(mark)
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("QueueCompleted")
    alive = is_alive(child)
    if alive:
        os.kill(child, signal.SIGKILL)
    assert not alive


def test_sigterm_to_a_supervisor_interrupts_its_job(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60"))
    queue.detach()
    queue.wait_executing("a")
    os.kill(queue.supervisor("a"), signal.SIGTERM)
    queue.wait_for("QueueCompleted")
    assert queue.data("a", "JobInterrupted").cause == "host"
    assert queue.state.jobs["a"].attempts == 1


def test_the_cause_of_a_stop_is_known_though_the_supervisor_died(world: World) -> None:
    queue = world.queue(
        job(
            "a",
            "trap 'touch told' TERM; [ $JOB_ATTEMPT = 2 ] || while :; do sleep 0.02; done",
            timeout="300ms",
            retry=retry(2),
        )
    )
    queue.detach()
    queue.wait_executing("a")
    queue.until((world.work / "told").exists, "its time is up")
    os.kill(queue.supervisor("a"), signal.SIGKILL)
    queue.wait_for("QueueCompleted")
    assert queue.data("a", "JobRetryScheduled").timed_out


def test_another_user_cannot_forge_the_outcome_of_a_lost_attempt(world: World) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be two users")
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('never')}"))
    queue.detach()
    started = queue.wait_executing("a")
    supervisor = queue.supervisor("a")
    queue.kill_runner()
    os.kill(supervisor, signal.SIGKILL)
    queue.wait_over("a")
    forger = os.fork()
    if forger == 0:
        _forge(started.token)
    try:
        name = f"@spawn-queue/{started.token}\n"
        queue.until(lambda: name in Path("/proc/net/unix").read_text(), "the name is taken")
        assert queue.resume().code == 0
    finally:
        os.kill(forger, signal.SIGKILL)
        os.waitpid(forger, 0)
    assert queue.data("a", "JobInterrupted").cause == "lost"
    assert queue.executed() == [("a", 1), ("a", 2)]


def _forge(token: str) -> NoReturn:
    """As another user, report to any client that this attempt completed."""
    try:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        listener = supervisor_socket.listen(token)
        while True:
            connection, _ = listener.accept()
            with contextlib.suppress(OSError):
                connection.sendall(pack(AttemptEnded(tuple(AttemptExit(exit_code=0)))))
    finally:
        os._exit(1)
