"""A runner is killed: its jobs continue, and the next runner learns how they ended."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.processes import attempt_processes, is_alive
from tests.support.queues import World, job, retry, until
from tests.support.wait import wait_until

from spawn.core.values.timestamps import parse_timestamp


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_outlives_its_runner_and_the_next_runner_waits_for_it(
    world: World, code: int
) -> None:
    queue = world.queue(job("a", f"{until('go')}; echo whole; exit {code}"), job("b", "true", "a"))
    queue.detach()
    pid = queue.wait_executing("a").pid
    queue.kill_runner()
    assert is_alive(pid)

    queue.detach("--or-resume")
    queue.wait_for("QueueResumed")
    assert is_alive(pid)
    world.release("go")
    queue.wait_for("QueueFailed" if code else "QueueCompleted")
    assert queue.executed() == [("a", 1), *[("b", 1)] * (code == 0)]
    assert queue.outcome("a").exit_code == code
    assert queue.stdout("a") == b"whole\n"
    assert queue.state.epoch == 2
    assert [event.epoch for event in queue.job_events("a")] == [1, 2]


@pytest.mark.parametrize(
    ("end", "outcome", "code", "name"),
    [
        ("exit 0", "JobCompleted", 0, None),
        ("exit 3", "JobFailed", 3, None),
        ("kill -9 $$", "JobFailed", 137, "SIGKILL"),
    ],
)
def test_the_outcome_of_a_job_that_ended_without_a_runner_is_known(
    world: World, end: str, outcome: str, code: int, name: str | None
) -> None:
    world.override_constant("spawn.cli.commands.wait.UNOWNED_SECONDS", 0.2)
    queue = world.queue(job("a", f"{until('go')}; {end}"))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    world.release("go")
    queue.wait_over("a")
    assert queue.types("a") == ["JobStarted"]
    exit_ = f"with exit {code}" + (f" ({name})" if name else "")
    told = re.compile(
        rf"ended \w+ ago {re.escape(exit_)}; "
        "the runner has stopped, so the log does not show this yet"
    )
    seen = world.status("q")
    (details,) = seen["job_details"]
    assert (seen["status"], seen["runner_alive"], seen["jobs"]["running"]) == ("running", False, 1)
    assert told.fullmatch(details["unnoticed"])
    assert details["exit_code"] == code
    assert details["ended_at"] < seen["as_of"] or details["duration"]
    assert not {"pid", "elapsed", "time_remaining"} & details.keys()
    for command in ("status q", "why q a", "wait q"):
        finished = world.spawn(*command.split())
        assert told.search(finished.out + finished.err), finished
    assert "(no runner; a ended, not logged yet)" in world.spawn("list").out
    world.spawn("report", "q")
    assert told.search((world.folder / "q-report.html").read_text())

    queue.resume()
    assert queue.types("a") == ["JobStarted", outcome]
    state = queue.state.jobs["a"]
    began, ended = parse_timestamp(state.started_at), parse_timestamp(state.ended_at)
    assert ended - began == timedelta(seconds=queue.outcome("a").wall_seconds)
    owned = parse_timestamp(queue.wait_for("QueueResumed").at)
    assert ended < owned, "its own end, not the moment at which the next runner found it"
    assert (queue.outcome("a").exit_code, queue.outcome("a").signal) == (code, name)
    assert queue.executed() == [("a", 1)]


@pytest.mark.cold
def test_a_job_times_out_without_a_runner(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60", timeout="1500ms", retry=retry(2))
    )
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    queue.wait_over("a")
    assert queue.resume().code == 0
    assert queue.data("a", "JobRetryScheduled").timed_out


def test_results_of_a_job_that_ended_without_a_runner_are_saved(world: World) -> None:
    queue = world.queue(job("a", f"{until('go')}; echo 1 > x", result_files=["x"]))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    world.release("go")
    queue.wait_over("a")
    assert queue.resume().code == 0
    assert queue.data("a", "ResultsUploaded").files == 1


def test_the_next_runner_can_stop_an_adopted_job(world: World) -> None:
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


def test_a_stop_is_recorded_though_the_stopping_runner_died(world: World) -> None:
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
    world.release("go")
    assert queue.resume().code == 0
    assert queue.data("a", "JobInterrupted").cause == "stop"
    assert queue.executed() == [("a", 1), ("a", 2)]


def test_a_retry_waits_for_the_rest_of_its_delay(world: World) -> None:
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ]", retry=retry(2, "6s")))
    queue.detach()
    scheduled = queue.wait_for("JobRetryScheduled", "a")
    queue.kill_runner()
    late = parse_timestamp(scheduled.at) + timedelta(seconds=5)
    wait_until(lambda: datetime.now(UTC) > late, what="most of the delay is over")
    assert queue.resume().code == 0
    resumed = queue.wait_for("QueueResumed")
    again = queue.job_events("a", "JobStarted")[1]
    delay = timedelta(seconds=6)
    # With a new wait, the whole delay would start at the resumption.
    assert (
        parse_timestamp(scheduled.at) + delay
        <= parse_timestamp(again.at)
        < parse_timestamp(resumed.at) + delay
    )
    assert again.epoch == 2
    assert queue.executed() == [("a", 1), ("a", 2)]


def test_an_overdue_retry_starts_at_once(world: World) -> None:
    queue = world.queue(
        job("a", "[ $JOB_ATTEMPT = 2 ]", retry=retry(2, "3s")),
        job("b", until("go")),
        job("c", "true", "b"),
        max_parallel=2,
    )
    queue.detach()
    queue.wait_executing("b")
    due = parse_timestamp(queue.wait_for("JobRetryScheduled", "a").data.retry_at)
    queue.kill_runner()
    world.release("go")
    queue.wait_over("b")
    wait_until(lambda: datetime.now(UTC) > due, seconds=20, what="it is overdue")
    assert queue.resume().code == 0
    again = queue.job_events("a", "JobStarted")[1]
    # With a new wait, c would finish first.
    assert again.seq < queue.job_events("c", "JobCompleted")[0].seq


def test_a_job_without_runner_and_supervisor_is_lost_and_all_its_processes_are_killed(
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
    assert attempt_processes(started) != []  # without a supervisor they are still running

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
            lambda enough=enough: len(queue.events()) >= enough or queue.state.ended,
            "it makes progress",
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


def test_status_shows_that_the_runner_has_died(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    told = world.spawn("status", "q")
    assert told.code == 0
    assert "runner" in told.out
    world.release("go")
    assert queue.resume().code == 0


def test_run_prints_how_to_resume_when_its_runner_is_killed(world: World) -> None:
    queue = world.queue(job("a", until("go")))
    process = queue.start()
    queue.wait_executing("a")
    queue.kill_runner()
    out, err = process.communicate(timeout=30)
    world.release("go")
    assert queue.resume().code == 0
    assert process.returncode == 1
    assert "spawn queue resume" in out + err


def test_the_output_of_a_job_without_a_runner_is_complete(world: World) -> None:
    queue = world.queue(job("a", f"echo before; {until('go')}; seq 100000; echo after"))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    world.release("go")
    assert queue.resume().code == 0
    lines = queue.stdout("a").split()
    assert (lines[0], len(lines), lines[-1]) == (b"before", 100_002, b"after")


def test_attempt_logs_are_saved_though_the_runner_died_before_copying_them(
    world: World,
) -> None:
    queue = world.queue(
        job("big", "head -c 200000000 /dev/zero > x", result_files=["x"]),
        job("small", f"{until('go')}; echo hello"),
        max_parallel=2,
    )
    queue.detach()
    queue.wait_for("JobCompleted", "big")
    world.release("go")
    queue.wait_for("JobCompleted", "small")
    queue.kill_runner()
    early = queue.types("big")
    assert queue.resume().code == 0
    assert early == ["JobStarted", "JobCompleted"], "the copy was too fast for this test"
    kept = world.roots.objects / "q" / "small" / "attempts" / "1.1"
    assert (kept / "exit_code").read_text() == "0\n"
    assert (kept / "stdout.log").read_text() == "hello\n"


@pytest.mark.tool("unshare")
def test_a_runner_in_another_network_namespace_waits_for_the_job(world: World) -> None:
    unshared = ("unshare", "--net")
    if subprocess.run([*unshared, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can make a network namespace")
    queue = world.queue(job("a", until("go")))
    queue.detach()
    queue.wait_executing("a")
    queue.kill_runner()
    process = queue.start("--or-resume", wrapper=unshared)
    queue.wait_for("QueueResumed")
    world.release("go")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert queue.executed() == [("a", 1)]


def test_a_process_that_reuses_a_lost_jobs_pid_is_not_killed(world: World) -> None:
    last = Path("/proc/sys/kernel/ns_last_pid")
    if os.geteuid() != 0:
        pytest.skip("only root can choose the next pid")
    queue = world.queue(job("a", "[ $JOB_ATTEMPT = 2 ] || sleep 60"))
    queue.detach()
    pid = queue.wait_executing("a").pid
    supervisor = queue.supervisor("a")
    queue.kill_runner()
    os.kill(supervisor, signal.SIGKILL)
    queue.wait_over("a")
    queue.until(lambda: not Path(f"/proc/{pid}").exists(), "its pid is free")
    # A daemon: the leader of its session has ended, and its own pid is another one.
    daemon = "import os; os.setsid(); print(os.getpid(), flush=True); os.fork() and os._exit(0);"
    daemon += "import time; time.sleep(60)"
    leader = 0
    for _ in range(200):
        last.write_text(str(pid - 1))
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", daemon], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        leader = int(process.stdout.readline())
        (child,) = members(leader) if process.wait() == 0 else (0,)
        process.stdout.close()
        if leader == pid:
            break
        os.kill(child, signal.SIGKILL)
    if leader != pid:
        pytest.skip("another process has taken the pid")
    code = queue.resume().code
    spared = is_alive(child)
    if spared:
        os.kill(child, signal.SIGKILL)
    assert code == 0
    assert spared


def members(session: int) -> list[int]:
    """Wait for and return the processes of a session whose leader has ended."""
    found: list[int] = []
    wait_until(lambda: bool(found.extend(_members(session)) or found), what="the daemon is there")
    return found


def _members(session: int) -> list[int]:
    stats = [(entry, entry / "stat") for entry in Path("/proc").glob("[0-9]*")]
    found = []
    for entry, stat in stats:
        with contextlib.suppress(OSError):
            rest = stat.read_text().rpartition(")")[2].split()
            if int(rest[3]) == session and int(entry.name) != session and rest[0] != "Z":
                found.append(int(entry.name))
    return found
