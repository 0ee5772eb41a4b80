"""Results of a queue are downloaded from its bucket."""

import re
import signal
from pathlib import Path

import pytest
from tests.support.machines import Machines
from tests.support.proxy import Fault
from tests.support.queues import SPAWN, World, job, until
from tests.support.soak import gate_all_but_first
from tests.support.terminal import terminal
from tests.support.wait import wait_until

from spawn.store.results.download_object import RANGE


def test_results_are_downloaded_from_the_bucket_in_the_log(machines: Machines) -> None:
    a = machines.machine()
    make = "mkdir -p out/deep; echo model > out/model; head -c 20000000 /dev/zero > out/deep/zero"
    queue = a.queue(job("train", f"{make}; echo said", result_files=["out"]))
    assert queue.run().code == 0
    del a.environ["SPAWN_BUCKET"]
    got = a.spawn("results", "q", "-o", str(a.folder / "got"))
    assert got.code == 0, got.err
    assert f"Source: s3://{machines.bucket}/q/" in got.out
    folder = a.folder / "got" / "train"
    assert (folder / "stdout.log").read_text() == "said\n"
    assert (folder / "results/out/model").read_text() == "model\n"
    assert (folder / "results/out/deep/zero").stat().st_size == 20_000_000
    (folder / "results/out/model").write_text("changed\n")
    again = a.spawn("results", "q", "-o", str(a.folder / "got"))
    assert again.code == 0, again.err
    assert (folder / "results/out/model").read_text() == "model\n"
    machines.proxy.down()
    lost = a.spawn("results", "q", "-o", str(a.folder / "other"))
    assert lost.code == 1
    assert "cannot be reached" in lost.err
    assert "Traceback" not in lost.err
    machines.proxy.up()


def test_existing_large_output_is_not_downloaded_again(machines: Machines) -> None:
    a = machines.machine()
    queue = a.queue(job("talk", "seq 100000"))
    assert queue.run().code == 0
    got = a.folder / "got"
    assert a.spawn("results", "q", "-o", str(got)).code == 0

    def fetched() -> int:
        return sum(
            asked.method == "GET" and asked.key.endswith("/stdout.log")
            for asked in machines.proxy.asked
        )

    before = fetched()
    assert before == 1
    assert a.spawn("results", "q", "-o", str(got)).code == 0
    assert fetched() == before
    (got / "talk/stdout.log").write_text("something else\n")
    assert a.spawn("results", "q", "-o", str(got)).code == 0
    assert (got / "talk/stdout.log").read_text() == "".join(f"{n}\n" for n in range(1, 100001))


def _large(machines: Machines, size: int = 50_000_000) -> World:
    """A machine whose queue has a large result and some small ones."""
    a = machines.machine()
    make = f"mkdir out; head -c {size} /dev/urandom > out/large; seq 9 > out/a; seq 8 > out/b"
    queue = a.queue(job("train", make, result_files=["out"]))
    assert queue.run().code == 0
    return a


@pytest.mark.parametrize("fault", gate_all_but_first(["reset", "swallow", "500", "503", "late"], 2))
def test_store_failures_only_delay_a_download(machines: Machines, fault: Fault) -> None:
    machines.override_constant("spawn.store.objects.aws.CONFIG.read_timeout", 3)
    machines.override_constant("spawn.store.results.download_object.MOST_SECONDS", 0.5)
    a = _large(machines, 20_000_000 if fault == "swallow" else 50_000_000)
    machines.proxy.seed(3)
    with machines.proxy.fault(fault, "GET", key="/attempts/", share=0.2, seconds=0.2):
        got = a.spawn("results", "q", "-o", str(a.folder / "got"))
    assert got.code == 0, got.err
    folder = a.folder / "got/train/results/out"
    assert (folder / "large").read_bytes() == (a.work / "out/large").read_bytes()
    assert not [path for path in (a.folder / "got").rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("number", gate_all_but_first([signal.SIGKILL, signal.SIGINT]))
def test_an_interrupted_download_of_a_large_file_resumes(
    machines: Machines, number: signal.Signals
) -> None:
    size = 100_000_000
    a = _large(machines, size)
    output = a.folder / "got"
    with machines.proxy.fault("late", "GET", key="results/out/large", seconds=0.5):
        process = a.start("results", "q", "-o", str(output))
        part = output / ".spawn-parts"

        def begun() -> bool:
            return any(each.stat().st_blocks * 512 > 50_000_000 for each in part.glob("*.part"))

        wait_until(lambda: part.is_dir() and begun(), seconds=30, what="some of it is there")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number), err
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert "Run the same command again to resume" in err
    asked = len(machines.proxy.asked)
    again = a.spawn("results", "q", "-o", str(output))
    assert again.code == 0, again.err
    large = [
        each
        for each in machines.proxy.asked[asked:]
        if each.key.endswith("out/large") and not each.fault
    ]
    assert 0 < len(large) < size // RANGE, "existing parts are not downloaded again"
    body = (output / "train/results/out/large").read_bytes()
    assert body == (a.work / "out/large").read_bytes()
    assert not part.exists()


def test_a_corrupt_partial_download_is_restarted(machines: Machines) -> None:
    a = _large(machines, 40_000_000)
    output = a.folder / "got"
    with machines.proxy.fault("late", "GET", key="results/out/large", seconds=0.5):
        process = a.start("results", "q", "-o", str(output))
        part = output / ".spawn-parts"

        def large() -> list[Path]:
            return [each for each in part.glob("*") if each.stat().st_size == 40_000_000]

        wait_until(lambda: part.is_dir() and large(), seconds=30, what="it is begun")
        process.kill()
        process.communicate(timeout=30)
    (there,) = large()
    there.write_bytes(b"x" * 40_000_000)
    again = a.spawn("results", "q", "-o", str(output))
    assert again.code == 0, again.err
    body = (output / "train/results/out/large").read_bytes()
    assert body == (a.work / "out/large").read_bytes()


def test_concurrent_downloads_into_one_folder_do_not_interfere(machines: Machines) -> None:
    a = _large(machines)
    output = a.folder / "got"
    both = [a.start("results", "q", "-o", str(output)) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    body = (output / "train/results/out/large").read_bytes()
    assert body == (a.work / "out/large").read_bytes()


def test_a_hostile_bucket_writes_nothing_outside_the_folder_and_is_reported(
    machines: Machines,
) -> None:
    a = _large(machines, 1000)
    remote = machines.remote()
    prefix = "train/attempts/1.1/"
    for name in (
        "results/../../../escaped",
        "results/deep/../../x",
        "../y",
        "results/",
        "results/a/b",
    ):
        remote.put(f"{prefix}{name}", b"harm")
    remote.put(f"{prefix}results/out/a", b"forged, and longer than it was")
    got = a.spawn("results", "q", "-o", str(a.folder / "got"))
    assert got.code == 1
    assert "Traceback" not in got.err
    assert "instead of 18" in got.err
    files = [path for path in a.folder.rglob("*") if path.is_file() and path.suffix == ""]
    assert not any(path.read_bytes() == b"harm" for path in files if path.name != "b")
    assert not (a.folder / "got/train/results/out/a").exists()
    assert (a.folder / "got/train/results/out/b").read_text() == (a.work / "out/b").read_text()


def test_output_of_a_lost_machine_is_downloaded_from_its_parts(machines: Machines) -> None:
    machines.override_constant("spawn.runner.transfers.publisher.OUTPUT_UPLOAD_SECONDS", 1.0)
    a, b = machines.machine("a"), machines.machine("b")
    queue = a.queue(job("talk", f"echo one; echo oops >&2; {until('never')}"))
    queue.detach()
    queue.wait_executing("talk")
    parts = "talk/attempts/1.1/parts/"
    there = "both streams are there"
    queue.until(lambda: len(machines.remote().keys(parts)) == 2, there, seconds=90)
    machines.lose(a)
    output = b.folder / "from-afar"
    got = b.spawn("results", "q", "--bucket", machines.bucket, "-o", str(output))
    assert got.code == 0, got.err
    assert "stdout.log (4 B) (so far)" in got.out
    assert "Output so far" in got.err
    assert (output / "talk/stdout.log").read_bytes() == b"one\n"
    assert (output / "talk/stderr.log").read_bytes() == b"oops\n"
    logs = b.spawn("logs", "q", "talk", "--bucket", machines.bucket)
    assert logs.out == "one\n", logs.err
    assert "oops\n" in logs.err


_FRAME = re.compile(r"\r\x1b\[J([^\n]*?)(?=\r\x1b\[J)")
"""A line that is overwritten."""


@pytest.mark.parametrize("columns", gate_all_but_first([40, 80]))
def test_on_a_terminal_a_progress_bar_is_shown_and_erased(machines: Machines, columns: int) -> None:
    a = _large(machines, 40_000_000)
    command = [SPAWN, "queue", "results", "q", "-o", "got"]
    with (
        machines.proxy.fault("late", "GET", key="results/out/large", seconds=0.5),
        terminal(command, a.environ | {"NO_COLOR": "1"}, a.folder, columns=columns) as shown,
    ):
        assert shown.end() == 0, shown.text
    frames = [frame for frame in _FRAME.findall(shown.text) if frame]
    assert any("% " in frame and " of 38 MB" in frame for frame in frames), frames
    assert all(len(frame) <= columns - 3 for frame in frames)
    left = _FRAME.sub("", shown.text).replace("\r\x1b[J", "")
    assert "\x1b" not in left
    piped = a.spawn("results", "q", "-o", "got")
    assert re.sub(r"(Total|Time|Already).*\n", "", left) == re.sub(
        r"(Total|Time|Already).*\n", "", piped.out
    )


def test_ctrl_c_is_acknowledged_at_once_and_a_second_one_ends_the_download(
    machines: Machines,
) -> None:
    a = _large(machines, 40_000_000)
    command = [SPAWN, "queue", "results", "q", "-o", "got"]
    with (
        machines.proxy.fault("hold", "GET", key="results/out/large") as held,
        terminal(command, a.environ, a.folder, columns=80) as shown,
    ):
        wait_until(lambda: held.hits > 0 and "%" in shown.text, seconds=30, what="it waits")
        shown.type("\x03")
        wait_until(
            lambda: "\r\x1b[JInterrupted. Run the same command again" in shown.text,
            seconds=10,
            what="it is said",
        )
        if shown.process.poll() is None:
            shown.type("\x03")
        assert shown.end(10) == 130
    assert shown.text.removesuffix("^C").endswith("Run the same command again to resume.\n")
    assert "Traceback" not in shown.text
