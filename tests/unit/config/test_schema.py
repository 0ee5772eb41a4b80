"""The JSON Schema agrees with the parser."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.soak import scaled
from tests.unit.config.samples import LONG_PIPELINE, PIPELINE, read, with_job, with_queue
from tests.unit.config.strategies import configurations, spoilt
from tests.unit.config.validator import valid

from spawn.core.config import references, string_rules
from spawn.core.config.schema import config_schema
from spawn.core.errors import InvalidConfig
from spawn.core.values import durations, ids

SCHEMA = config_schema()
OBJECTS = [SCHEMA, *SCHEMA["$defs"].values()]
FIELDS = [(name, field) for object_ in OBJECTS for name, field in object_["properties"].items()]


@pytest.mark.parametrize("value", [PIPELINE, LONG_PIPELINE])
def test_both_dialects_are_valid(value: dict[str, Any]) -> None:
    assert valid(value, SCHEMA, SCHEMA)


@settings(deadline=None, max_examples=scaled(50, 200))
@given(configurations() | spoilt())
def test_what_the_parser_accepts_is_valid(value: Any) -> None:
    try:
        read(value)
    except InvalidConfig:
        return
    assert valid(value, SCHEMA, SCHEMA)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"jobs": []},
        {"jobs": {}},
        with_queue(nonsense=1),
        with_queue(max_parallel=0),
        with_queue(on_failure=""),
        with_queue(queue_name=None),
        with_queue(result_s3_bucket="A"),
        with_job(nonsense=1),
        with_job(job_id="a b"),
        with_job(command=" "),
        with_job(timeout=90),
        with_job(timeout="90"),
        with_job(retry_count=True),
        with_job(depends_on=["b", "b"]),
        with_job(env={"A": 1}),
        with_job(env={}, environment={}),
        with_job(retry_count=1, retry={"max_attempts": 1}),
        with_job(retry={}),
        with_job(retry={"max_attempts": 1, "delay": "1s", "base_delay": "1s"}),
        with_job(retry={"max_attempts": 1, "retry_on_codes": [0]}),
    ],
)
def test_problems_within_one_field_are_invalid_for_both(value: Any) -> None:
    assert not valid(value, SCHEMA, SCHEMA)
    with pytest.raises(InvalidConfig):
        read(value)


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[name for name, _ in FIELDS])
def test_every_field_is_described_and_its_examples_are_valid(
    name: str, field: dict[str, Any]
) -> None:
    assert field["description"].endswith(".") or field["description"].endswith(">")
    assert field.get("examples") or field["enum"]
    examples = [*field.get("examples", []), *([field["default"]] if "default" in field else [])]
    assert all(valid(example, field, SCHEMA) for example in examples)


def test_no_object_allows_unknown_fields() -> None:
    assert [object_["additionalProperties"] for object_ in OBJECTS] == [False, False, False]


def test_defaults_have_the_format_of_the_file() -> None:
    defaults = {name: field["default"] for name, field in FIELDS if "default" in field}
    assert defaults == {
        "on_failure": "stop",
        "max_parallel": 1,
        "durability": "local",
        "upload_wait": "5m",
        "kill_grace": "30s",
        "depends_on": [],
        "retry_count": 1,
        "environment": {},
        "env": {},
        "result_files": [],
        "result_paths": [],
        "backoff": "exponential",
        "base_delay": "10s",
        "delay": "10s",
        "max_delay": "5m",
        "retry_on_codes": [],
        "dont_retry_on_codes": [],
    }


def test_the_schema_is_json_and_each_call_returns_a_copy() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    config_schema()["properties"].clear()
    assert config_schema() == SCHEMA


@settings(deadline=None, max_examples=scaled(75, 300))
@given(st.text(alphabet="Aa0._- /\n~é", max_size=6) | st.integers(126, 130).map("a".__mul__))
def test_the_pattern_for_ids_is_the_rule_for_ids(name: str) -> None:
    pattern = {"pattern": SCHEMA["$defs"]["JobFile"]["properties"]["job_id"]["pattern"]}
    if ids.is_safe(name):
        assert valid(name, pattern, SCHEMA)
    elif not name.endswith("\n"):
        # Python's `$` also matches before a final line break; JavaScript's does not.
        assert not valid(name, pattern, SCHEMA)


@settings(deadline=None, max_examples=scaled(75, 300))
@given(st.text(alphabet="0123456789dhms. -", max_size=10))
def test_the_pattern_for_durations_matches_the_parser(text: str) -> None:
    complaint = string_rules.duration(text)
    matches = valid(text, {"pattern": durations.PATTERN}, SCHEMA)
    assert matches == (complaint is None or "longer than" in complaint[0])


def test_the_pattern_for_references_has_valid_variable_names() -> None:
    assert references.names("${A_1}") == ("A_1",)
    assert string_rules.variable("A_1") is None
