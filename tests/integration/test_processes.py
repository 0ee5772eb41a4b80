"""The state in which a command starts, and the processes that may remain at its end: none."""

import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

import pytest
from tests.support.processes import attempt_processes, children, is_alive, parent
from tests.support.queues import World, job, retry, until


def test_a_daemon_that_holds_the_output_does_not_block_the_queue(world: World) -> None:
    queue = world.queue(
        job("a", "setsid sleep 61 & (setsid nohup sleep 62 >&2 &) ; echo done"), job("b", "true")
    )
    queue.detach()
    completed = queue.wait_for("JobCompleted", "a")
    assert attempt_processes(queue.attempt("a")) == []
    assert completed.data.wall_seconds < 30
    queue.wait_for("QueueCompleted")
    assert queue.stdout("a") == b"done\n"


def test_stdin_is_empty(world: World) -> None:
    queue = world.queue(job("a", "readlink /proc/$$/fd/0; cat; echo end"))
    assert queue.run().code == 0
    assert queue.stdout("a") == b"/dev/null\nend\n"


def test_a_command_has_three_descriptors(world: World) -> None:
    # `ls` reads the folder through the fourth.
    queue = world.queue(
        *(job(f"j{number}", "ls /proc/self/fd | tr '\\n' ' '") for number in range(4)),
        max_parallel=4,
    )
    assert queue.run().code == 0
    assert {queue.stdout(name) for name in queue.state.jobs} == {b"0 1 2 3 "}


def test_signals_are_as_in_a_fresh_process(world: World) -> None:
    # If the runner ignores SIGHUP, as under nohup, its jobs must not.
    queue = world.queue(
        job("masks", "exec cat /proc/self/status"),
        job("pipe", 'yes | head -1 > /dev/null; echo "${PIPESTATUS[0]}"'),
    )
    process = queue.start(wrapper=("sh", "-c", 'trap "" HUP PIPE USR1; exec "$@"', "-"))
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    status = queue.stdout("masks").decode()
    masks = re.findall(r"^(Sig(?:Blk|Ign|Cgt)):\t(\w+)$", status, re.MULTILINE)
    # 32 and 33 belong to the C library; no program can set them.
    free = ~(1 << 31 | 1 << 32)
    found = {name: int(mask, 16) & free for name, mask in masks}
    assert found == {"SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    assert queue.stdout("pipe") == b"141\n"


def test_a_command_leads_a_session_of_its_own_without_a_terminal(world: World) -> None:
    queue = world.queue(
        job("a", "read -r pid _ _ _ group session tty _ < /proc/$$/stat; echo $group $session $tty")
    )
    assert queue.run().code == 0
    pid = str(queue.attempt("a").pid)
    assert queue.stdout("a").decode().split() == [pid, pid, "0"]


def test_the_pid_in_the_log_is_the_commands_own(world: World) -> None:
    queue = world.queue(job("a", "echo $$"))
    assert queue.run().code == 0
    assert int(queue.stdout("a")) == queue.attempt("a").pid


def test_a_job_cannot_signal_its_supervisor_through_its_group(world: World) -> None:
    queue = world.queue(
        job("a", "trap '' TERM INT HUP; kill -TERM 0; kill -INT 0; kill -HUP 0; sleep 0.1; exit 4")
    )
    assert queue.run().code == 1
    assert queue.data("a", "JobFailed").exit_code == 4


def test_a_supervisor_ignores_sigint_and_sighup(world: World) -> None:
    queue = world.queue(job("a", "kill -INT $PPID; kill -HUP $PPID; sleep 0.1; echo whole"))
    assert queue.run().code == 0
    assert queue.stdout("a") == b"whole\n"


def test_orphans_of_a_job_are_reaped_while_it_runs(world: World) -> None:
    queue = world.queue(
        job("a", f"for i in $(seq 50); do (true &) ; done; touch born; {until('go')}")
    )
    queue.detach()
    started = queue.wait_executing("a")
    queue.until((world.work / "born").exists, "the orphans were born")
    supervisor = parent(started.pid)
    queue.until(lambda: children(supervisor) == [started.pid], "only the command is left")
    world.release("go")
    queue.wait_for("QueueCompleted")


@pytest.mark.cold
def test_no_process_and_no_descriptor_is_left_between_jobs(world: World) -> None:
    queue = world.queue(
        *(job(f"j{number}", "true") for number in range(60)), job("last", until("go"))
    )
    queue.detach()
    queue.wait_executing("last")
    runner = queue.runner()
    (zygote,) = children(runner)
    # One supervisor with its command, and one idle.
    queue.until(lambda: len(children(zygote)) == 2, "ended supervisors are gone")
    assert len(open_files(runner)) < 30
    assert len(open_files(zygote)) < 10
    world.release("go")
    queue.wait_for("QueueCompleted")
    queue.until(lambda: not is_alive(runner) and not is_alive(zygote), "both end")


def open_files(pid: int) -> list[str]:
    """Return the descriptors of a process."""

    return [entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()]


LOOK = """
import json, os, sqlite3, sys
log = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows = log.execute("SELECT line FROM events WHERE type = 'JobStarted' AND job_id = ?",
                   (os.environ["JOB_ID"],))
tokens = {json.loads(line)["data"]["token"]: json.loads(line) for (line,) in rows}
event = tokens[os.environ["SPAWN_RUN"]]
assert event["attempt"] == int(os.environ["JOB_ATTEMPT"]), event
assert event["data"]["pid"] == os.getpid(), event
sys.exit(int(os.environ["JOB_ATTEMPT"]) % 2)
"""


def test_a_command_finds_its_own_start_in_the_log(world: World) -> None:
    look = world.folder / "look.py"
    look.write_text(LOOK)
    queue = world.queue(
        *(
            job(
                f"j{number}",
                f"exec {sys.executable} -S {look} {world.roots.queue('q').events}",
                retry={"max_attempts": 2, "backoff": "fixed", "delay": "0s"},
            )
            for number in range(16)
        ),
        max_parallel=4,
    )
    assert queue.run().code == 0, queue.describe()
    assert len(queue.executed()) == 32
    with sqlite3.connect(queue.paths.events) as log:
        assert log.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_job_that_terminates_its_supervisor_is_not_restarted_for_ever(world: World) -> None:
    queue = world.queue(job("a", "kill $PPID; sleep 60", retry={"max_attempts": 3}))
    queue.detach()
    queue.until(lambda: len(queue.executed()) > 20 or queue.state.ended, "it ends or goes on")
    ran = len(queue.executed())
    queue.stop()
    assert ran <= 20


SUSPENDS_ITS_SUPERVISOR = "[ $JOB_ATTEMPT = 2 ] || { kill -STOP $PPID; touch up; sleep 61; }"


def test_a_job_that_suspends_its_supervisor_still_times_out(world: World) -> None:
    world.override_constant("spawn.runner.process.launcher.MARGIN_SECONDS", 1.0)
    world.override_constant("spawn.runner.poller.POLL_SECONDS", 0.5)
    queue = world.queue(
        job("a", SUSPENDS_ITS_SUPERVISOR, timeout="300ms", retry=retry(2)), kill_grace="1s"
    )
    assert queue.run().code == 0
    scheduled = queue.data("a", "JobRetryScheduled")
    assert (scheduled.exit_code, scheduled.timed_out) == (124, True)
    assert scheduled.wall_seconds < 30


def test_a_job_that_suspends_its_supervisor_is_stopped_with_its_queue(world: World) -> None:
    queue = world.queue(job("a", SUSPENDS_ITS_SUPERVISOR))
    process = queue.start()
    queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its supervisor is stopped")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    interrupted = queue.data("a", "JobInterrupted")
    assert (interrupted.cause, interrupted.signal) == ("stop", "SIGTERM")
    assert queue.resume().code == 0


def test_a_job_that_suspends_its_supervisor_is_cancelled_without_a_runner(world: World) -> None:
    queue = world.queue(job("a", SUSPENDS_ITS_SUPERVISOR))
    queue.detach()
    started = queue.wait_executing("a")
    queue.until((world.work / "up").exists, "its supervisor is stopped")
    queue.kill_runner()
    assert world.spawn("cancel", "q").code == 0
    assert queue.data("a", "JobFailed").why == "cancelled"
    assert attempt_processes(started) == []


def test_a_job_that_keeps_suspending_its_supervisor_is_lost_with_it(world: World) -> None:
    world.override_constant("spawn.runner.process.launcher.MARGIN_SECONDS", 1.0)
    world.override_constant("spawn.runner.poller.POLL_SECONDS", 0.5)
    again = "setsid sh -c 'while :; do kill -STOP '$PPID'; done' & touch up; sleep 61"
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {{ {again}; }}"), kill_grace="1s")
    process = queue.start()
    started = queue.wait_executing("a")
    queue.until((world.work / "up").exists, "it stops its supervisor")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=45)
    assert process.returncode == 143
    assert queue.data("a", "JobInterrupted").cause in ("lost", "stop")
    assert attempt_processes(started) == []
    assert queue.resume().code == 0


@pytest.mark.cold
def test_a_suspended_zygote_does_not_block_the_queue(world: World) -> None:
    queue = world.queue(job("a", until("go")), *(job(f"j{n}", "true") for n in range(5)))
    queue.detach()
    queue.wait_executing("a")
    (zygote,) = children(queue.runner())
    os.kill(zygote, signal.SIGSTOP)
    world.release("go")
    queue.wait_for("QueueCompleted", seconds=60)
    queue.wait_idle()


def test_an_outside_process_that_holds_the_output_does_not_block_the_queue(world: World) -> None:
    queue = world.queue(job("a", f"echo before; {until('go')}; echo after"), job("b", "true", "a"))
    queue.detach()
    started = queue.wait_executing("a")
    held = os.open(f"/proc/{started.pid}/fd/1", os.O_WRONLY)  # no process of the attempt holds it
    try:
        world.release("go")
        queue.wait_for("JobCompleted", "a", seconds=20)
        queue.wait_for("QueueCompleted")
    finally:
        os.close(held)
    assert queue.stdout("a") == b"before\nafter\n"


def test_a_command_ends_with_its_supervisor_without_a_runner(
    world: World,
) -> None:
    queue = world.queue(job("a", f"[ $JOB_ATTEMPT = 2 ] || {until('never')}"))
    queue.detach()
    started = queue.wait_executing("a")
    supervisor = queue.supervisor("a")
    queue.kill_runner()
    assert is_alive(started.pid)
    os.kill(supervisor, signal.SIGKILL)
    queue.until(lambda: not is_alive(started.pid), "the command has ended")
    assert queue.resume().code == 0


def test_the_oom_killer_prefers_a_command_to_its_supervisor(world: World) -> None:
    queue = world.queue(job("a", "cat /proc/$$/oom_score_adj; cat /proc/$PPID/oom_score_adj"))
    assert queue.run().code == 0
    command, supervisor = queue.stdout("a").split()
    assert int(command) == 500
    assert int(supervisor) < int(command)
