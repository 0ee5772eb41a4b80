"""Ceph's object gateway with a minimal cluster: one monitor and one in-memory OSD.

All daemons listen on loopback, without authentication between them.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.support.s3 import CREDENTIALS, Server, answers, daemon, free_port
from tests.support.wait import wait_until

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_FSID = "7e2d7c9e-0000-4000-8000-000000000001"
_OSD = "7e2d7c9e-0000-4000-8000-000000000002"
_TRIES = 5
"""An OSD that contacts the monitor too early is rejected and exits."""
_CONF = """\
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{monitor}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.01
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.asok
mon cluster log file = {folder}/cluster.log
pid file =
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
keyring = {folder}/keyring
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
"""


def missing() -> str:
    """Return the programs that are missing on PATH."""
    return ", ".join(name for name in PROGRAMS if shutil.which(name) is None)


def _settled(osd: "subprocess.Popen[bytes]", conf: Path) -> bool:
    """Whether the OSD is up or has exited."""
    return "1 up" in _ask(conf, "osd", "stat") or osd.poll() is not None


def _ask(conf: Path, *question: str) -> str:
    """Query the monitor; empty when it still rejects clients of the cluster."""
    command = ["ceph", "-c", str(conf), "--connect-timeout", "30", *question]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    with open(conf.parent / "ceph.out", "a") as log:
        log.write(f"{question}: {done.returncode} {done.stderr}")
    return done.stdout if done.returncode == 0 else ""


@contextmanager
def radosgw(folder: Path) -> Iterator[Server]:
    """Run the gateway; its daemons write below `folder`."""
    monitor, port = free_port(), free_port()
    endpoint = f"http://127.0.0.1:{port}"
    conf = folder / "ceph.conf"
    conf.write_text(_CONF.format(folder=folder, fsid=_FSID, monitor=monitor, port=port))
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    (folder / "keyring").touch()

    def run(program: str, *arguments: str) -> None:
        command = [program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    with ExitStack() as stack:

        def start(program: str, name: str) -> "subprocess.Popen[bytes]":
            command = [program, "-c", str(conf), "-n", name, "-f"]
            return stack.enter_context(daemon(command, folder / f"{name}.out"))

        at = f"v1:127.0.0.1:{monitor}"
        monmap = str(folder / "monmap")
        run("monmaptool", "--create", "--add", "a", at, "--fsid", _FSID, monmap)
        run("ceph-mon", "-c", str(conf), "--mkfs", "-i", "a", "--monmap", monmap)
        start("ceph-mon", "mon.a")
        wait_until(lambda: _ask(conf, "osd", "new", _OSD, "0") != "", seconds=60, what="ceph-mon")
        run("ceph-osd", "-c", str(conf), "-i", "0", "--mkfs", "--osd-uuid", _OSD)
        for _ in range(_TRIES):
            osd = start("ceph-osd", "osd.0")
            wait_until(partial(_settled, osd, conf), seconds=60, what="ceph-osd is up")
            if osd.poll() is None:
                break
        keys = [
            f"--access-key={CREDENTIALS['AWS_ACCESS_KEY_ID']}",
            f"--secret-key={CREDENTIALS['AWS_SECRET_ACCESS_KEY']}",
        ]
        person = ["--uid=testing", "--display-name=testing"]
        run("radosgw-admin", "-c", str(conf), "user", "create", *person, *keys)
        start("radosgw", "client.rgw.a")
        wait_until(lambda: answers(endpoint), seconds=60, what="radosgw answers")
        yield Server(endpoint)
