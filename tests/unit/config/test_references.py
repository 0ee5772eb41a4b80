"""`${NAME}` in the values of `environment`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawn.core.config import references

VARIABLES = {"HOME": "/root", "_X1": "${HOME}", "EMPTY": ""}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${HOME}/x", "/root/x"),
        ("${HOME}${EMPTY}${HOME}", "/root/root"),
        ("${_X1}", "${HOME}"),
        ("$HOME $$ 5$ $", "$HOME $$ 5$ $"),
        ("$${HOME}", "$/root"),
        ("{HOME}", "{HOME}"),
    ],
)
def test_only_a_name_in_braces_after_a_dollar_is_replaced(value: str, resolved: str) -> None:
    assert references.broken(value) is None
    assert references.resolve(value, VARIABLES) == resolved


@pytest.mark.parametrize(
    ("value", "broken"),
    [
        ("${", "${"),
        ("a ${} b", "${}"),
        ("${1X}", "${1X}"),
        ("${A:-b}", "${A:-b}"),
        ("${A", "${A"),
        ("${A} ${B-}", "${B-}"),
        ("${${A}}", "${${A}"),
        ("${A B}", "${A B}"),
        ("${A\n}", "${A\n}"),
    ],
)
def test_an_invalid_reference_is_reported(value: str, broken: str) -> None:
    assert references.broken(value) == broken


def test_names_are_listed_once_in_order() -> None:
    assert references.names("${B}${A}${B} $C") == ("B", "A")


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(KeyError, match="MISSING"):
        references.resolve("${MISSING}", VARIABLES)


@given(st.text(alphabet="${}AB_1 ", max_size=12))
def test_a_valid_value_resolves_with_its_own_names(value: str) -> None:
    if references.broken(value) is None:
        variables = dict.fromkeys(references.names(value), "v")
        assert "${" not in references.resolve(value, variables)
