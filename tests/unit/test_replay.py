"""Replay is a fold that can be fed in parts and stopped at a moment, and that trusts nothing."""

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.support.configs import chain, job, queue
from tests.support.legal import legal_logs
from tests.support.logs import LogBuilder, owner, running, started, submission
from tests.support.soak import scaled

from spawn.core.domain import chain as hashes
from spawn.core.domain.events import JobCompleted, QueueInterrupted, QueueSubmitted, RequestRefused
from spawn.core.domain.replay import Replay, Row
from spawn.core.errors import CorruptLog, IllegalTransition

QUICK = settings(max_examples=scaled(25, 60), deadline=None)


@QUICK
@given(legal_logs(), st.data())
def test_a_log_may_be_fed_in_any_parts(log: LogBuilder, data: st.DataObject) -> None:
    whole = log.replay()
    pieces = Replay(log.queue_id)
    cuts = sorted(data.draw(st.lists(st.integers(0, log.seq), max_size=4)))
    for start, end in pairwise([0, *cuts, log.seq]):
        assert pieces.feed(log.rows[start:end])
    one_by_one = Replay(log.queue_id)
    for event, line, hash_ in log.entries:
        assert one_by_one.apply(event, line) == hash_
    for fold in (pieces, one_by_one):
        assert (fold.seq, fold.hash) == (whole.seq, whole.hash)
        assert fold.state == whole.state


@QUICK
@given(legal_logs(), st.data())
def test_until_excludes_later_events_which_may_be_fed_afterwards(
    log: LogBuilder, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, log.seq))
    fold, expected = Replay(log.queue_id), Replay(log.queue_id)
    assert fold.feed(log.rows, until=log.events[cut - 1].at) == (cut == log.seq)
    expected.feed(log.rows[:cut])
    assert (fold.seq, fold.hash) == (cut, expected.hash)
    assert fold.partial == expected.partial
    fold.feed(log.rows[cut:])
    assert fold.state == log.replay().state


def test_until_before_the_submission_leaves_the_fold_empty() -> None:
    fold = Replay("nightly")
    assert not fold.feed(running(chain(1)).rows, until="2020-01-01T00:00:00.000000Z")
    assert fold.empty
    with pytest.raises(CorruptLog, match="empty"):
        _ = fold.state


def test_until_stops_at_the_first_later_event_though_the_clock_was_set_back() -> None:
    log = LogBuilder()
    log.add(*submission(chain(1)))
    moment = log.events[-1].at
    log.queue(owner())
    log.now -= 5 * (log.now - log.now.replace(second=0))
    log.queue(RequestRefused(request="reset x", why="no"))
    fold = Replay(log.queue_id)
    fold.feed(log.rows, until=moment)
    assert fold.seq == 1


def _drop(rows: list[Row]) -> None:
    del rows[2]


def _repeat(rows: list[Row]) -> None:
    rows.insert(2, rows[1])


def _swap(rows: list[Row]) -> None:
    rows[2], rows[3] = rows[3], rows[2]


def _swap_lines(rows: list[Row]) -> None:
    (a, *left), (b, *right) = rows[2], rows[3]
    rows[2], rows[3] = (a, *right), (b, *left)  # type: ignore[assignment]


def _behead(rows: list[Row]) -> None:
    del rows[0]


@pytest.mark.parametrize(
    ("damage", "seq"), [(_drop, 3), (_repeat, 3), (_swap, 3), (_swap_lines, 3), (_behead, 1)]
)
def test_missing_duplicate_and_reordered_rows_are_detected(
    damage: Callable[[list[Row]], None], seq: int
) -> None:
    log = running(chain(2))
    log.job("j0", started("j0"), JobCompleted(exit_code=0), attempt=1)
    rows = log.rows
    damage(rows)
    with pytest.raises(CorruptLog) as caught:
        Replay(log.queue_id).feed(rows)
    assert caught.value.seq == seq


def test_a_log_of_another_queue_is_rejected_at_its_first_event() -> None:
    with pytest.raises(CorruptLog) as caught:
        Replay("other").feed(running(chain(1)).rows)
    assert caught.value.seq == 1


@pytest.mark.parametrize("wrong", [{"seq": 9}, {"queue_id": "other"}])
def test_a_line_with_another_position_is_rejected_though_the_chain_is_valid(
    wrong: dict[str, object],
) -> None:
    log = running(chain(1))
    line = log.entries[1][1]
    for name, value in wrong.items():
        old = {"seq": b'"seq":2', "queue_id": b'"queue_id":"nightly"'}[name]
        new = old.split(b":")[0] + b":" + (b"9" if value == 9 else b'"other"')
        line = line.replace(old, new)
    rows = log.rows[:1]
    rows.append((2, b"QueueStarted", line, hashes.next_hash(rows[0][3], line)))
    with pytest.raises(CorruptLog, match="does not belong here") as caught:
        Replay(log.queue_id).feed(rows)
    assert caught.value.seq == 2


def test_a_log_starts_with_its_submission() -> None:
    log = LogBuilder()
    log.queue(owner())
    with pytest.raises(IllegalTransition) as caught:
        log.replay()
    assert caught.value.legal == ("QueueSubmitted",)


def test_a_log_that_ends_within_its_configuration_has_no_state() -> None:
    log = LogBuilder()
    (draft,) = submission(queue(job("a")))
    assert isinstance(draft.data, QueueSubmitted)
    log.queue(_announcing(draft.data, jobs=2))
    fold = log.replay()
    assert fold.partial is not None
    with pytest.raises(CorruptLog, match="ends before all jobs are submitted"):
        _ = fold.state


def test_a_rejected_event_leaves_the_fold_unchanged() -> None:
    log = running(chain(1))
    fold = log.replay()
    log.job("j0", JobCompleted(exit_code=0), attempt=1)
    event, line, _ = log.entries[-1]
    before = fold.seq, fold.hash
    with pytest.raises(IllegalTransition):
        fold.apply(event, line)
    assert (fold.seq, fold.hash) == before
    assert fold.state == running(chain(1)).replay().state


def _announcing(data: QueueSubmitted, *, jobs: int) -> QueueSubmitted:
    return structs.replace(data, jobs_total=jobs)


def _rewritten(log: LogBuilder, seq: int, change: Callable[[dict[str, Any]], None]) -> Replay:
    """Replay the log with one forged event and a recomputed chain."""
    rows, hash_ = [], hashes.genesis(log.queue_id)
    for row_seq, type_, line, _ in log.rows:
        if row_seq == seq:
            event = json.loads(line)
            change(event)
            line = json.dumps(event, sort_keys=True, separators=(",", ":")).encode()
        hash_ = hashes.next_hash(hash_, line)
        rows.append((row_seq, type_, line, hash_))
    fold = Replay(log.queue_id)
    fold.feed(rows)
    return fold


VALUES = [None, 0, -1, 1, 2, 99, 2**70, "", "x", "j0", "j1", True, [], {}, 1.5, [{}]]


@settings(max_examples=scaled(62, 250), deadline=None)
@given(log=legal_logs(), data=st.data())
def test_a_log_with_any_forged_event_is_legal_or_corrupt(
    log: LogBuilder, data: st.DataObject
) -> None:
    def change(event: dict[str, Any]) -> None:
        place: Any = event
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            keys = [key for key in keys if key not in ("at", "depends_on")]  # see below
            if not keys:
                return
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
                break
            place = place[key]
        if data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(st.sampled_from(VALUES))

    with suppress(CorruptLog):
        fold = _rewritten(log, data.draw(st.integers(1, log.seq)), change)
        assert fold.state.next_ready() is None or fold.state.counts["pending"]


def test_an_event_with_an_invalid_time_is_corrupt() -> None:
    log = running(chain(1))
    log.queue(QueueInterrupted(cause="signal"))
    with pytest.raises(CorruptLog):
        _rewritten(log, 3, lambda event: event.update(at="yesterday"))


def test_a_configuration_with_an_unknown_dependency_is_corrupt() -> None:
    def change(event: dict[str, Any]) -> None:
        event["data"]["config"]["jobs"][1]["depends_on"] = ["none"]

    with pytest.raises(CorruptLog):
        _rewritten(running(chain(2)), 1, change)
