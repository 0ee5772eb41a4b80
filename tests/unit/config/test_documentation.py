"""The reference for users matches the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.samples import read

from spawn.core.config.schema import config_schema

PAGE = (Path(__file__).parents[3] / "docs" / "queue-configs.md").read_text()
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]


def declared() -> list[tuple[str, dict[str, Any]]]:
    """Return every field of the file with its schema."""
    whole = config_schema()
    objects = [whole, *whole["$defs"].values()]
    return [field for object_ in objects for field in object_["properties"].items()]


def default(field: dict[str, Any]) -> str:
    """Return a field's default in the page's format."""
    value = field["default"]
    return value if isinstance(value, str) else str(value)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_parses(example: str) -> None:
    assert read(example.encode()).jobs


@pytest.mark.parametrize(("name", "field"), declared(), ids=lambda value: str(value)[:20])
def test_every_field_has_a_row_with_its_default(name: str, field: dict[str, Any]) -> None:
    (row,) = [row for row in ROWS if f"`{name}`" in row.split("|")[1]]
    if "default" in field:
        assert row.split("|")[3].strip() == f"`{default(field)}`"


def test_links_within_the_page_have_targets() -> None:
    headings = {title.lower() for title in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) <= headings
