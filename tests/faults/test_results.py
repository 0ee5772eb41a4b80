"""What a queue left in a bucket comes back from there."""

from tests.support.machines import Machines
from tests.support.queues import job


def test_results_are_fetched_from_the_bucket_that_the_log_names(machines: Machines) -> None:
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
