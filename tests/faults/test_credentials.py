"""A runner's credentials expire and are renewed from their source."""

import json
from pathlib import Path

import pytest
from tests.support.machines import Machines, check_replica
from tests.support.queues import job, until

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def _write(path: Path, key: str, *, process: bool) -> None:
    """Provide credentials in a file, or by a program that a file names."""
    if process:
        said = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": "t"}
        path.with_suffix(".json").write_text(json.dumps(said))
        text = f"[default]\ncredential_process = cat {path.with_suffix('.json')}\n"
    else:
        text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n"
        text += "aws_session_token = t\n"
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


@pytest.mark.parametrize("process", [False, True], ids=["file", "program"])
def test_a_runner_uses_renewed_credentials_after_expiry(machines: Machines, process: bool) -> None:
    machines.override_constant("spawn.runner.replication.replicator.LONGEST_PAUSE", 0.3)
    machines.override_constant("spawn.runner.replication.replicator.RENEW_SECONDS", 0.3)
    machines.override_constant("spawn.runner.transfers.publisher.LONGEST_PAUSE", 0.3)
    machines.override_constant("spawn.store.objects.bucket_client.RENEW_SECONDS", 0.3)
    a = machines.machine()
    for name in NAMES:
        a.environ.pop(name, None)
    file = a.folder / "credentials"
    a.environ["AWS_CONFIG_FILE" if process else "AWS_SHARED_CREDENTIALS_FILE"] = str(file)
    _write(file, "EARLIER", process=process)
    queue = a.queue(
        job("make", f"{until('go')}; echo 1 > x", result_files=["x"]), job("use", "cat x", "make")
    )
    started = queue.start()
    queue.wait_executing("make")
    queue.until(lambda: len(machines.remote().events()) == 3, "the store has the start")
    with machines.proxy.fault("expired", credential="Credential=EARLIER/"):
        queue.until(lambda: "credentials have expired" in queue.describe(), "it says so")
        replica = a.status("q")["replica"]
        assert "credentials have expired (ExpiredToken" in replica["trouble"]
        assert "aws sso login" in replica["trouble"]
        a.release("go")
        queue.wait_for("JobCompleted", "make")
        _write(file, "RENEWED", process=process)
        _, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    assert "cannot be reached" not in err
    assert machines.remote().read("make/attempts/1.1/results/x") == b"1\n"
    check_replica(queue, machines.remote())
