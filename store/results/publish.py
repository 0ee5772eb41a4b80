"""Bring an attempt's output and results to the object store."""

import os
from pathlib import Path

import msgspec

from spawn.core.events import ResultsUploaded, ResultsUploadFailed
from spawn.core.state import JobState
from spawn.store.failpoints import reached
from spawn.store.objects.port import ObjectStore, StoreError
from spawn.store.results.find import Found
from spawn.store.results.manifest import Manifest, load

LOGS = ("stdout.log", "stderr.log")


class _Lost(Exception):
    """A result file is not what the manifest says."""


def publish(store: ObjectStore, job: JobState) -> ResultsUploaded | ResultsUploadFailed | None:
    """Copy an attempt's files into the store; what is there already is left as it is.

    Args:
        job: As it was when the attempt ended.

    Returns:
        How the results fared; None for an attempt that promises none.
    """
    prefix = attempt_prefix(job)
    promised = job.state == "completed" and bool(job.config.result_files)
    if not promised and store.has(prefix + "metadata.json"):
        return None  # it is the last one that is put
    folder = Path(job.folder)
    try:
        for log in LOGS:
            if (folder / log).exists():
                store.link(prefix + log, folder / log)
        store.put(prefix + "exit_code", _exit_code(job), durable=False)
        store.put(prefix + "metadata.json", _metadata(job), durable=False)
        reached("publisher.logs")
        if not promised:
            return None
        return _publish_results(store, prefix, load(folder))
    except (OSError, StoreError, _Lost, msgspec.DecodeError) as error:
        if not promised:
            return None
        return ResultsUploadFailed(error=str(error))


def attempt_prefix(job: JobState) -> str:
    """Where the files of a job's newest attempt are in the store, with a trailing slash."""
    return f"{job.config.job_id}/attempts/{job.epoch}.{job.attempt}/"


def _publish_results(store: ObjectStore, prefix: str, manifest: Manifest) -> ResultsUploaded:
    entries = []
    for file in manifest.files:
        size, digest = _copy(store, f"{prefix}results/{file.name}", file)
        reached("publisher.file")
        entries.append({**msgspec.to_builtins(file), "sha256": digest, "size": size})
    key = prefix + "manifest.json"
    data = msgspec.json.encode({"files": entries, "unmatched": manifest.unmatched}, order="sorted")
    stored = store.put(key, data)
    reached("publisher.uploaded")
    return ResultsUploaded(
        files=len(entries),
        size=sum(file.size for file in manifest.files),
        key=key,
        sha256=stored,
        unmatched=manifest.unmatched,
    )


def _copy(store: ObjectStore, key: str, file: Found) -> tuple[int, str]:
    def same() -> None:
        if _identity(os.stat(file.path)) != (file.size, file.mtime_ns, file.inode):
            raise _Lost(f"changed: {file.path} is not what it was when the job completed")

    try:
        same()
        return store.put_file(key, Path(file.path), accept=same)
    except FileNotFoundError:
        raise _Lost(f"gone: {file.path}") from None


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _exit_code(job: JobState) -> bytes:
    code = job.outcome and job.outcome.exit_code
    return b"\n" if code is None else f"{code}\n".encode()


def _metadata(job: JobState) -> bytes:
    facts = {
        "job_id": job.config.job_id,
        "status": job.state,
        "attempt": job.attempt,
        "epoch": job.epoch,
        "command": job.config.command,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "why": job.why,
        "outcome": job.outcome,
    }
    return msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n"
