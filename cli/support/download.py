"""Download a queue's files into a folder and print what was downloaded."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from spawn.cli.output.results import format_elapsed, format_size, job_tree
from spawn.cli.output.style import style_for
from spawn.cli.support.progress import progress
from spawn.cli.support.stdout import print_flushed
from spawn.core.domain.codec import decode
from spawn.core.domain.replay import Row
from spawn.core.errors import InvalidArgument, SpawnError
from spawn.core.values.text import printable
from spawn.store.objects.interface import ObjectStore
from spawn.store.results.attempt_files import UNSAVED, DownloadChoice
from spawn.store.results.download_attempts import (
    AttemptDownloader,
    DownloadedAttempt,
    DownloadedFile,
)

MAX_LISTED_FAILURES = 100


class _Totals(Struct):
    """Totals over all jobs: bytes, numbers of files, and ids of jobs."""

    size: int = 0
    files: int = 0
    there: int = 0
    """Files that were downloaded before."""
    failed: list[str] = []
    """`JOB/FILE: error` of each file that failed."""
    unsaved: list[str] = []
    """Jobs whose results are not in the store."""
    waiting: list[str] = []
    """Jobs without files yet, with their state."""
    earlier: list[str] = []
    """Jobs whose files are those of the previous attempt."""
    partial: list[str] = []
    """Jobs whose output is incomplete."""


def download(
    queue_id: str,
    objects: ObjectStore,
    choices: Sequence[DownloadChoice],
    output: Path | None,
    *,
    target: str,
) -> None:
    """Download the files of jobs, one folder per job, and print the tree of the manual page.

    Args:
        output: Folder to download to; None: `./results/QUEUE-ID/`.
        target: The queue as the user named it, for hints.

    Raises:
        InvalidArgument: The output is not a folder.
        SpawnError: A file failed, or there is nothing to download yet.
    """
    shown = f"./results/{queue_id}/" if output is None else f"{str(output).rstrip('/')}/"
    if Path(shown).exists() and not Path(shown).is_dir():
        raise InvalidArgument(f"{shown} is not a folder", hint="choose another with --output")
    print_flushed(f"Downloading results for queue: {queue_id}\n")
    print_flushed(f"Source: {objects.location}\nDestination: {shown}\n\nJobs:")
    style = style_for(sys.stdout)
    totals = _Totals()
    started = time.monotonic()
    try:
        with (
            progress() as bar,
            AttemptDownloader(
                objects, Path(shown), coming=bar.add_total, went=bar.add_done
            ) as fetch,
        ):
            try:
                for brought in fetch.run(choices):
                    files = _add(brought, totals)
                    if files:
                        job = brought.choice.job
                        tree = job_tree(job.config.job_id, job.state, files, style)
                        bar.print("\n".join(tree) + "\n")
            except KeyboardInterrupt:  # printed first: closing `fetch` may take a while
                bar.close()
                print("Interrupted. Run the same command again to resume.", file=sys.stderr)
                raise
    except OSError as error:
        raise SpawnError(
            f"{shown} cannot be written",
            why=error.strerror or str(error),
            hint="choose another folder with --output",
        ) from None
    _print_totals(queue_id, target, shown, totals, time.monotonic() - started)


def _add(brought: DownloadedAttempt, totals: _Totals) -> list[DownloadedFile]:
    """Add a job's files to the totals; returns the files to show."""
    job, files = brought.choice.job, brought.files
    job_id = job.config.job_id
    if not files and (job.outcome is None or not job.folder):
        totals.waiting.append(f"{job_id} ({job.state})")
    elif not files:
        files = [
            DownloadedFile(name="metadata.json", size=0, error="it is not in the object store")
        ]
    if brought.earlier and files:
        number = brought.choice.earlier.rstrip("/").rpartition(".")[2]
        totals.earlier.append(f"{job_id} (attempt {number})")
    if any(file.partial for file in files):
        totals.partial.append(job_id)
    totals.files += len(files)
    totals.there += sum(file.skipped for file in files)
    totals.size += sum(file.size for file in files if not (file.error or file.skipped))
    if any(file.error and file.name == UNSAVED for file in files):
        totals.unsaved.append(job_id)
    totals.failed += [
        f"{job_id}/{printable(file.name)}: {printable(file.error)}" for file in files if file.error
    ]
    return files


def _print_totals(queue_id: str, target: str, shown: str, totals: _Totals, seconds: float) -> None:
    if not totals.files:
        raise SpawnError(
            f"queue {queue_id} has nothing to download yet",
            why=f"no attempt has ended: {', '.join(totals.waiting)}",
            hint=f"`spawn queue wait {target}` waits until it ends",
        )
    print_flushed(f"Total downloaded: {format_size(totals.size)}")
    print_flushed(f"Time: {format_elapsed(seconds)}")
    if totals.there:
        print_flushed(f"Already there: {totals.there} file{'' if totals.there == 1 else 's'}")
    for what, job_ids in (
        ("From the previous attempt, because a new one is running", totals.earlier),
        ("Output so far, because the attempt is running or its machine is gone", totals.partial),
        ("Nothing to download yet", totals.waiting),
    ):
        if job_ids:
            print(f"{what}: {', '.join(job_ids)}", file=sys.stderr)
    if totals.failed:
        for line in totals.failed[:MAX_LISTED_FAILURES]:
            print(f"  {line}", file=sys.stderr)
        if len(totals.failed) > MAX_LISTED_FAILURES:
            more = len(totals.failed) - MAX_LISTED_FAILURES
            print(f"  … and {more} more", file=sys.stderr)
        hint = "run the same command again to download the rest"
        if totals.unsaved:
            never = len(totals.unsaved) == len(totals.failed)
            why = f"`spawn queue why {queue_id} {totals.unsaved[0]}` explains the unsaved results"
            hint = why if never else f"{hint}; {why}"
        raise SpawnError(
            f"{len(totals.failed)} of {totals.files} files could not be downloaded", hint=hint
        )
    print_flushed(f"\nResults saved to: {shown}")


def previous_attempts(rows: Iterable[Row], job_ids: Collection[str]) -> dict[str, str]:
    """The store prefix of each job's second newest attempt, by job id; jobs without one are absent.

    Args:
        rows: The whole log.
        job_ids: The jobs to look for.
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
