"""The core is pure: no clock, no randomness, no files, no environment."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core"
FILES = sorted(CORE.rglob("*.py"))

FORBIDDEN_MODULES = {
    "asyncio", "glob", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time",
    "uuid",
}  # fmt: skip
FORBIDDEN_CALLS = {"open", "input", "print", "exec", "eval", "__import__"}
FORBIDDEN_ATTRIBUTES = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"),
                        ("date", "today")}  # fmt: skip


def impurities(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for name in names:
                    if name.name.split(".")[0] in FORBIDDEN_MODULES:
                        yield f"line {node.lineno} imports {name.name}"
            case ast.ImportFrom(module=str(module)):
                if module.split(".")[0] in FORBIDDEN_MODULES:
                    yield f"line {node.lineno} imports {module}"
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno} calls {name}"
            case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                if (owner, attr) in FORBIDDEN_ATTRIBUTES:
                    yield f"line {node.lineno} reads {owner}.{attr}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CORE)))
def test_the_core_is_pure(file: Path) -> None:
    assert list(impurities(ast.parse(file.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    ["import os.path", "from time import monotonic", "open('x')", "now = datetime.now(UTC)"],
)
def test_an_impurity_is_detected(source: str) -> None:
    assert list(impurities(ast.parse(source)))
