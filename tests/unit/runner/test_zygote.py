"""The zygote is small, because each supervisor and each command copies its memory."""

import json
import subprocess
import sys

ALLOWED = {
    "spawn",
    "spawn.core",
    "spawn.core.exit",
    "spawn.runner",
    "spawn.runner.command",
    "spawn.runner.messages",
    "spawn.runner.output",
    "spawn.runner.prctl",
    "spawn.runner.reattach",
    "spawn.runner.supervisor",
    "spawn.runner.tree",
    "spawn.runner.zygote",
    "spawn.store",
    "spawn.store.block",
    "spawn.store.failpoints",
    "spawn.store.files",
    "spawn.store.lock",
    "spawn.store.record",
}
HEAVY = {
    "msgspec",
    "sqlalchemy",
    "threading",
    "hashlib",
    "pathlib",
    "subprocess",
    "json",
    "logging",
}


def test_the_zygote_imports_only_what_a_supervisor_needs() -> None:
    script = "import sys, spawn.runner.zygote; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True
    )
    modules = set(json.loads(done.stdout.replace("'", '"')))
    ours = {name for name in modules if name.split(".")[0] == "spawn"}
    assert ours == ALLOWED
    assert modules & HEAVY == set()
