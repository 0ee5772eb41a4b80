"""systemd accepts the units without a warning, and they say what a queue needs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec import structs
from tests.boot.plans import PLAN

from spawn.store.aws.boot import locations, user_data
from spawn.store.aws.boot.plan import BootPlan

PLANS = [PLAN, structs.replace(PLAN, resume=True, force=True, retry_failed=True)]


def _said(root: Path) -> str:
    command = ["systemd-analyze", "verify", f"--root={root}"]
    done = subprocess.run(
        [*command, "spawn-queue.service", "spawn-feed.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    return done.stderr


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with systemd's own units, and programs that do nothing."""
    made = tmp_path_factory.mktemp("system")
    shutil.copytree("/usr/lib/systemd/system", made / "usr/lib/systemd/system", symlinks=True)
    (made / "lib").symlink_to("usr/lib")
    for name in ("usr/local/bin/spawn", "bin/sh", "bin/bash"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).touch(mode=0o755)
    (made / "etc/systemd/system").mkdir(parents=True)
    return made


@pytest.mark.tool("systemd-analyze")
@pytest.mark.parametrize("plan", PLANS, ids=["run", "resume"])
def test_systemd_accepts_the_units_without_a_warning(system: Path, plan: BootPlan) -> None:
    folder = system / "etc/systemd/system"
    (folder / "spawn-queue.service").write_text(user_data.runner_unit(plan))
    (folder / "spawn-feed.service").write_text(user_data.feed_unit(plan))
    assert _said(system) == ""
    (folder / "spawn-feed.service").write_text(user_data.feed_unit(plan) + "Bogus=1\n")
    assert "Unknown key 'Bogus'" in _said(system)


def test_the_runner_unit_keeps_jobs_and_restarts_a_dead_runner() -> None:
    text = user_data.runner_unit(PLAN)
    for line in (
        "KillMode=process",
        "Delegate=yes",
        "OOMPolicy=continue",
        "Restart=on-abnormal",
        "RestartForceExitStatus=70 75",
        f"Environment={locations.SERVICE_VARIABLE}=1",
        "SuccessExitStatus=130 143",
        "After=network-online.target",
        "TimeoutStopSec=120",
        "User=ec2-user",
        "EnvironmentFile=/etc/spawn-queue/environment",
        "Environment=SPAWN_BUCKET_OWNER=123456789012",
    ):
        assert f"\n{line}\n" in text


def test_the_stop_timeout_exceeds_a_long_kill_grace() -> None:
    text = user_data.runner_unit(structs.replace(PLAN, kill_grace=600.5))
    assert "\nTimeoutStopSec=691\n" in text


def test_the_command_has_the_plans_options_and_omits_defaults() -> None:
    assert user_data.runner_command(PLAN)[1:] == [
        *("queue", "run", "--or-resume", "/srv/spawn-queue/nightly/queue-config.json"),
        *("--queue-id", "nightly", "--bucket", "b", "--prefix", PLAN.prefix.rstrip("/")),
        *("--region", "us-east-1", "--ttl", "2026-11-28T12:00:00Z", "--on-complete", "terminate"),
    ]
    plain = structs.replace(PLAN, ttl_at=None, on_complete="keep", env_parameter=None)
    assert not {"--ttl", "--on-complete"} & set(user_data.runner_command(plain))
    assert "EnvironmentFile" not in user_data.runner_unit(plain)


@pytest.mark.parametrize("there", [False, True])
def test_the_first_start_takes_over_and_later_ones_resume(tmp_path: Path, *, there: bool) -> None:
    shell, flag, script = user_data.runner_command(PLANS[1])
    assert (shell, flag) == ("/bin/sh", "-c")
    log = tmp_path / "events.db"
    if there:
        log.touch()
    script = script.replace("/var/lib/spawn-queue/queues/nightly/events.db", str(log))
    script = script.replace("/usr/local/bin/spawn", "printf '<%s>'")
    done = subprocess.run(
        [shell, flag, script.replace("exec ", "")], capture_output=True, text=True
    )
    first = "<queue><run><--or-resume>" if there else "<queue><resume><nightly><--from-s3><--force>"
    assert done.stdout.startswith(first)
    assert f"<--prefix><{PLAN.prefix.rstrip('/')}>" in done.stdout


def test_the_unit_passes_the_encryption_settings() -> None:
    key = "arn:aws:kms:us-east-1:111122223333:alias/x%y"
    text = user_data.runner_unit(structs.replace(PLAN, sse="aws:kms", sse_key=key))
    assert "\nEnvironment=SPAWN_SSE=aws:kms\n" in text
    assert f'\nEnvironment="SPAWN_SSE_KMS_KEY_ID={key.replace("%", "%%")}"\n' in text
    assert "SPAWN_SSE" not in user_data.runner_unit(PLAN)


def test_characters_that_systemd_expands_are_escaped() -> None:
    line = re.search(r"(?m)^ExecStart=.*$", user_data.runner_unit(PLAN))
    assert line is not None
    assert '''"a 'b' %%h $$x \\"é\\"/nightly"''' in line[0]
