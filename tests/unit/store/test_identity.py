"""The user name in events: any environment gives text that an event can hold."""

import socket

import pytest

from spawn.store.identity import hostname, owner


@pytest.mark.parametrize("name", ["\udcff\udcfe", "u" * 70_000, "\x1b[31mé"])
def test_any_name_becomes_short_text_in_utf_8(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("LOGNAME", name)
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert len(owner().encode()) < 2048
    assert owner().endswith(f"@{hostname()}")
