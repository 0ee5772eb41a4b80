"""Commands that run on the instance."""

import shlex
import threading
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.remote.conftest import REACH
from tests.support.sshd import Sshd
from tests.support.wait import wait_until

from spawn import __version__
from spawn.cli.ssh import run as run_module
from spawn.cli.ssh.connection import SshConnection
from spawn.cli.ssh.errors import ConnectionLost, SpawnNotInstalled
from spawn.cli.ssh.run import run, run_spawn


@pytest.fixture
def connection(known: Sshd, reach: REACH):  # type: ignore[no-untyped-def]
    with reach().connect() as made:
        yield made


def test_stdout_stderr_and_exit_code_are_separate(connection: SshConnection) -> None:
    out, err = BytesIO(), BytesIO()
    assert run(connection, "echo out; echo err >&2; exit 7", out, err) == 7
    assert (out.getvalue(), err.getvalue()) == (b"out\n", b"err\n")


def test_large_output_on_both_streams_is_complete(connection: SshConnection) -> None:
    out, err = BytesIO(), BytesIO()
    script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait"
    assert run(connection, script, out, err) == 0
    assert (len(out.getvalue()), len(err.getvalue())) == (3_000_000, 3_000_000)


def test_output_arrives_while_the_command_runs(connection: SshConnection, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    out = BytesIO()
    script = f"echo one; until test -e {gate}; do :; done; echo two"
    running = threading.Thread(target=lambda: run(connection, script, out, BytesIO()))
    running.start()
    wait_until(lambda: out.getvalue() == b"one\n", what="the first line is here")
    gate.touch()
    running.join()
    assert out.getvalue() == b"one\ntwo\n"


def test_stdin_is_empty(connection: SshConnection) -> None:
    out = BytesIO()
    assert run(connection, "cat; echo end", out, BytesIO()) == 0
    assert out.getvalue() == b"end\n"


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_arguments_arrive_unchanged(connection: SshConnection, words: list[str]) -> None:
    out = BytesIO()
    assert run(connection, ["printf", "%s\\0", "first", *words], out, BytesIO()) == 0
    assert out.getvalue() == b"".join(each.encode() + b"\0" for each in ["first", *words])


def test_closed_output_does_not_cause_polling(
    connection: SshConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []
    real = run_module._copy_output

    def counted(channel: object, out: run_module.Sink, err: run_module.Sink) -> bool:
        looks.append(real(channel, out, err))
        return looks[-1]

    monkeypatch.setattr(run_module, "_copy_output", counted)
    gate = tmp_path / "gate"
    threading.Timer(1.0, gate.touch).start()
    script = f"exec >&- 2>&-; until test -e {gate}; do sleep 0.1; done; exit 5"
    assert run(connection, script, BytesIO(), BytesIO()) == 5
    assert len(looks) < 100, "one check per second, and one per message"


def test_a_signal_gives_255_as_with_ssh(connection: SshConnection) -> None:
    assert run(connection, "kill -KILL $$", BytesIO(), BytesIO()) == 255


def test_a_cut_connection_is_distinguished_from_an_end(
    connection: SshConnection, known: Sshd
) -> None:
    out = BytesIO()
    raised: list[BaseException] = []

    def running() -> None:
        try:
            run(connection, "echo begun; while :; do sleep 1; done", out, BytesIO())
        except ConnectionLost as error:
            raised.append(error)

    thread = threading.Thread(target=running)
    thread.start()
    wait_until(lambda: out.getvalue() == b"begun\n", what="it runs")
    known.cut()
    thread.join(30)
    assert "is lost" in str(raised[0])


def _spawn(folder: Path, text: str) -> str:
    """Write a `spawn` at the last place that a shell searches."""
    program = folder / ".local/bin/spawn"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return f"HOME={shlex.quote(str(folder))}; PATH=/usr/bin:/bin; export HOME PATH; "


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Run commands with another home that has a test `spawn`."""
    from spawn.cli.ssh import run as module

    real = module._spawn

    def put(text: str | None) -> None:
        prefix = _spawn(tmp_path / "home", text) if text is not None else "PATH=/usr/bin:/bin; "
        monkeypatch.setattr(module, "_spawn", lambda words: prefix + real(words))

    monkeypatch.setattr(module, "_PLACES", "/nowhere/bin")
    return put


def test_the_instances_spawn_is_run(connection: SshConnection, there) -> None:  # type: ignore[no-untyped-def]
    there('printf "<%s>" "$@"; exit 3')
    out = BytesIO()
    assert run_spawn(connection, ["queue", "cancel", "a b'c"], out, BytesIO()) == 3
    assert out.getvalue() == b"<queue><cancel><a b'c>"


def test_a_missing_spawn_is_reported(connection: SshConnection, there) -> None:  # type: ignore[no-untyped-def]
    there(None)
    with pytest.raises(SpawnNotInstalled, match="spawn not found on") as found:
        run_spawn(connection, ["queue", "cancel", "q"], BytesIO(), BytesIO())
    assert found.value.version == ""


def test_an_incompatible_version_is_reported(connection: SshConnection, there) -> None:  # type: ignore[no-untyped-def]
    there('if [ "$1" = --version ]; then echo spawn 0.0.1; else exit 2; fi')
    with pytest.raises(SpawnNotInstalled, match="does not understand `queue cancel q`") as found:
        run_spawn(connection, ["queue", "cancel", "q"], BytesIO(), BytesIO())
    assert found.value.version == "0.0.1"
    assert __version__ in found.value.why


def test_the_remote_spawn_itself_reports_bad_arguments(connection: SshConnection, there) -> None:  # type: ignore[no-untyped-def]
    there(f'if [ "$1" = --version ]; then echo spawn {__version__}; else exit 2; fi')
    assert run_spawn(connection, ["queue", "cancel", "q"], BytesIO(), BytesIO()) == 2
