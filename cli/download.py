"""Bring a queue's files into a folder, and say what came."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from spawn.cli.progress import progress
from spawn.cli.render.results import job_tree, size, took
from spawn.cli.render.style import style_for
from spawn.cli.render.text import printable
from spawn.cli.tell import tell
from spawn.core.codec import decode
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.replay import Row
from spawn.store.objects.port import ObjectStore
from spawn.store.results.fetch import Brought, Fetch, Fetched
from spawn.store.results.items import UNSAVED, Choice

MOST = 100
"""Files that failed, and are listed."""


class Tally(Struct):
    """What has come, over all jobs."""

    size: int = 0
    files: int = 0
    there: int = 0
    failed: list[str] = []
    unsaved: list[str] = []
    """Jobs whose results are not in the store, so that nothing can fetch them."""
    waiting: list[str] = []
    earlier: list[str] = []
    partial: list[str] = []


def download(
    queue_id: str,
    objects: ObjectStore,
    choices: Sequence[Choice],
    output: Path | None,
    *,
    asked: str,
) -> None:
    """Bring the files of jobs, a folder each, and print the tree of the manual page.

    Args:
        asked: What the queue was asked for by, for the next command.

    Raises:
        InvalidArgument: The output is no folder.
        SpawnError: Some file failed, or there is nothing yet.
    """
    shown = f"./results/{queue_id}/" if output is None else f"{str(output).rstrip('/')}/"
    if Path(shown).exists() and not Path(shown).is_dir():
        raise InvalidArgument(f"{shown} is not a folder", hint="--output names another")
    tell(f"Downloading results for queue: {queue_id}\n")
    tell(f"Source: {objects.location}\nDestination: {shown}\n\nJobs:")
    style = style_for(sys.stdout)
    tally = Tally()
    began = time.monotonic()
    try:
        with (
            progress() as bar,
            Fetch(objects, Path(shown), coming=bar.coming, went=bar.went) as fetch,
        ):
            try:
                for brought in fetch.run(choices):
                    files = _count(brought, tally)
                    if files:
                        job = brought.choice.job
                        tree = job_tree(job.config.job_id, job.state, files, style)
                        bar.print("\n".join(tree) + "\n")
            except KeyboardInterrupt:  # said first: what is under way may have to be waited for
                bar.close()
                print("Interrupted: the same command goes on where it was.", file=sys.stderr)
                raise
    except OSError as error:
        raise SpawnError(
            f"nothing can be written to {shown}",
            why=error.strerror or str(error),
            hint="--output names another folder",
        ) from None
    _conclude(queue_id, asked, shown, tally, time.monotonic() - began)


def _count(brought: Brought, tally: Tally) -> list[Fetched]:
    """Add what came of a job; returns its files as they are shown."""
    job, files = brought.choice.job, brought.files
    job_id = job.config.job_id
    if not files and (job.outcome is None or not job.folder):
        tally.waiting.append(f"{job_id} ({job.state})")
    elif not files:
        files = [Fetched(name="metadata.json", size=0, error="it is not in the object store")]
    if brought.earlier and files:
        number = brought.choice.earlier.rstrip("/").rpartition(".")[2]
        tally.earlier.append(f"{job_id} (attempt {number})")
    if any(file.partial for file in files):
        tally.partial.append(job_id)
    tally.files += len(files)
    tally.there += sum(file.skipped for file in files)
    tally.size += sum(file.size for file in files if not (file.error or file.skipped))
    if any(file.error and file.name == UNSAVED for file in files):
        tally.unsaved.append(job_id)
    tally.failed += [
        f"{job_id}/{printable(file.name)}: {printable(file.error)}" for file in files if file.error
    ]
    return files


def _conclude(queue_id: str, asked: str, shown: str, tally: Tally, seconds: float) -> None:
    if not tally.files:
        raise SpawnError(
            f"queue {queue_id} has nothing to download yet",
            why=f"no attempt has ended: {', '.join(tally.waiting)}",
            hint=f"`spawn queue wait {asked}` waits for its end",
        )
    tell(f"Total downloaded: {size(tally.size)}")
    tell(f"Time: {took(seconds)}")
    if tally.there:
        tell(f"Already there: {tally.there} file{'' if tally.there == 1 else 's'}")
    for what, job_ids in (
        ("Of an earlier attempt, as another runs", tally.earlier),
        ("Output so far, as the attempt runs or its machine is gone", tally.partial),
        ("Nothing yet of", tally.waiting),
    ):
        if job_ids:
            print(f"{what}: {', '.join(job_ids)}", file=sys.stderr)
    if tally.failed:
        for line in tally.failed[:MOST]:
            print(f"  {line}", file=sys.stderr)
        if len(tally.failed) > MOST:
            print(f"  … and {len(tally.failed) - MOST} more", file=sys.stderr)
        hint = "the same command again fetches what is missing"
        if tally.unsaved:
            never = len(tally.unsaved) == len(tally.failed)
            why = f"`spawn queue why {queue_id} {tally.unsaved[0]}` says what to do about results"
            hint = f"{why} that are not saved" if never else f"{hint}; {why} that are not saved"
        raise SpawnError(
            f"{len(tally.failed)} of {tally.files} files could not be downloaded", hint=hint
        )
    tell(f"\nResults saved to: {shown}")


def before(rows: Iterable[Row], job_ids: Collection[str]) -> dict[str, str]:
    """Where the files of the attempt before the newest are in the store, by job.

    Args:
        rows: The whole log.
        job_ids: The jobs that are asked for.
    """
    newest: dict[str, str] = {}
    found: dict[str, str] = {}
    for _, type_, line, _ in rows:
        event = decode(line, type_) if type_ in (b"JobStarted", None) else None
        if event is None or event.job_id not in job_ids or event.type != "JobStarted":
            continue
        assert event.job_id is not None
        if event.job_id in newest:
            found[event.job_id] = newest[event.job_id]
        newest[event.job_id] = f"{event.job_id}/attempts/{event.epoch}.{event.attempt}/"
    return found
