"""A Debian of its own: made once a machine, each time used through a layer that is thrown away."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from tests.support.wait import wait_until

from spawn.store import lock

CACHE = Path("/var/tmp/spawn-tests")
SUITE = "bookworm"
PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
)
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_MAKE = """\
suite=$1 root=$2
shift 2
debootstrap --variant=minbase "$suite" "$root"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$root" apt-get -q -y install --no-install-recommends "$@"
chroot "$root" apt-get clean
"""
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
    made = Root(base(), layer)
    trust(made.upper)
    try:
        yield made
    finally:
        shutil.rmtree(layer)


def trust(system: Path) -> None:
    """Have a system use this one's network, and trust whom it trusts."""
    for path in (Path("/etc/resolv.conf"), _BUNDLE):
        if path.exists():
            there = system / path.relative_to("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def base() -> Path:
    """The system underneath, made where it is not there yet: that takes a minute or two."""
    CACHE.mkdir(exist_ok=True)
    made = CACHE / f"{SUITE}-{sha256(repr(PACKAGES).encode()).hexdigest()[:8]}"
    took: list[int] = []  # other tests may be making it

    def take() -> bool:
        held = lock.take(made.with_suffix(".lock"))
        took.extend([] if held is None else [held])
        return bool(took)

    wait_until(take, seconds=900, what="the system underneath is made")
    try:
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            # Of its mounts none is left, however it ends.
            command = ["unshare", "-m", "sh", "-ec", _MAKE, "sh", SUITE, str(part), *PACKAGES]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            part.rename(made)
    finally:
        os.close(took[0])
    return made
