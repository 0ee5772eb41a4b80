"""`rclone serve s3`: an S3 server that ignores conditional writes."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.s3 import CREDENTIALS, Server, answers, daemon, free_port
from tests.support.wait import wait_until


def program() -> str | None:
    """Return the binary in this environment, else on PATH. Debian's is too old to serve S3."""
    ours = Path(sys.executable).with_name("rclone")
    return str(ours) if ours.exists() else shutil.which("rclone")


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """Serve a folder below `folder`."""
    binary = program()
    assert binary is not None
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    (folder / "buckets").mkdir()
    keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
    command = [
        *(binary, "serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", keys, str(folder / "buckets")),
    ]
    with daemon(command, folder / "rclone.log"):
        wait_until(lambda: answers(endpoint), seconds=30, what="rclone answers")
        yield Server(endpoint)
