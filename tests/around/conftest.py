"""Run instance commands against moto's EC2; no instance answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.queues import Finished
from tests.support.s3 import Server

from spawn.cli.main import run

Spawn = Callable[..., Finished]
"""Runs `spawn <words>` in this process, where boto3 is already imported."""


@pytest.fixture
def spawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Spawn:
    """Run `spawn` with its own home; the test chooses the AWS endpoint."""
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
    """AWS endpoint of the command line."""
    become(moto_server, monkeypatch)
    return moto_server


def become(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a server the AWS endpoint of this process."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
