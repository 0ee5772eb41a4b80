"""The software of an EC2 instance: a Debian that systemd and cloud-init boot.

It has its own processes, mounts and control groups, and this machine's network. Its user data comes
from EC2, and its firmware identifies it as EC2's. It can power off, which ends only its own
process 1, and be restarted with the same disk.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from sysconfig import get_path
from typing import Any
from uuid import uuid4

from tests.support.imds import ENDPOINT, Spot, metadata
from tests.support.roots import installed, trust
from tests.support.s3 import Server
from tests.support.sshd import keygen, public
from tests.support.wait import wait_until

USER = "ec2-user"
_QUIET = (
    *("console-getty.service", "getty-static.service", "getty.target", "networking.service"),
    *("systemd-sysctl.service", "systemd-modules-load.service", "systemd-binfmt.service"),
    *("proc-sys-fs-binfmt_misc.automount", "systemd-remount-fs.service", "dev-hugepages.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("ssh.service", "cloud-init-hotplugd.socket"),
    *("systemd-udevd.service", "systemd-udev-trigger.service"),
)
"""Units that would configure the host, or that are not needed."""
_ENTER = """\
set -e
base=$1 layer=$2 group=$3 packages=$4
root=$layer/root
mount -t overlay overlay -o "lowerdir=$base,upperdir=$layer/upper,workdir=$layer/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount --bind -o ro "$layer/boot_id" "$root/proc/sys/kernel/random/boot_id"
mount -t sysfs -o ro sysfs "$layer/sys"
mount -t overlay overlay -o "ro,lowerdir=$layer/firmware:$layer/sys" "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm" "$root/dev/pts"
for each in null zero full random urandom tty; do
  touch "$root/dev/$each"
  mount --bind "/dev/$each" "$root/dev/$each"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mkdir -p "$root/opt/aws"
mount --bind -o ro "$packages" "$root/opt/aws"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/$group"
echo $$ >"$root/sys/fs/cgroup/$group/cgroup.procs"
umount "$root/sys/fs/cgroup"
exec unshare -C sh -c '
  mount -t cgroup2 cgroup2 "$0/sys/fs/cgroup"
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other \
    chroot "$0" /lib/systemd/systemd --unit=multi-user.target --show-status=0
' "$root"
"""
_LEAVE = """\
mount -t cgroup2 cgroup2 /mnt
for each in $(find "/mnt/$1" -depth -type d); do rmdir "$each"; done
"""


class Machine:
    """One instance that EC2 has started.

    Args:
        folder: For its disk.
        aws: The AWS server.
        imds: Endpoint of its metadata service.
    """

    def __init__(
        self, folder: Path, aws: Server, instance_id: str, imds: str, *, port: int, feed_port: int
    ) -> None:
        self.id = instance_id
        self.layer = folder / instance_id
        self.port = port
        self._aws = aws
        self._imds = imds
        self._feed_port = feed_port
        self._group = f"spawn-{uuid4().hex[:12]}"
        self._process: subprocess.Popen[bytes] | None = None
        firmware = "firmware/class/dmi/id"
        for each in ("upper", "work", "root", "sys", firmware):
            (self.layer / each).mkdir(parents=True)
        (self.layer / firmware / "sys_vendor").write_text("Amazon EC2\n")
        self._write_disk()

    @property
    def upper(self) -> Path:
        """Files written to its disk."""
        return self.layer / "upper"

    def start(self) -> None:
        """Boot it for the first time, or again with the same disk."""
        assert not self.runs
        self.stop()
        (self.layer / "boot_id").write_text(f"{uuid4()}\n")
        own = ["setpriv", "--pdeathsig", "KILL"]  # killed with this process
        own += ["unshare", "-m", "-p", "-u", "-i", "--fork", "--kill-child"]
        packages = get_path("purelib")
        with open(self.layer / "console", "wb") as console:
            self._process = subprocess.Popen(
                [
                    *own,
                    "sh",
                    "-c",
                    _ENTER,
                    "sh",
                    ":".join(map(str, installed())),
                    str(self.layer),
                    self._group,
                    packages,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=console,
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        """Whether it is running."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Remove it with all its processes."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None
        leave = ["unshare", "-m", "sh", "-ec", _LEAVE, "sh", self._group]
        wait_until(
            lambda: subprocess.run(leave, capture_output=True, check=False).returncode == 0,
            seconds=30,
            what="its processes have ended",
        )

    def inside(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on it as root."""
        wait_until(lambda: bool(self._init()), what="it runs, and systemd is its process 1")
        pid = self._init()
        enter = [
            "nsenter",
            "-t",
            pid,
            "-m",
            "-p",
            "-u",
            "-i",
            "-C",
            f"--root=/proc/{pid}/root",
            "--wd=/",
        ]
        return subprocess.run(
            [*enter, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _init(self) -> str:
        """Return its process 1, once that is its systemd: earlier it is still in this root."""
        assert self._process is not None
        pid = self._process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            ready = children and Path(f"/proc/{children[0]}/exe").readlink().name == "systemd"
        except FileNotFoundError:
            return ""  # it has just ended
        return children[0] if ready else ""

    def describe(self) -> str:
        """Return diagnostics of a failed boot."""
        logs = ("var/log/spawn-queue-boot.log", "var/log/cloud-init-output.log", "../console")
        found = [self.upper / name for name in logs]
        text = [path.read_text(errors="replace")[-4000:] for path in found if path.exists()]
        if self.runs:
            text.append(self.inside("journalctl", "-n", "60", "--no-pager").stdout)
        return "\n----\n".join(text)

    # initial disk

    def _write_disk(self) -> None:
        trust(self.upper)
        user_data = self._asked("userData").get("UserData", {}).get("Value", "")
        seed = "var/lib/cloud/seed/nocloud"
        self._write(f"{seed}/user-data", base64.b64decode(user_data))
        keys = {"public-keys": self._keys(), "instance-id": self.id}
        self._write(f"{seed}/meta-data", json.dumps(keys).encode())
        cloud = {
            "datasource_list": ["NoCloud"],
            "system_info": {"default_user": {"name": USER, "sudo": False}},  # no further sudo
            "apt": {"preserve_sources_list": True},
            "disable_root": False,
            "ssh_deletekeys": False,
            "locale": False,
        }
        self._write("etc/cloud/cloud.cfg.d/99-here.cfg", json.dumps(cloud).encode())
        self._write("etc/cloud/ds-identify.cfg", b"policy: enabled\n")
        environ = {
            "AWS_ENDPOINT_URL": self._aws.endpoint,
            ENDPOINT: f"{self._imds}/",  # needed by `aws`
            "SPAWN_FEED_PORT": str(self._feed_port),
            "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        }
        system = "".join(
            f'DefaultEnvironment="{name}={value}"\n' for name, value in environ.items()
        )
        self._write("etc/systemd/system.conf.d/here.conf", f"[Manager]\n{system}".encode())
        for unit in _QUIET:
            path = self.upper / "etc/systemd/system" / unit
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to("/dev/null")
        # Amazon Linux has `aws`; this one is from the tests' own environment.
        aws = '#!/bin/sh\nPYTHONPATH=/opt/aws exec python3 -m awscli "$@"\n'
        self._write("usr/bin/aws", aws.encode(), 0o755)
        self._write_sshd(environ)

    def _write_sshd(self, environ: Mapping[str, str]) -> None:
        host_key = keygen(self.layer / "host_key")
        self._write("etc/ssh/ssh_host_ed25519_key", host_key.read_bytes(), 0o600)
        self._write("etc/ssh/ssh_host_ed25519_key.pub", f"{public(host_key)}\n".encode())
        session = " ".join(f'"{name}={value}"' for name, value in environ.items())
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            "HostKey /etc/ssh/ssh_host_ed25519_key",
            "UsePAM yes",
            "PasswordAuthentication no",
            "PrintMotd no",
            f"SetEnv {session} PATH=/usr/local/bin:/usr/bin:/bin",
        ]
        self._write("etc/ssh/sshd_config", ("\n".join(lines) + "\n").encode())
        unit = (
            "[Unit]\nAfter=cloud-init.service\n[Service]\nRuntimeDirectory=sshd\n"
            "ExecStart=/usr/sbin/sshd -D -e\nKillMode=process\n"
        )
        self._write("etc/systemd/system/its-sshd.service", unit.encode())
        wants = self.upper / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / "its-sshd.service").symlink_to("/etc/systemd/system/its-sshd.service")

    def _write(self, name: str, data: bytes, mode: int = 0o644) -> None:
        path = self.upper / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)

    def _asked(self, attribute: str) -> Any:
        """Return the attribute that EC2 has for this instance."""
        client = self._aws.client("ec2")
        return client.describe_instance_attribute(InstanceId=self.id, Attribute=attribute)

    def _keys(self) -> list[str]:
        client = self._aws.client("ec2")
        (found,) = client.describe_instances(InstanceIds=[self.id])["Reservations"][0]["Instances"]
        name = found.get("KeyName")
        if not name:
            return []
        (pair,) = client.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
        return [pair["PublicKey"]]


@contextmanager
def machine(
    folder: Path,
    aws: Server,
    instance_id: str,
    *,
    region: str,
    port: int,
    feed_port: int,
    spot: Spot | None = None,
) -> Iterator[Machine]:
    """An instance that boots, with a role.

    Args:
        port: For its sshd.
        feed_port: For its feed.
        spot: Its spot notice.
    """
    document = json.dumps({"instanceId": instance_id, "region": region}).encode()
    with metadata(document, role=True, spot=spot) as imds:
        made = Machine(folder, aws, instance_id, imds.endpoint, port=port, feed_port=feed_port)
        try:
            made.start()
            yield made
        finally:
            made.stop()
            shutil.rmtree(made.layer)


def missing() -> str:
    """Return why such a machine cannot run here; empty if it can."""
    if os.getuid() != 0:
        return "only root can make a machine of its own"
    if shutil.which("debootstrap") is None:
        return "debootstrap is not there"
    mounted = subprocess.run(
        ["unshare", "-m", "-p", "--fork", "mount", "-t", "cgroup2", "cgroup2", "/mnt"],
        capture_output=True,
        check=False,
    )
    return "" if mounted.returncode == 0 else "control groups cannot be mounted here"
