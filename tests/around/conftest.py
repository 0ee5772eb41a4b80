"""A person who asks about instances, and EC2 as moto knows it; no instance answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.queues import Finished
from tests.support.s3 import Server

from spawn.cli.main import run

Spawn = Callable[..., Finished]
"""Runs `spawn <words>` in this process, for each command imports boto3 else."""


@pytest.fixture
def spawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Spawn:
    """The command line, with a home of its own; what AWS is to it is up to the test."""
    monkeypatch.setenv("SPAWN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)

    def run_(*words: str) -> Finished:
        capsys.readouterr()
        code = run(list(words))
        said = capsys.readouterr()
        return Finished(code, said.out, said.err)

    return run_


@pytest.fixture
def aws(moto_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """AWS to the command line."""
    become(moto_server, monkeypatch)
    return moto_server


def become(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server be AWS to what runs in this process."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
