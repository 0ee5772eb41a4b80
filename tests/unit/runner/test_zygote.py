"""The zygote is small, because each supervisor and each command copies its memory."""

import json
import subprocess
import sys

ALLOWED = {
    "spawn",
    "spawn.core",
    "spawn.core.domain",
    "spawn.core.domain.attempt_exit",
    "spawn.runner",
    "spawn.runner.process",
    "spawn.runner.process.command",
    "spawn.runner.process.supervisor_protocol",
    "spawn.runner.process.output",
    "spawn.runner.process.supervisor_socket",
    "spawn.runner.process.supervisor",
    "spawn.runner.process.process_tree",
    "spawn.runner.process.zygote",
    "spawn.store",
    "spawn.store.queue_dir",
    "spawn.store.queue_dir.block",
    "spawn.store.failpoints",
    "spawn.store.files",
    "spawn.store.queue_dir.lock",
    "spawn.store.queue_dir.record",
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
    script = "import sys, spawn.runner.process.zygote; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True
    )
    modules = set(json.loads(done.stdout.replace("'", '"')))
    ours = {name for name in modules if name.split(".")[0] == "spawn"}
    assert ours == ALLOWED
    assert modules & HEAVY == set()
