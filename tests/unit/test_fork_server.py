"""The fork server survives a failed fork."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from tests.support import fork_server


def test_a_failed_fork_leaves_no_signal_blocked_and_no_descriptor_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fork() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", fork)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        message = json.dumps({"fds": [0]}).encode()
        socket.send_fds(ours, [len(message).to_bytes(4, "big") + message], [ours.fileno()])
        before = set(Path("/proc/self/fd").iterdir())
        with pytest.raises(BlockingIOError):
            fork_server._fork(theirs)
        blocked = signal.pthread_sigmask(signal.SIG_SETMASK, ())
        assert blocked == set()
        assert set(Path("/proc/self/fd").iterdir()) == before
