"""Only machines of EC2 are powered off."""

from pathlib import Path

import pytest

from spawn.runner.shutdown import machine_shutdown
from spawn.runner.shutdown.machine_shutdown import power_off
from spawn.store.aws.this_machine import Instance

EC2 = Instance("i-0123456789abcdef0", "us-east-1")


def _program(folder: Path, script: str) -> Path:
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH; this process counts as root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine_shutdown.os, "geteuid", lambda: 0)  # type: ignore[attr-defined]
    return tmp_path


def test_the_systemctl_on_path_is_run(path: Path) -> None:
    _program(path, f'echo "$@" > {path}/asked')
    assert power_off(EC2) == ""
    assert (path / "asked").read_text() == "poweroff\n"


def test_a_failed_poweroff_is_reported_with_its_message(path: Path) -> None:
    program = _program(path, "echo 'Access denied' >&2; exit 1")
    assert power_off(EC2) == f"{program} poweroff: Access denied"


def test_off_ec2_systemctl_is_not_run(path: Path) -> None:
    _program(path, f"touch {path}/asked")
    assert power_off(Instance()) == "this machine is not an EC2 instance"
    assert not (path / "asked").exists()


def test_a_metadata_service_alone_does_not_allow_a_poweroff(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path / "systemctl").symlink_to(_program_of_the_system())
    called: list[object] = []
    monkeypatch.setattr(machine_shutdown.subprocess, "run", lambda *a, **_: called.append(a))  # type: ignore[attr-defined]
    assert power_off(EC2) == "this machine is not EC2 hardware"
    assert called == []


def _program_of_the_system() -> str:
    return next(each for each in ("/usr/bin/true", "/bin/true") if Path(each).exists())


def test_a_missing_systemctl_is_reported(path: Path) -> None:
    assert power_off(EC2) == "there is no systemctl on PATH"
