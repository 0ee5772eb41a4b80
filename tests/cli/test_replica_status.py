"""What `status` reports about the replica: nothing while it is up to date."""

import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from tests.cli import samples

from spawn.cli.output.status import render
from spawn.core.reports.as_json import as_json
from spawn.core.reports.build import build
from spawn.core.reports.model import Replica, Report

WHERE = f"s3://spawn-results-us-east-1/{samples.QUEUE_ID}/"


def _report(replica: Replica | None, **owner: Any) -> Report:
    state = samples.training().replay().state
    assert state.owner is not None
    state.owner = structs.replace(state.owner, **owner)
    return build(state, samples.moment(samples.NOW), runner_alive=True, replica=replica)


def _lines(report: Report) -> list[str]:
    return [line for line in render(report, samples.ZONE) if "Replica" in line or "fence" in line]


def _json(report: Report) -> Any:
    return json.loads(json.dumps(as_json(report, samples.ZONE)))


def _since(seconds: float) -> Any:
    return samples.moment(samples.NOW) - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "replica",
    [None, Replica(location=WHERE), Replica(location=WHERE, behind=2, since=_since(3))],
    ids=["unknown", "whole", "a moment behind"],
)
def test_a_replica_without_trouble_is_not_mentioned(replica: Replica | None) -> None:
    report = _report(replica)
    assert _lines(report) == []
    assert "replica" not in _json(report)


def test_a_replica_in_trouble_is_shown_with_lag_start_and_cause() -> None:
    report = _report(
        Replica(location=WHERE, behind=12, since=_since(92), trouble="SlowDown: as told")
    )
    said = f"Replica: 12 events behind {WHERE} since 15:54:00 (SlowDown: as told)"
    assert _lines(report) == [said]
    assert _json(report)["replica"] == {
        "location": WHERE,
        "behind": 12,
        "since": "2026-01-27T15:54:00-08:00",
        "trouble": "SlowDown: as told",
    }


def test_a_lagging_replica_is_shown_without_a_cause() -> None:
    report = _report(Replica(location=WHERE, behind=1, since=_since(6)))
    assert _lines(report) == [f"Replica: 1 event behind {WHERE} since 15:55:26"]
    assert "trouble" not in _json(report)["replica"]


@pytest.mark.parametrize("knows", ["log", "runner"])
def test_a_store_without_a_fence_is_a_warning(knows: str) -> None:
    report = (
        _report(None, fence=False)
        if knows == "log"
        else _report(Replica(location=WHERE, fence=False))
    )
    (line,) = _lines(report)
    assert line.startswith("Warning: the log has no fence in its object store")
    assert any("no fence" in warning for warning in _json(report)["warnings"])
    assert "replica" not in _json(report)
