"""A Debian of its own: made once a machine, each time used through a layer that is thrown away."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from tests.support.wait import wait_until

from spawn.store import lock

CACHE = Path("/var/tmp/spawn-tests")
SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,sudo,systemd"
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_ENTER = """\
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --bind /proc "$2/root/proc"
mount --bind /dev "$2/root/dev"
root=$2/root
shift 2
exec chroot "$root" "$@"
"""


class Root(Struct, frozen=True):
    """A system that `run` enters; `upper` has what was changed in it."""

    base: Path
    layer: Path

    @property
    def upper(self) -> Path:
        """What was changed in it, as files."""
        return self.layer / "upper"

    def run(
        self, *command: str, environ: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command there as root, in this network, to its end."""
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", _ENTER, "sh", str(self.base), str(self.layer), *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(environ or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def root(folder: Path) -> Iterator[Root]:
    """A fresh system; what is done to it stays in `folder` and is gone afterwards."""
    layer = folder / "layer"
    for each in ("upper", "work", "root"):
        (layer / each).mkdir(parents=True)
    made = Root(_base(), layer)
    for path in (Path("/etc/resolv.conf"), _BUNDLE):  # the network here, and whom it trusts
        if path.exists():
            there = made.upper / path.relative_to("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
    try:
        yield made
    finally:
        shutil.rmtree(layer)


def _base() -> Path:
    """The system underneath, made where it is not there yet: that takes a minute or two."""
    CACHE.mkdir(exist_ok=True)
    base = CACHE / SUITE
    took: list[int] = []  # other tests may be making it

    def take() -> bool:
        held = lock.take(CACHE / f"{SUITE}.lock")
        took.extend([] if held is None else [held])
        return bool(took)

    wait_until(take, seconds=900, what="the system underneath is made")
    try:
        if not base.exists():
            part = CACHE / f"{SUITE}.part"
            shutil.rmtree(part, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE]
            subprocess.run([*command, str(part)], check=True, capture_output=True)
            part.rename(base)
    finally:
        os.close(took[0])
    return base
