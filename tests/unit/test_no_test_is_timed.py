"""No test depends on a clock, as it would fail on a busy machine. `make bench` measures speed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
EXEMPT = {TESTS / "bench", TESTS / "support"}
"""Benchmarks, and helpers that wait with a timeout."""
FILES = sorted(file for file in TESTS.rglob("*.py") if not EXEMPT & set(file.parents))
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS}
ARITHMETIC = {"abs", "float", "int", "max", "min", "round", "sum"}


def findings(tree: ast.Module) -> Iterator[str]:
    """Return comparisons with a clock's time, directly or through a variable, and sleeps."""
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }
    for scope in tree.body:
        timed = _timed_variables(scope, names)
        for node in ast.walk(scope):
            if isinstance(node, ast.Compare) and any(
                _is_timed(each, names, timed) for each in ast.walk(node)
            ):
                yield f"line {node.lineno} compares a time: {ast.unparse(node)}"
            elif _function(node, names) == "sleep":
                yield f"line {node.lineno} sleeps"


def _timed_variables(scope: ast.AST, names: dict[str, str]) -> set[str]:
    """Return variables that hold a clock's time, or a value computed from one."""
    timed: set[str] = set()
    while True:
        before = len(timed)
        for node in ast.walk(scope):
            match node:
                case ast.Assign(targets=targets, value=value):
                    pass
                case (
                    ast.AnnAssign(target=target, value=ast.expr() as value)
                    | ast.AugAssign(target=target, value=value)
                    | ast.NamedExpr(target=target, value=value)
                ):
                    targets = [target]
                case _:
                    continue
            if any(_is_timed(each, names, timed) for each in _operands(value)):
                timed.update(
                    each.id
                    for target in targets
                    for each in ast.walk(target)
                    if isinstance(each, ast.Name)
                )
        if len(timed) == before:
            return timed


def _operands(value: ast.expr) -> Iterator[ast.AST]:
    """Return the parts of an expression that make up its value, without most arguments."""
    yield value
    match value:
        case ast.Call(func=ast.Name(id=name)) if name not in ARITHMETIC:
            return
        case ast.Call(func=ast.Attribute()) | ast.Lambda():
            return
    for child in ast.iter_child_nodes(value):
        if isinstance(child, ast.expr):
            yield from _operands(child)


def _is_timed(node: ast.AST, names: dict[str, str], timed: set[str]) -> bool:
    return _function(node, names) in CLOCKS or (isinstance(node, ast.Name) and node.id in timed)


def _function(node: ast.AST, names: dict[str, str]) -> str:
    """Return the called function of `time`, also for the method `cpu`; empty for others."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr=name)):
            return name
        case ast.Call(func=ast.Attribute(attr="cpu")):
            return "process_time"
        case ast.Call(func=ast.Name(id=name)):
            return names.get(name, "")
    return ""


def test_no_test_compares_times_or_sleeps() -> None:
    assert [
        f"{file.relative_to(TESTS)}: {found}"
        for file in FILES
        for found in findings(ast.parse(file.read_text()))
    ] == []


@pytest.mark.parametrize(
    "source",
    [
        "assert time.monotonic() - began < 5",
        "from time import perf_counter as now\nassert 1 > now()",
        "def test():\n    began = time.time()\n    took = time.time() - began\n    assert took < 5",
        "def test():\n    a = x, time.process_time()\n    b = x, a[1]\n    assert b[1] - a[1] < 1",
        "def test():\n    took = round(time.thread_time(), 1)\n    assert 1 <= took < 2",
        "wait_until(lambda: time.monotonic_ns() > end)",
        "assert feed.cpu() < 2.0",
        "time.sleep(1)",
        "from time import sleep\nsleep(1)",
    ],
)
def test_a_comparison_with_a_clock_is_found(source: str) -> None:
    assert len(list(findings(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "print(time.monotonic())",
        "def test():\n    end = time.time() + 5\n    ready = select(end)\n    assert ready == 1",
        "kernel.sleep(1)",
        "def one():\n    at = time.time()\ndef other():\n    at = 1\n    assert at == 1",
    ],
)
def test_another_use_of_a_clock_is_allowed(source: str) -> None:
    assert list(findings(ast.parse(source))) == []
