"""Status of a queue whose machine has gone silent, from its replica, as of the last contact."""

import json
import os
import re
from pathlib import Path

import pytest
from msgspec import structs
from tests.cli import samples
from tests.cli.support import GOLDEN, Home
from tests.support.replicas import replicate

from spawn.core.domain.events import QueueStarted
from spawn.store.objects.folder import FolderStore
from spawn.store.replica import names

ID = samples.QUEUE_ID
TRAINING = samples.training()


@pytest.fixture
def silent(home: Home) -> Path:
    """The store of a queue whose runner's last contact was at 15:55:32 of the samples' day."""
    root = home.roots.objects / ID
    owner = samples.owner()
    fields = {name: getattr(owner, name) for name in owner.__struct_fields__}
    log = samples.submitted(samples.PIPELINE, "14:05:30")
    log.at("14:05:32", QueueStarted(**{**fields, "results_location": f"{root}/"}))
    home.queue(ID).folder.mkdir(parents=True)
    log.write(home.queue(ID).events)
    config = structs.replace(samples.PIPELINE, queue_id=ID)
    replicate(
        FolderStore(root),
        TRAINING.rows,
        config,
        ends=range(1, TRAINING.seq + 1),
        handed_back=False,
    )
    heard = samples.moment(samples.NOW).timestamp()
    os.utime(root / names.LEASE, (heard, heard))
    pieces = root / "train/attempts/1.1/parts/stdout.log"
    pieces.mkdir(parents=True)
    text = "".join(f"{line}\n" for line in samples.TRAIN_OUTPUT)
    (pieces / f"{0:016d}").write_text("Epoch 24/100\n")
    (pieces / f"{13:016d}").write_text(text)
    return root


def test_the_status_text_is_the_golden_text(home: Home, silent: Path) -> None:
    done = home("queue", "status", ID, "--from-s3")
    assert done.returncode == 0, done.stderr
    told = done.stdout.replace(str(silent), "s3://team/demo")
    told = re.sub(r"\(as of \d+d( \d+h)? ago\)", "(as of AGE ago)", told)
    assert told == (GOLDEN / "status_silent.txt").read_text()
    ago = r"\d+d( \d+h)? ago"
    assert re.fullmatch(
        rf"Read from {re.escape(str(silent))}/: {TRAINING.seq} events, the last {ago}; "
        rf"its runner was last heard from {ago}\n",
        done.stderr,
    )


def test_the_json_names_its_source_and_time(home: Home, silent: Path) -> None:
    done = home("queue", "status", ID, "--from-s3", "--json")
    told = json.loads(done.stdout)
    assert (told["status"], told["runner_alive"]) == ("running", False)
    assert told["as_of"] == "2026-01-27T15:55:32-08:00"
    assert told["read_from"] == {
        "location": f"{silent}/",
        "events": TRAINING.seq,
        "last_event_at": "2026-01-27T15:21:04-08:00",
        "runner_heard_at": told["read_from"]["runner_heard_at"],
    }
    assert told["read_from"]["runner_heard_at"][:17] == "2026-01-27T15:55:"
    running = next(job for job in told["job_details"] if job["job_id"] == "train")
    assert "pid" not in running
    assert running["log_file"] == f"{silent}/train/attempts/1.1/"


def test_a_folder_of_this_machine_is_read_without_a_cache(home: Home, silent: Path) -> None:
    home("queue", "status", ID, "--from-s3")
    assert not home.roots.cache.exists()


def test_the_report_is_as_of_the_last_contact_and_shows_running_jobs_until_then(
    home: Home, silent: Path
) -> None:
    done = home("queue", "report", ID, "--from-s3", "-o", "-")
    assert done.returncode == 0, done.stderr
    html = done.stdout
    assert "As of 2026-01-27 15:55:32 PST; the queue has no runner." in html
    assert "<dt>Elapsed</dt><dd>1h 50m</dd>" in html
    ran = re.search(r'class="bar running" style="left:[\d.]+%;width:([\d.]+)%"', html)
    assert ran is not None
    assert 30 < float(ran[1]) < 33, "34 of 110 minutes"
    assert "ran 34m 28s" in html, "this is the end of the critical path"
