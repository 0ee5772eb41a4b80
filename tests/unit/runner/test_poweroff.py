"""No test and no mistake powers off a machine that is not EC2's."""

from pathlib import Path

import pytest

from spawn.runner import poweroff
from spawn.runner.poweroff import power_off
from spawn.store.instance import Instance

EC2 = Instance("i-0123456789abcdef0", "us-east-1")


def _program(folder: Path, script: str) -> Path:
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on PATH; this is root."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(poweroff.os, "geteuid", lambda: 0)  # type: ignore[attr-defined]
    return tmp_path


def test_the_program_on_path_is_asked(path: Path) -> None:
    _program(path, f'echo "$@" > {path}/asked')
    assert power_off(EC2) == ""
    assert (path / "asked").read_text() == "poweroff\n"


def test_what_it_says_is_why_the_machine_is_still_on(path: Path) -> None:
    program = _program(path, "echo 'Access denied' >&2; exit 1")
    assert power_off(EC2) == f"{program} poweroff: Access denied"


def test_off_ec2_nobody_is_asked(path: Path) -> None:
    _program(path, f"touch {path}/asked")
    assert power_off(Instance()) == "this machine is not an EC2 instance"
    assert not (path / "asked").exists()


def test_a_metadata_service_alone_does_not_switch_a_machine_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path / "systemctl").symlink_to(_program_of_the_system())
    called: list[object] = []
    monkeypatch.setattr(poweroff.subprocess, "run", lambda *a, **_: called.append(a))  # type: ignore[attr-defined]
    assert power_off(EC2) == "this machine is not EC2 hardware"
    assert called == []


def _program_of_the_system() -> str:
    return next(each for each in ("/usr/bin/true", "/bin/true") if Path(each).exists())


def test_a_machine_without_systemd_says_so(path: Path) -> None:
    assert power_off(EC2) == "there is no systemctl on PATH"
