"""An event as one line of `history`: when, what, why."""

from datetime import tzinfo
from typing import assert_never

from spawn.cli.output.style import PLAIN, Style
from spawn.core.domain import events as e
from spawn.core.domain.attempt_exit import unended_text
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import printable
from spawn.core.values.timestamps import parse_timestamp, seconds_between

LATE_SECONDS = 1.0
"""Seconds between a command's end and its event from which the end is shown separately."""
_KINDS = {
    "JobStarted": "running",
    "JobCompleted": "completed",
    "JobRetryScheduled": "retrying",
    "JobFailed": "failed",
    "JobInterrupted": "interrupted",
    "JobBlocked": "blocked",
    "ResultsUploadFailed": "failed",
    "QueueCompleted": "completed",
    "QueueFailed": "failed",
    "QueueInterrupted": "interrupted",
    "RequestRefused": "warning",
    "CheckpointNotSaved": "warning",
    "MachineKept": "failed",
}


def line(event: e.Event[e.Data], zone: tzinfo | None, style: Style = PLAIN) -> str:
    """Format an event: `seq  time  job or queue  what`."""
    at = f"{parse_timestamp(event.at).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
    who = event.job_id or "queue"
    text = style(_KINDS.get(event.type, ""), printable(describe(event)))
    return f"{event.seq:>5}  {at}  {who:<16} {text}{late_end(event, zone)}"


def late_end(event: e.Event[e.Data], zone: tzinfo | None) -> str:
    """Return when the command ended, if its event was logged later; else empty."""
    ended_at = getattr(event.data, "ended_at", "")
    if not ended_at or seconds_between(ended_at, event.at) < LATE_SECONDS:
        return ""
    return (
        f"; the command ended at {parse_timestamp(ended_at).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
    )


def describe(event: e.Event[e.Data]) -> str:
    """Describe an event in words."""
    data: e.AnyData = event.data  # type: ignore[assignment]
    match data:
        case e.QueueSubmitted():
            return f"submitted: {_count(data.jobs_total, 'job')} from {data.file or 'a program'}"
        case e.JobsSubmitted():
            return f"submitted: {_count(len(data.jobs), 'job')} more"
        case e.QueueResumed():
            after = f"; the previous runner died ({data.died})" if data.died else ""
            return f"resumed by {data.owner}, epoch {event.epoch}, pid {data.pid}{after}"
        case e.QueueStarted():
            return f"started by {data.owner}, pid {data.pid}, spawn {data.version}"
        case e.JobStarted():
            return f"attempt {event.attempt} started" + (f", pid {data.pid}" if data.pid else "")
        case e.JobCompleted():
            results = data.results
            found = f", {_count(results.files, 'result file')}" if results else ""
            after = f"{duration(data.wall_seconds)}{found}{_unended(data)}"
            return f"attempt {event.attempt} completed after {after}"
        case e.JobRetryScheduled():
            return (
                f"attempt {event.attempt} failed ({_exit_text(data)}) after "
                f"{duration(data.wall_seconds)}; retry in {duration(data.delay)}: "
                f"{data.why}{_unended(data)}"
            )
        case e.JobFailed(exit_code=None):  # it could not start, or its end was not observed
            return f"attempt {event.attempt} failed; no retry: {data.why}{_unended(data)}"
        case e.JobFailed():
            return (
                f"attempt {event.attempt} failed ({_exit_text(data)}) after "
                f"{duration(data.wall_seconds)}; no retry: {data.why}{_unended(data)}"
            )
        case e.JobInterrupted():
            detail = f": {data.detail}" if data.detail else _unended(data)
            return f"attempt {event.attempt} interrupted ({data.cause}){detail}; budget unspent"
        case e.JobBlocked():
            return f"blocked by {data.by}, which failed"
        case e.JobUnblocked():
            return f"no longer blocked by {data.by}"
        case e.JobReset():
            reason = "its results were lost" if data.reason == "results_lost" else "retry"
            return f"reset by {data.by}: {reason}"
        case e.ResultsUploaded():
            unmatched = f"; no file matches {', '.join(data.unmatched)}" if data.unmatched else ""
            files = f"{_count(data.files, 'file')}, {data.size} bytes"
            return f"results saved: {files}{unmatched}{_left_out(data.left_out)}"
        case e.OutputNotSaved():
            return f"output of attempt {event.attempt} not saved: {data.error}"
        case e.OutputSaved():
            return f"output of attempt {event.attempt} saved"
        case e.ResultsNotPutBack():
            return f"results not restored here yet: {data.error}"
        case e.ResultsPutBack():
            return f"results restored here: {_count(data.files, 'file')} downloaded"
        case e.CheckpointSaved():
            files = _count(data.files, "file")
            saved = f"checkpoint of attempt {event.attempt} saved: {files}, {data.size} bytes"
            return saved + _left_out(data.left_out)
        case e.CheckpointNotSaved():
            return f"checkpoint of attempt {event.attempt} not saved: {data.error}"
        case e.CheckpointPutBack(error=""):
            return f"checkpoint restored here: {_count(data.files, 'file')} downloaded"
        case e.CheckpointPutBack():
            return f"checkpoint not restored; the job starts without it: {data.error}"
        case e.MachineKept():
            return f"the machine was not powered off: {data.why}"
        case e.ResultsDelayed():
            return f"results not saved yet; dependents no longer wait for them: {data.error}"
        case e.ResultsUploadFailed():
            return f"results not saved: {data.error}{_left_out(data.left_out)}"
        case e.QueueReconfigured():
            return f"reconfigured: {'; '.join(data.changes)}"
        case e.QueueInterrupted():
            return f"interrupted ({data.cause})" + (f": {data.detail}" if data.detail else "")
        case e.QueueCompleted():
            return "completed"
        case e.QueueFailed():
            return f"failed ({data.reason})" + (f": {data.detail}" if data.detail else "")
        case e.RequestRefused():
            return f"request refused: {data.request}: {data.why}"
        case _ as never:
            assert_never(never)


def _exit_text(data: e.Outcome) -> str:
    if data.timed_out:
        return "timeout"
    if data.signal:
        return f"exit {data.exit_code}, {data.signal}"
    return f"exit {data.exit_code}"


def _left_out(what: tuple[str, ...]) -> str:
    return f"; not kept: {', '.join(what)}" if what else ""


def _unended(data: e.Outcome) -> str:
    text = unended_text(data.unended)
    return f"; {text}" if text else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
