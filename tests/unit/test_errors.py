"""Errors are data: none changes once it is made, and no decision depends on its words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from spawn.core.errors import CorruptLog, InvalidConfig, SpawnError
from spawn.core.problems import Problem

ROOT = Path(__file__).parents[2]
FILES = sorted(
    file for each in ("core", "store", "runner", "cli") for file in (ROOT / each).rglob("*.py")
)
TEXTS = {"what", "why", "hint", "hints"}
SEARCHES = {"startswith", "endswith", "split", "partition", "rpartition", "replace", "find"}
SEARCHES |= {"removeprefix", "removesuffix", "index", "count"}
ALLOWED = {
    ("store/objects/aws.py", "_INVALID_BUCKET not in str(error)"),  # botocore has only the text
    ("store/objects/aws.py", "_INVALID_HEADER in str(error)"),
    ("runner/troubles.py", "first.what.replace('{}', join_ids(jobs))"),  # a template
}


def findings(tree: ast.Module) -> Iterator[str]:
    """Return changes of an error's texts, and decisions that depend on them."""
    errors = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=attr, ctx=ast.Store(), value=value) if attr in TEXTS:
                if not (isinstance(value, ast.Name) and value.id == "self"):
                    yield ast.unparse(node)
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[searched]):
                if _is_text(searched, errors):
                    yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(value=value, attr=attr)):
                searched = [value] if attr in SEARCHES else []
                if isinstance(value, ast.Name) and value.id == "re":
                    searched = node.args
                if any(_is_text(each, errors) for each in searched):
                    yield ast.unparse(node)


def _is_text(node: ast.AST, errors: set[str]) -> bool:
    match node:
        case ast.Attribute(attr=attr):
            return attr in TEXTS
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in errors
        case ast.Call(func=ast.Name(id="str"), args=[ast.Attribute(value=ast.Name(id=name))]):
            return name in errors
    return False


def test_no_error_is_changed_and_no_sentence_is_searched() -> None:
    found = {
        (str(file.relative_to(ROOT)), text)
        for file in FILES
        for text in findings(ast.parse(file.read_text()))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "error.hint += '; do that'",
        "a, error.what = 1, 'x'",
        "if 'spawn queue ' in fault.hint: pass",
        "try: pass\nexcept OSError as error:\n    x = 'full' in str(error)",
        "try: pass\nexcept OSError as error:\n    x = 'full' in str(error.orig)",
        "error.why.removeprefix('; ')",
        "re.search('x', error.why)",
    ],
)
def test_a_changed_or_searched_sentence_is_found(source: str) -> None:
    assert len(list(findings(ast.parse(source)))) == 1


@pytest.mark.parametrize("source", ["self.why = why", "print(str(error))", "x in str(y)"])
def test_other_uses_of_a_sentence_are_allowed(source: str) -> None:
    assert list(findings(ast.parse(source))) == []


def test_a_copy_with_more_context_leaves_the_error_as_it_was() -> None:
    error = CorruptLog("it broke", seq=4, why="so", hint="do this")
    copy = error.with_what("all broke").with_why("really").with_hint("do that", "", "do this")
    assert (error.what, error.why, error.hint) == ("it broke", "so", "do this")
    assert (copy.what, copy.why, copy.hint) == ("all broke", "so; really", "do this; do that")
    assert (type(copy), copy.seq, str(copy)) == (CorruptLog, 4, "all broke: so; really")
    assert copy.args == ("all broke",)


def test_hints_are_added_replaced_or_given_by_default() -> None:
    error = SpawnError("it broke")
    assert error.with_default_hint("a").with_default_hint("b").hint == "a"
    assert error.with_hint("a", "b").with_only_hint("c").hint == "c"
    assert error.with_hint("a").with_only_hint("").hint == ""


def test_an_error_becomes_the_cause_of_another_failure() -> None:
    error = SpawnError("no bucket", why="denied", hint="a")
    copy = error.as_cause_of("no answer", hint="b")
    assert (str(copy), copy.hint) == ("no answer: no bucket: denied", "b; a")


def test_a_copy_keeps_fields_and_exit_code() -> None:
    error = InvalidConfig("q.json", [Problem("jobs", "it is empty")])
    error.exit_code = 7
    copy = error.with_hint("fix it")
    assert (copy.problems, copy.exit_code) == (error.problems, 7)
