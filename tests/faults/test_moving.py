"""A machine is lost with everything on it: the following jobs find their input on another one."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.support.machines import Machines, check_replica
from tests.support.proxy import WRITES
from tests.support.queues import Queue, World, job, until


def _pipeline(world: World, *extra: str, **fields: object) -> Queue:
    """preprocess → train → evaluate, each of which reads the results of the previous one."""
    return world.queue(
        job(
            "preprocess",
            "mkdir -p data/deep; seq 5 > data/clean.csv; echo '{}' > data/deep/stats.json;"
            " echo scratch > scratch; chmod 750 data/clean.csv; ln -s . data/deep/latest",
            result_files=["data/*.csv", "data/deep"],
        ),
        job(
            "train",
            f"{until('go')}; cat data/clean.csv data/deep/latest/stats.json > model",
            "preprocess",
            result_files=["model"],
        ),
        job("evaluate", "wc -l < model > score", "train", result_files=["score"]),
        **fields,
    )


def _lose(machines: Machines, world: World, queue: Queue) -> None:
    """Lose the machine, and all files of its jobs."""
    os.kill(queue.runner(), signal.SIGKILL)
    machines.lose(world)
    for left in world.work.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _at_train(machines: Machines, world: World) -> Queue:
    """A pipeline that runs `train`, fully replicated."""
    queue = _pipeline(world)
    queue.detach()
    queue.wait_executing("train")
    queue.until(lambda: len(machines.remote().events()) == len(queue.events()), "all is there")
    return queue


def _resume(world: World, *flags: str) -> tuple[int, str]:
    done = world.spawn("resume", "q", "--from-s3", "--force", *flags)
    return done.code, done.err


def _here(world: World, name: str) -> Path:
    return world.work / name


def test_a_pipeline_resumes_at_the_job_that_ran_on_the_lost_machine(machines: Machines) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _at_train(machines, a)
    before = (a.work / "data/clean.csv").stat()
    _lose(machines, a, here)
    there = machines.queue_on(b, here)
    b.release("go")
    code, err = _resume(b)
    assert code == 0, err
    assert there.state.state == "completed"
    after = _here(b, "data/clean.csv").stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert _here(b, "score").read_text() == "6\n"
    assert not _here(b, "scratch").exists(), "other files are not restored"
    assert there.types("preprocess").count("JobStarted") == 1
    assert there.executed() == [("train", 2), ("evaluate", 1)]
    check_replica(there, machines.remote())


def test_a_job_whose_results_were_lost_with_its_machine_runs_again(machines: Machines) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _pipeline(a)
    with machines.proxy.fault("500", *WRITES, key="/results/"):
        here.detach()
        here.wait_for("JobCompleted", "preprocess")
        here.until(
            lambda: "JobCompleted" in [e["type"] for e in machines.remote().events()],
            "its completion is there",
        )
        _lose(machines, a, here)
    there = machines.queue_on(b, here)
    b.release("go")
    code, err = _resume(b)
    assert code == 0, err
    types = there.types("preprocess")
    assert types == [
        *("JobStarted", "JobCompleted", "JobReset"),
        *("JobStarted", "JobCompleted", "ResultsUploaded"),
    ]
    assert there.data("preprocess", "JobReset").reason == "results_lost"
    assert _here(b, "score").read_text() == "6\n"


def test_lost_results_without_a_dependent_are_reported_and_not_recomputed(
    machines: Machines,
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = a.queue(
        job("leaf", "echo 1 > leaf", result_files=["leaf"]),
        job("other", until("go")),
    )
    with machines.proxy.fault("500", *WRITES, key="/results/"):
        here.detach()
        here.wait_executing("other")
        here.until(lambda: len(machines.remote().events()) == len(here.events()), "all is there")
        _lose(machines, a, here)
    there = machines.queue_on(b, here)
    b.release("go")
    code, err = _resume(b)
    assert code == 1, err
    assert there.state.state == "failed"
    assert there.state.reason == "results"
    assert there.types("leaf") == ["JobStarted", "JobCompleted", "ResultsUploadFailed"]


@pytest.mark.parametrize("harm", ["gone", "changed", "cut", "list", "list gone"])
def test_damaged_results_are_recomputed(machines: Machines, harm: str) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _at_train(machines, a)
    remote = machines.remote()
    _lose(machines, a, here)
    prefix = "preprocess/attempts/1.1/"
    match harm:
        case "gone":
            remote.delete(f"{prefix}results/clean.csv")
        case "changed":
            remote.put(f"{prefix}results/clean.csv", b"1\n2\n3\n4\n6\n")
        case "cut":
            remote.put(f"{prefix}results/clean.csv", b"1\n2\n")
        case "list":
            body = remote.read(f"{prefix}manifest.json").replace(b"clean.csv", b"../evil.csv")
            remote.put(f"{prefix}manifest.json", body)
        case _:
            remote.delete(f"{prefix}manifest.json")
    there = machines.queue_on(b, here)
    b.release("go")
    code, err = _resume(b)
    assert code == 0, err
    assert "JobReset" in there.types("preprocess")
    assert there.data("preprocess", "JobReset").reason == "results_lost"
    assert _here(b, "score").read_text() == "6\n"
    assert not list(b.work.rglob("*evil*"))
    assert not list(b.work.rglob("*.part"))


def test_store_failures_only_delay_a_restore(machines: Machines) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _at_train(machines, a)
    _lose(machines, a, here)
    there = machines.queue_on(b, here)
    b.release("go")
    with machines.proxy.fault("503", "GET", key="attempts/1.1/results/"):
        process = b.start("resume", "q", "--from-s3", "--force")
        there.until(lambda: "cannot be restored yet" in there.describe(), "it says so")
        there.wait_for("ResultsNotPutBack", "preprocess")
        assert "JobStarted" not in there.types("train")[2:]
        warned = "preprocess: results not restored on this machine yet: "
        assert warned in b.spawn("status", "q").out
        why = b.spawn("why", "q", "train").out
        assert "The results of preprocess cannot be restored on this machine yet" in why
        assert "SlowDown" in why
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert there.types("preprocess").count("JobStarted") == 1
    assert there.types("preprocess")[-1] == "ResultsPutBack"
    assert there.data("preprocess", "ResultsPutBack").files == 2
    assert warned not in b.spawn("status", "q").out
    assert _here(b, "score").read_text() == "6\n"


def test_the_later_of_two_results_at_one_path_is_restored(machines: Machines) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = a.queue(
        job("second", "echo new > shared", "first", result_files=["shared"]),
        job("first", "echo old > shared", result_files=["shared"]),
        job("last", f"{until('go')}; cat shared > seen", "first", "second"),
    )
    here.detach()
    here.wait_executing("last")
    here.until(lambda: len(machines.remote().events()) == len(here.events()), "all is there")
    _lose(machines, a, here)
    there = machines.queue_on(b, here)
    b.release("go")
    code, err = _resume(b)
    assert code == 0, err
    assert there.state.state == "completed"
    assert _here(b, "seen").read_text() == "new\n"


def _far(world: World) -> Queue:
    """prep → train → evaluate → report; each reads the results of all earlier ones; train changes
    a file of prep in place."""
    return world.queue(
        job("prep", "echo raw > data; seq 3 > clean", result_files=["data", "clean"]),
        job("train", f"{until('trains')}; echo trained >> data", "prep", result_files=["data"]),
        job("evaluate", f"{until('go')}; cat data clean > score", "train", result_files=["score"]),
        job("report", "cat data clean score > report", "evaluate"),
    )


FAR = "raw\ntrained\n1\n2\n3\n"


@pytest.mark.parametrize("gone", [False, True], ids=["saved", "gone from the store"])
def test_a_job_finds_the_results_of_its_indirect_dependencies(
    machines: Machines, gone: bool
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _far(a)
    a.release("trains")
    here.detach()
    here.wait_executing("evaluate")
    here.until(lambda: len(machines.remote().events()) == len(here.events()), "all is there")
    _lose(machines, a, here)
    if gone:
        machines.remote().delete("prep/attempts/1.1/results/clean")
    there = machines.queue_on(b, here)
    b.release("go")
    code, err = _resume(b)
    assert code == 0, err
    assert _here(b, "report").read_text() == FAR + FAR
    again = [("prep", 2)] if gone else []
    assert there.executed() == [*again, ("evaluate", 2), ("report", 1)]
    assert there.state.jobs["prep"].attempts == 1, "its second attempt spends no budget"
    brought = [e.job_id for e in there.events() if e.type == "ResultsPutBack"]
    assert brought == (["train"] if gone else ["prep", "train"]), "each restored once"


def test_restored_results_do_not_overwrite_later_changes_by_jobs(
    machines: Machines,
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    here = _far(a)
    here.detach()
    here.wait_executing("train")
    here.until(lambda: len(machines.remote().events()) == len(here.events()), "all is there")
    _lose(machines, a, here)
    there = machines.queue_on(b, here)
    code, err = _resume(b, "--detach")
    assert code == 0, err
    b.release("trains")
    there.wait_executing("evaluate")
    there.kill_runner()
    b.release("go")
    done = b.spawn("resume", "q")
    assert done.code == 0, done.err
    assert _here(b, "report").read_text() == FAR + FAR
    assert there.types("prep").count("ResultsPutBack") == 1
