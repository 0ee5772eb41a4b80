"""A bare Debian boots from its user data and runs its queue to the end.

Its systemd is not process 1: `systemctl` enables units and ignores everything else, and the test
runs the command of the runner's unit itself. The dnf branch is only parsed, not run.
"""

import base64
import gzip
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest
from msgspec import Struct, structs
from tests.support.imds import ENDPOINT, metadata
from tests.support.roots import Root, root
from tests.support.s3 import Server

from spawn.core.config.parser import parse_config
from spawn.store.aws.boot.payload import create_payload, upload_payload
from spawn.store.aws.boot.plan import BootPlan
from spawn.store.aws.boot.user_data import user_data
from spawn.store.objects.interface import ObjectStore
from spawn.store.objects.s3 import S3Store
from spawn.store.replica.claim import submit
from spawn.store.replica.submitted import read_boot_log, read_submitted

pytestmark = [
    pytest.mark.long,
    pytest.mark.tool("debootstrap"),
    pytest.mark.skipif(os.getuid() != 0, reason="a root of its own is for root"),
]

BUCKET = "spawn-boot"
SECRET = "p$w \"q\" 'x' \\n\\ `id` #é"
CONFIG = """{"jobs": [
  {"job_id": "a", "command": "python work.py > out.txt && printf %s \\"$SECRET\\" >> out.txt",
   "result_files": ["out.txt"]}
]}"""
SETUP = """#!/bin/sh
{ id -u; python -c 'import sys; print(sys.version_info >= (3, 11))'; } > /root/setup-ran
"""
USER = "worker"


class Booted(Struct, frozen=True):
    """A root file system after its bootstrap."""

    root: Root
    plan: BootPlan
    store: ObjectStore
    environ: dict[str, str]
    done: CompletedProcess[str]

    def bootstrap(self) -> CompletedProcess[str]:
        """Run the bootstrap again."""
        return self.root.run(
            "/bin/bash", "/opt/spawn-queue/boot/bootstrap.sh", environ=self.environ
        )

    @property
    def log(self) -> str:
        """Output of the first bootstrap."""
        return (self.root.upper / "var/log/spawn-queue-boot.log").read_text()


def write_files(data: bytes, into: Path) -> list[list[str]]:
    """Apply `write_files` as cloud-init does; returns the commands of `runcmd`."""
    document = json.loads(data.removeprefix(b"#cloud-config\n"))
    for file in document["write_files"]:
        content = file["content"].encode()
        if file.get("encoding") == "gz+b64":
            content = gzip.decompress(base64.b64decode(content))
        path = into / file["path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(int(file["permissions"], 8))
    commands: list[list[str]] = document["runcmd"]
    return commands


@pytest.fixture(scope="module")
def metadata_service() -> Iterator[str]:
    """Name a metadata service of an instance with a role."""
    with metadata(b"{}", role=True) as server:
        yield server.endpoint


@pytest.fixture(scope="module")
def booted(
    moto_server: Server, metadata_service: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Booted]:
    """Launched with files, setup and environment; its services are not started."""
    folder = tmp_path_factory.mktemp("boot")
    work = folder / "work"
    work.mkdir()
    (work / "work.py").write_text("import sys; print(sys.version_info >= (3, 11))\n")
    (work / "setup.sh").write_text(SETUP)
    moto_server.client().create_bucket(Bucket=BUCKET)
    quoted = SECRET.replace("\\", "\\\\").replace('"', '\\"')
    moto_server.client("ssm").put_parameter(
        Name="/spawn-queue/env", Type="SecureString", Value=f'# for jobs\nSECRET="{quoted}"\n'
    )
    with pytest.MonkeyPatch.context() as patch, root(folder) as made:
        for name, value in moto_server.environ.items():
            patch.setenv(name, value)
        store = S3Store(bucket=BUCKET, prefix="a b/nightly")
        with create_payload(CONFIG.encode(), sync=work, setup=work / "setup.sh") as payload:
            upload_payload(payload, store, "l-1")
            files = payload.files
        config = parse_config(CONFIG.encode(), base_directory="/srv", name="queue.json")
        submit(store, structs.replace(config, queue_id="nightly"))
        plan = BootPlan(
            launch_id="l-1",
            queue_id="nightly",
            region="us-east-1",
            bucket=BUCKET,
            prefix="a b/nightly/",
            files=files,
            user=USER,
            env_parameter="/spawn-queue/env",
            on_complete="keep",
        )
        (command,) = write_files(user_data(plan), made.upper)
        assert made.run("useradd", "--create-home", "--user-group", USER).returncode == 0
        environ = {"AWS_ENDPOINT_URL": moto_server.endpoint, ENDPOINT: metadata_service}
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        environ |= {"PIP_CERT": bundle, "SSL_CERT_FILE": bundle, "SYSTEMD_OFFLINE": "1"}
        done = made.run(*command, environ=environ)
        yield Booted(made, plan, store, environ, done)


def the_bootstrap_completes_and_logs_each_step(booted: Booted) -> None:
    assert booted.done.returncode == 0, booted.log
    steps = re.findall(r"(?m)^[\dT:-]+Z (\w+(?: [\w-]+)?)", booted.log)
    assert steps == [
        *("download the", "find Python", "install python3-venv", "run the", "use"),
        *("install spawn", "create the", "unpack the", "read the", "start the", "done"),
    ]
    assert read_boot_log(booted.store, 10) == ()
    assert booted.log.count("p$w") == 0


def the_setup_runs_as_root_with_the_jobs_python(booted: Booted) -> None:
    assert (booted.root.upper / "root/setup-ran").read_text() == "0\nTrue\n"


def the_user_owns_the_folders_and_only_they_can_read_the_environment(booted: Booted) -> None:
    uid = int(booted.root.run("id", "-u", USER).stdout)
    for name in ("var/lib/spawn-queue", "var/log/spawn-queue", "srv/spawn-queue/nightly"):
        assert (booted.root.upper / name).stat().st_uid == uid
    found = (booted.root.upper / "etc/spawn-queue/environment").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, uid)
    assert not list((booted.root.upper / "opt/spawn-queue/boot").glob("environment*"))


def the_services_are_enabled(booted: Booted) -> None:
    wants = booted.root.upper / "etc/systemd/system/multi-user.target.wants"
    assert sorted(path.name for path in wants.iterdir() if path.name.startswith("spawn")) == [
        "spawn-feed.service",
        "spawn-queue.service",
    ]


def the_installed_versions_are_the_launchers(booted: Booted) -> None:
    shown = booted.root.run("/opt/spawn-queue/venv/bin/python", "-m", "pip", "freeze").stdout
    from importlib.metadata import version

    for name in ("boto3", "msgspec", "typer", "paramiko"):
        assert f"{name}=={version(name)}" in shown.splitlines()


def _unit(booted: Booted) -> dict[str, list[str]]:
    text = (booted.root.upper / "etc/systemd/system/spawn-queue.service").read_text()
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", text):
        found.setdefault(name, []).append(value)
    return found


def the_runner_runs_the_submitted_queue_once(booted: Booted) -> None:
    unit = _unit(booted)
    environ = dict(each.split("=", 1) for each in unit["Environment"]) | booted.environ
    environ |= {"HOME": f"/home/{USER}", "SECRET": SECRET}
    # The folder has modules that only the jobs may import, in any way.
    for name in ("queue", "random"):
        (booted.root.upper / f"srv/spawn-queue/nightly/{name}.py").write_text("raise SystemExit")
    environ |= {"PYTHONPATH": "/srv/spawn-queue/nightly"}
    user = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"]
    inside = ["sh", "-c", 'cd "$0" && exec "$@"', unit["WorkingDirectory"][0]]
    command = [*user, *inside, *shlex.split(unit["ExecStart"][0])]
    done = booted.root.run(*command, environ=environ)
    assert done.returncode == 0, done.stderr + done.stdout
    (result,) = [
        key for key, _ in booted.store.list("a/attempts/") if key.endswith("results/out.txt")
    ]
    assert booted.store.read(result).data.decode() == f"True\n{SECRET}"
    found = read_submitted(booted.store)
    assert found is not None
    claimed: Any = msgspec.json.decode(booted.store.read("_spawn/queue.json").data)
    assert claimed["claimed_by"]
    again = booted.root.run(*command, environ=environ)
    assert again.returncode == 0
    assert "nothing to run" in again.stderr


def a_second_bootstrap_keeps_the_jobs_changes(booted: Booted) -> None:
    changed = booted.root.upper / "srv/spawn-queue/nightly/work.py"
    changed.write_text("changed")
    assert booted.bootstrap().returncode == 0
    assert changed.read_text() == "changed"


def a_bootstrap_failure_is_written_to_the_boot_log(booted: Booted) -> None:
    plan = booted.root.upper / "opt/spawn-queue/boot/files"
    before = plan.read_text()
    plan.write_text(f"{'0' * 64}  missing\n")
    done = booted.bootstrap()
    assert done.returncode == 1
    assert "failed to download the launch files" in done.stdout
    lines = read_boot_log(booted.store, 3)
    assert "NoSuchKey" in lines[-2]
    assert "sudo bash /opt/spawn-queue/boot/bootstrap.sh" in lines[-1]
    first = "\n".join(lines)
    plan.write_text(before.replace(before[:8], "00000000", 1))
    (booted.root.upper / "opt/spawn-queue/launches/l-1/queue-config.json").unlink(missing_ok=True)
    assert booted.bootstrap().returncode == 1
    assert "its SHA-256 differs" in "\n".join(read_boot_log(booted.store, 3)) != first
    plan.write_text(before)


def a_refused_start_is_written_to_the_boot_log(booted: Booted) -> None:
    script = ["/bin/bash", "/opt/spawn-queue/boot/bootstrap.sh", "refused"]
    environ = booted.environ | {"SERVICE_RESULT": "exit-code"}
    queues = booted.root.upper / "var/lib/spawn-queue/queues"
    queues.mkdir(exist_ok=True, parents=True)
    (queues / "nightly").mkdir(exist_ok=True)
    events = queues / "nightly/events.db"
    events.touch()
    assert booted.root.run(*script, environ=environ).returncode == 0
    events.rename(queues / "aside")
    later = environ | {"EXIT_STATUS": "75"}
    assert booted.root.run(*script, environ=later).returncode == 0, "systemd restarts it"
    assert booted.root.run(*script, environ=environ).returncode == 1
    (queues / "aside").rename(events)
    assert "failed to start the queue" in read_boot_log(booted.store, 1)[0]


CHECKS = [
    the_bootstrap_completes_and_logs_each_step,
    the_setup_runs_as_root_with_the_jobs_python,
    the_user_owns_the_folders_and_only_they_can_read_the_environment,
    the_services_are_enabled,
    the_installed_versions_are_the_launchers,
    the_runner_runs_the_submitted_queue_once,
    a_second_bootstrap_keeps_the_jobs_changes,
    a_bootstrap_failure_is_written_to_the_boot_log,
    a_refused_start_is_written_to_the_boot_log,
]
"""Run in this order: some change the machine."""


def test_a_bare_machine_boots_and_runs_its_queue(booted: Booted) -> None:
    for check in CHECKS:  # one test: with several, each worker that gets one would boot a machine
        check(booted)
