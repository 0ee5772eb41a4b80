"""A Debian file system, created once per machine and used through temporary layers."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from msgspec import Struct
from tests.support.wait import wait_until

from spawn.store.aws.boot import locations, wheel
from spawn.store.aws.boot.constraints import pins
from spawn.store.queue_dir import lock

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


_BUNDLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_INSTALL = """\
venv=$1
shift
apt-get -q update
apt-get -q -y install --no-install-recommends python3-venv
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint /constraints "$@"
"""


class Root(Struct, frozen=True):
    """A system that `run` enters; `upper` has its changes."""

    base: Path
    layer: Path

    @property
    def upper(self) -> Path:
        """The changed files."""
        return self.layer / "upper"

    def run(
        self, *command: str, environ: Mapping[str, str] | None = None, stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in it as root, with this machine's network, to its end."""
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
    """A fresh system; its changes are in `folder`, which is deleted afterwards."""
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
    """Give a system this one's network configuration and CA certificates."""
    for path in (Path("/etc/resolv.conf"), _BUNDLE):
        if path.exists():
            there = system / path.relative_to("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def base() -> Path:
    """Return the base system; creating it takes a minute or two."""

    def make(part: Path) -> None:
        # Its mounts end with the process.
        _run("unshare", "-m", "sh", "-ec", _MAKE, "sh", SUITE, str(part), *PACKAGES)

    return _made(f"{SUITE}-{_digest(repr(PACKAGES))}", make)


def installed() -> tuple[Path, Path]:
    """Return layers of a system with a Python for `spawn` and its dependencies from an earlier
    launch, the upper one first, as in a custom image. A launch installs `spawn` there."""
    below, constraints = base(), pins()

    def make(part: Path) -> None:
        for each in ("upper", "work", "root"):
            (part / each).mkdir(parents=True)
        trust(part / "upper")
        (part / "upper/constraints").write_text(constraints)
        needs = [each for each in wheel.installed().requires or () if "extra ==" not in each]
        enter = ["unshare", "-m", "sh", "-c", _ENTER, "sh", str(below), str(part)]
        bundle = ["env", *(f"{name}=/{_BUNDLE.relative_to('/')}" for name in _BUNDLES)]
        _run(*enter, *bundle, "sh", "-ec", _INSTALL, "sh", f"{locations.HOME}/venv", *needs)

    made = _made(f"{below.name}-{_digest(_INSTALL + constraints)}", make)
    return made / "upper", below


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """Create a folder atomically that later test runs reuse."""
    CACHE.mkdir(exist_ok=True)
    made = CACHE / name
    took: list[int] = []  # other tests may be creating it

    def take() -> bool:
        held = lock.acquire(made.with_suffix(".lock"))
        took.extend([] if held is None else [held])
        return bool(took)

    wait_until(take, seconds=900, what=f"{name} is made")
    try:
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            make(part)
            part.rename(made)
    finally:
        os.close(took[0])
    return made
