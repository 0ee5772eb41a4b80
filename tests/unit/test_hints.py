"""Hints of an instance's `spawn`, as shown to the user of another machine."""

import io

import pytest

from spawn.cli.support.run_on_instance import HintRewriter, rewrite_hints

ID = "i-0123456789abcdef0"


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (
            "Hint: `spawn queue resume q --retry-failed` retries a",
            f"Hint: `spawn queue resume {ID} --retry-failed --queue q` retries a",
        ),
        (
            "Resume it with: spawn queue resume q\n",
            f"Resume it with: spawn queue resume {ID} --queue q\n",
        ),
        ("`spawn queue why q train`", f"`spawn queue why {ID} train --queue q`"),
        ("`spawn queue status local`", f"`spawn queue status {ID}`"),
        ("`spawn queue resume q --from-s3` takes it back",) * 2,
        (
            "queue q is not on this machine\nHint: `spawn queue list` lists its queues\n",
            f"queue q is not on {ID}\nHint: `spawn queue list {ID}` lists its queues\n",
        ),
        (
            "`spawn queue run FILE` runs one",
            f"`spawn queue run FILE`, on {ID}, runs one",
        ),
        ("3 jobs in the spawn queue are left",) * 2,
    ],
)
def test_remote_hints_are_rewritten_into_commands_that_work_here(there: str, here: str) -> None:
    assert rewrite_hints(there, ID) == here


def test_remote_output_is_forwarded_by_line_with_its_exact_bytes() -> None:
    out = io.BytesIO()
    sink = HintRewriter(out, ID)
    for byte in b"\xff `spawn queue status q`\nand":
        sink.write(bytes([byte]))
    assert out.getvalue() == f"\udcff `spawn queue status {ID} --queue q`\n".encode(
        "utf-8", "surrogateescape"
    )
    sink.close()
    assert out.getvalue().endswith(b"\nand")
