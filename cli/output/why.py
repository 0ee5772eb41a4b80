"""The explanation of a job's state, as sentences and as JSON."""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any, assert_never

import msgspec

from spawn.cli.output.results import format_size
from spawn.cli.output.style import PLAIN, Style
from spawn.core.reports.why.advice import join_ids
from spawn.core.reports.why.model import Advice, Explanation, Fact
from spawn.core.values.durations import format_duration as duration
from spawn.core.values.text import plural, printable

_SHOWN = 8
"""Maximum number of history facts shown; the rest is counted."""
_CAUSES = {
    "stop": "the runner was stopped",
    "spot": "the spot instance was reclaimed",
    "fenced": "another runner took over the queue",
    "host": "its machine was shut down, or another process ended its supervisor",
    "lost": "its machine or supervisor died",
    "never_began": "the runner ended before the command started",
}


def render(why: Explanation, zone: tzinfo | None, style: Style = PLAIN) -> Iterator[str]:
    """Yield the lines: the answer, its causes, the history, and what to do next.

    Args:
        zone: The time zone for all times; None: the machine's own.
    """
    if why.past:
        yield style(
            "warning", f"As of: {why.as_of.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}, in the past"
        )
    now = [fact for fact in why.facts if not fact.before]
    for index, fact in enumerate(now):
        text = printable(sentence(fact, why, zone))
        yield style("bold", text) if index == 0 else text
        if fact.last_lines:
            yield "Last output:"
            yield from (style("dim", f"  {printable(line)}") for line in fact.last_lines)
    past = [fact for fact in why.facts if fact.before]
    if past:
        yield "History, oldest first:"
        left = len(past) - _SHOWN
        if left > 0:
            yield f"  … {plural(left, 'earlier line')}: `spawn queue history {why.queue_id}`"
        yield from (f"  {printable(sentence(fact, why, zone))}" for fact in past[-_SHOWN:])
    for index, advice in enumerate(why.next):
        yield f"{'Next' if index == 0 else 'Or'}: {step(advice)}"


def step(advice: Advice) -> str:
    """Return an advice as one sentence."""
    return f"`{advice.command}` {advice.does}."


def as_json(why: Explanation, zone: tzinfo | None) -> dict[str, Any]:
    """Return the explanation as JSON data; times are whole seconds with their UTC offset."""
    shaped: dict[str, Any] = _localized(msgspec.to_builtins(why, builtin_types=(datetime,)), zone)
    for fact, plain in zip(why.facts, shaped["facts"], strict=True):
        plain["text"] = printable(sentence(fact, why, zone))
    return {
        "queue_id": shaped["queue_id"],
        "job_id": shaped["job_id"],
        "status": shaped["state"],
        "chain": shaped["facts"],
        "next": shaped["next"],
        "as_of": shaped["as_of"],
    }


def sentence(fact: Fact, why: Explanation, zone: tzinfo | None) -> str:
    """Return a fact as one sentence, which may quote untrusted text from the log."""
    at = "" if fact.at is None else when(fact.at, why, zone)
    until = "" if fact.until is None else when(fact.until, why, zone)
    match fact.kind:
        case "state":
            return f"{fact.job_id} is {fact.state}: it has not {_started(why, fact)}."
        case "waits":
            return _waits(fact)
        case "attempt":
            return _attempt(fact, at, until, why)
        case "turn":
            return _turn(fact, at)
        case "next_up" if fact.reason == "s3":
            return "It starts as soon as the completions of its dependencies are in S3."
        case "next_up":
            return "It is ready and starts next."
        case "saving" if fact.reason:
            return f"Its results are not saved yet; dependents no longer wait: {fact.reason}."
        case "saving":
            wait = f" for up to {duration(fact.limit)}" if fact.limit else ""
            return f"Its results are still being saved; dependents wait{wait}."
        case "unsaved" if fact.others:
            return f"No file matches {_quoted(fact.others)}."
        case "unsaved":
            return f"Its results are not saved: {fact.reason}."
        case "saved":
            return f"{plural(fact.files, 'result file')} saved ({format_size(fact.size)})."
        case "output_unsaved":
            return f"Its output is not saved: {fact.reason}."
        case "not_put_back":
            jobs = join_ids((fact.job_id, *fact.others))
            return (
                f"The results of {jobs} cannot be restored on this machine yet; "
                f"the runner retries: {fact.reason}."
            )
        case "stopping":
            ends = f" The queue ends after {join_ids(fact.others)}." if fact.others else ""
            failed = join_ids((*fact.chain,)) + (f" and {fact.more} more" if fact.more else "")
            return f"No new job starts: {failed} failed at {at}, and on_failure is stop.{ends}"
        case "not_started":
            return f"The queue was submitted at {at}, but no runner has started it."
        case "interrupted":
            what = f"the queue was interrupted: {_interruption(fact)}"
            return f"{at}: {what}." if fact.before else f"At {at}, {what}."
        case "ended":
            return _ended(fact, at)
        case "trouble":
            helps = f" {fact.detail[:1].upper()}{fact.detail[1:]}." if fact.detail else ""
            return f"Trouble since {at}: {fact.reason}.{helps}"
        case "no_runner":
            return (
                f"The queue has no runner. The last one was started by {fact.by} on {fact.host}, "
                f"epoch {fact.epoch}; its last event was at {at}."
            )
        case "retry":
            return _retry(fact, until, why)
        case "reset" if fact.reason == "results_lost":
            return f"{at}: {fact.job_id} was reset because its results were lost."
        case "reset":
            return f"{at}: {fact.by} reset {fact.job_id}, with a fresh budget."
        case "owner":
            took = f"{fact.by} took over the queue on {fact.host}, epoch {fact.epoch}"
            return f"{at}: {took}." if fact.before else f"At {at}, {took}, while it was running."
        case "reconfigured":
            return f"{at}: the configuration was changed: {'; '.join(fact.others)}."
        case "refused":
            return f"{at}: a request was rejected: {fact.reason}."
        case "left_out":
            return f"{plural(fact.more, 'older attempt')} left out."
        case _ as never:
            assert_never(never)


def when(moment: datetime, why: Explanation, zone: tzinfo | None) -> str:
    """Format a time with its zone, and with the date unless it is the day of `why.as_of`."""
    here, today = moment.astimezone(zone), why.as_of.astimezone(zone).date()
    return f"{here:%H:%M:%S %Z}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S %Z}"


def exit_text(fact: Fact) -> str:
    """Describe how an attempt ended: `exit code 137 (SIGKILL)`, `timed out`."""
    if fact.timed_out:
        return "timed out"
    if fact.exit_code is None:
        return ""
    return f"exit code {fact.exit_code}" + (f" ({fact.signal})" if fact.signal else "")


def _started(why: Explanation, fact: Fact) -> str:
    tried = any(other.kind == "attempt" and other.job_id == fact.job_id for other in why.facts)
    return "started again" if tried else "started"


def _waits(fact: Fact) -> str:
    nearest, *rest = fact.chain[1:]
    text = f"{fact.job_id} is {fact.state}: it waits for {nearest}"
    shown = rest if len(rest) <= 6 else [*rest[:3], f"{len(rest) - 5} more", *rest[-2:]]
    for job_id in shown:
        text += f", which waits for {job_id}"
    if fact.others:
        more = [*fact.others, f"{fact.more} more"] if fact.more else list(fact.others)
        text += f"; also for {join_ids(more, len(more))}"
    return f"{text}."


def _number(fact: Fact) -> str:
    """`attempt 2 of 3`; after an interruption or a reset, `attempt 4 (budget: 2 of 3)`."""
    if fact.attempt == fact.spent:
        return f"attempt {fact.attempt} of {fact.most}"
    return f"attempt {fact.attempt} (budget: {fact.spent} of {fact.most})"


def _attempt(fact: Fact, at: str, until: str, why: Explanation) -> str:
    took = "" if not fact.seconds else f" after {duration(fact.seconds)}"
    ended = exit_text(fact)
    if fact.before:
        return _earlier(fact, at, until, took, ended)
    subject = fact.job_id
    match fact.result:
        case "running":
            since = duration((why.as_of - fact.at).total_seconds()) if fact.at else ""
            timeout = ""
            if fact.limit is not None and fact.at is not None:
                left = fact.limit - (why.as_of - fact.at).total_seconds()
                timeout = f", times out in {duration(left)}" if left > 0 else ""
            return f"{subject} has been running since {at} ({since}): {_number(fact)}{timeout}."
        case "unnoticed":
            return f"{subject} started at {at}: {_number(fact)}. It {fact.reason}."
        case "completed":
            return f"{subject} completed at {until} on {_number(fact)}{took}."
        case "failed":
            how = f": {ended}{took}" if ended else ""
            return f"{subject} failed on {_number(fact)} at {until}{how}. {_final(fact)}"
        case "retrying":
            return f"{subject} is retrying: {_number(fact)} failed at {until}: {ended}{took}."
    return f"{subject} was interrupted at {until}: {_cause(fact)}."


def _final(fact: Fact) -> str:
    if fact.reason == "cancelled":
        return "The queue was cancelled."
    if not fact.exit_code:
        return f"{fact.reason[:1].upper()}{fact.reason[1:]}."
    return f"No retry: {fact.reason}."


def _earlier(fact: Fact, at: str, until: str, took: str, ended: str) -> str:
    head, number = f"{until or at}: {fact.job_id}", f"attempt {fact.attempt}"
    match fact.result:
        case "running":
            return f"{head} started {number}."
        case "completed":
            return f"{head} completed on {number}{took}."
        case "interrupted":
            return f"{head} was interrupted on {number}{took}: {_cause(fact)}; budget unspent."
        case "retrying":
            wait = "at once" if not fact.delay else f"after {_short(fact.delay)}"
            return f"{head} failed on {_number(fact)}{took}: {ended}; retried {wait}."
    how = f": {ended}" if ended else ""
    return f"{head} failed on {number}{took}{how}; {fact.reason}."


def _cause(fact: Fact) -> str:
    text = _CAUSES.get(fact.reason, fact.reason)
    return f"{text} ({fact.detail})" if fact.detail else text


def _turn(fact: Fact, at: str) -> str:
    if not fact.chain:
        return f"It is ready and waits for its turn: {fact.others[0]} comes first."
    one = len(fact.chain) == 1
    running = join_ids(fact.chain, len(fact.chain)) + (
        f" and {fact.more} more" if fact.more else ""
    )
    verb = f"has been running since {at}" if one else "are running"
    return f"It is ready and waits for its turn: max_parallel is {fact.most}, and {running} {verb}."


def _interruption(fact: Fact) -> str:
    match fact.reason:
        case "signal":
            return "the runner was stopped" + (f" by {fact.detail}" if fact.detail else "")
        case "spot":
            return "the spot instance was reclaimed"
        case "ttl":
            return f"--ttl {fact.detail} expired"
        case "fenced":
            return "another runner took it over" + (f" ({fact.detail})" if fact.detail else "")
    return fact.reason


def _ended(fact: Fact, at: str) -> str:
    head = f"{at}: the queue" if fact.before else "The queue"
    tail = "" if fact.before else f" at {at}"
    match fact.reason:
        case "cancelled":
            return f"{head} was cancelled{tail}{f' {fact.detail}' if fact.detail else ''}."
        case "global_timeout":
            return f"{head} ended{tail}: its global_timeout expired."
    return f"{head} failed{tail}: {fact.detail or 'reason unknown'}."


def _retry(fact: Fact, until: str, why: Explanation) -> str:
    kept = "" if fact.reason == "fixed" else f", at most {duration(fact.limit or 0)}"
    left = (fact.until - why.as_of).total_seconds() if fact.until else 0.0
    due = f"is due at {until}, in {duration(left)}" if left > 0 else f"was due at {until}"
    wait = _short(fact.seconds or 0)
    return f"Its retry policy ({fact.reason}{kept}) waits {wait}: attempt {fact.spent + 1} {due}."


def _short(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 or not seconds else f"{seconds:.1f}s"


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _localized(value: Any, zone: tzinfo | None) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="seconds")
    if isinstance(value, dict):
        return {key: _localized(each, zone) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_localized(each, zone) for each in value]
    return value
