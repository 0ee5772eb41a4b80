"""Any file is a configuration or gives a list of problems."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.soak import scaled
from tests.unit.config.samples import LONG_PIPELINE, PIPELINE, read
from tests.unit.config.strategies import ANY_JSON, configurations, spoilt

from spawn.core.config.model import QueueConfig
from spawn.core.errors import InvalidConfig

FILES = [json.dumps(value, indent=1).encode() for value in (PIPELINE, LONG_PIPELINE)]


def assert_read_or_refused(value: object) -> None:
    """Check that there is no other exception, and that problems are printable."""
    outcome: QueueConfig | InvalidConfig
    try:
        outcome = read(value)
    except InvalidConfig as error:
        outcome = error
    if isinstance(outcome, InvalidConfig):
        assert outcome.problems
        assert all(problem.what for problem in outcome.problems)
        assert all(str(problem).isprintable() for problem in outcome.problems)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    assert_read_or_refused(data)


@settings(deadline=None, max_examples=scaled(50, 200))
@given(ANY_JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    assert_read_or_refused(value)


@settings(deadline=None, max_examples=scaled(75, 300))
@given(spoilt())
def test_a_configuration_with_something_wrong_is_read_or_refused(value: Any) -> None:
    assert_read_or_refused(value)


@settings(deadline=None, max_examples=scaled(50, 200))
@given(st.sampled_from(FILES), st.integers(0, 2000), st.integers(0, 40), st.binary(max_size=4))
def test_a_file_with_a_piece_removed_or_inserted_is_read_or_refused(
    data: bytes, start: int, length: int, piece: bytes
) -> None:
    assert_read_or_refused(data[:start] + piece + data[start + length :])


@settings(deadline=None, max_examples=scaled(50, 200))
@given(configurations())
def test_a_valid_configuration_is_read(value: Any) -> None:
    config = read(value)
    assert [job.job_id for job in config.jobs] == [job["job_id"] for job in value["jobs"]]
    assert all(job.working_directory.startswith("/") for job in config.jobs)
