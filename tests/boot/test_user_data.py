"""User data passes cloud-init's own schema and a check for unknown keys."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.boot.plans import PLAN

from spawn.store.aws.boot.user_data import LIMIT, user_data

KEYS = {"write_files", "runcmd"}
FILE_KEYS = {"path", "permissions", "content", "encoding"}
"""Sources: "write_files" and "runcmd" of cloud-init's module reference."""


def unknown(document: dict[str, Any]) -> set[str]:
    """Return the keys that cloud-init would silently ignore."""
    files = [key for file in document["write_files"] for key in file]
    return set(document) - KEYS | set(files) - FILE_KEYS


def _document(data: bytes) -> dict[str, Any]:
    head, _, rest = data.partition(b"\n")
    assert head == b"#cloud-config"
    found: dict[str, Any] = json.loads(rest)
    return found


@pytest.mark.tool("cloud-init")
def test_cloud_init_accepts_the_user_data(tmp_path: Path) -> None:
    file = tmp_path / "user-data"
    for data, code in ((user_data(PLAN), 0), (b'#cloud-config\n{"runcmd": 5}\n', 1)):
        file.write_bytes(data)
        command = ["cloud-init", "schema", "--config-file", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr


def test_user_data_has_only_keys_that_cloud_init_knows() -> None:
    document = _document(user_data(PLAN))
    assert unknown(document) == set()
    document["write_files"][0]["mode"] = "0700"
    assert unknown({**document, "run_cmd": []}) == {"mode", "run_cmd"}


def test_user_data_is_small_and_deterministic() -> None:
    data = user_data(PLAN)
    assert data == user_data(PLAN)
    assert len(data) < LIMIT * 3 // 4
    with pytest.raises(ValueError, match="16384"):
        user_data(structs.replace(PLAN, prefix="x" * LIMIT + "/"))


@pytest.mark.tool("bash")
def test_the_shell_reads_back_any_plan() -> None:
    files = {each["path"]: each for each in _document(user_data(PLAN))["write_files"]}
    plan = files["/opt/spawn-queue/boot/plan"]
    script = f'{plan["content"]}printf "%s|%s|%s" "$BUCKET" "$OBJECTS" "$BOOT_LOG"'
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    prefix = PLAN.prefix
    assert done.stdout == f"b|{prefix}_spawn/boot/l-1/|{prefix}_spawn/boot.log"
    assert plan["permissions"] == "0600"
