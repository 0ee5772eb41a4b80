"""The pages `docs/events.md` and `docs/crashes.md`, which `make docs` writes from the code."""

import ast
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tests.crash.points import POINTS

from spawn.core.domain import events
from spawn.core.domain.events import NOTES, TYPES, Data, EpochEnd, Event, Outcome, Results

ROOT = Path(__file__).parents[2]
_SHARED = (Outcome, EpochEnd, Results)
"""What several events have in common, or hold."""
_WORDS = (
    (r"\b(?:\w+\.)+(\w+)", r"\1"),
    (r"tuple\[(\w+), \.\.\.\]", r"list of \1"),
    (r"Literal\[(.*?)\]", r"\1"),
    (r" \| None", ""),
    (r"'(\w+)'", r"`\1`"),
    (r"\bstr\b", "text"),
    (r"\bint\b", "integer"),
    (r"\bfloat\b", "number"),
    (r"\bbool\b", "boolean"),
    (r"~D\b", "object"),
    (r"\bQueueConfig\b", "[configuration](queue-configs.md#the-queue)"),
    (r"\bJobConfig\b", "[jobs](queue-configs.md#jobs)"),
    (r"\bResults\b", "[Results](#results)"),
)
_PROCESSES = {
    "runner": ("The runner", "the next runner"),
    "publisher": ("The runner, while it uploads files", "the next runner"),
    "replica": (
        "The runner, while it replicates the log",
        "the next runner: on this machine (at home), or elsewhere with `--force`",
    ),
    "supervisor": ("A supervisor", "its runner, which lives on"),
}


def events_page() -> str:
    """Return the text of `docs/events.md`."""
    return "\n".join(_events()) + "\n"


def crashes_page() -> str:
    """Return the text of `docs/crashes.md`."""
    return "\n".join(_crashes()) + "\n"


def _events() -> Iterator[str]:
    yield from ("# Events", "", "Generated from `core/domain/events.py` by `make docs`.", "")
    yield (
        "Times are UTC RFC 3339 with microseconds, durations are seconds, sizes are bytes. A field "
        "that has its default value is left out of the line. A note changes no state: a reader "
        "skips a note of an unknown type, and rejects every other unknown type."
    )
    yield from ("", "Every event is one line of canonical JSON:", "")
    yield from _fields(Event)
    writers = _writers()
    for name, cls in TYPES.items():
        note = ", a note" if name in NOTES else ""
        modules = ", ".join(f"`{module}`" for module in writers[cls.__name__])
        yield from _section(name, cls, f"Version {cls.VERSION}{note}. Decided in {modules}.")
    for shared in _SHARED:
        yield from _section(shared.__name__, shared, "Shared fields, not an event.")


def _section(name: str, cls: type[msgspec.Struct], said: str) -> Iterator[str]:
    text = inspect.getdoc(cls) or ""
    yield from ("", f"## {name}", "")
    yield "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    base = cls.__base__
    inherits = base not in (Data, msgspec.Struct) and base is not None
    if inherits:
        said += f" It has the fields of [{base.__name__}](#{base.__name__.lower()})"
    own = cls.__annotations__.keys() - {"VERSION"}
    if inherits:
        said += ", and:" if own else "."
    yield from ("", said)
    if own:
        yield ""
        yield from _fields(cls, own)


def _fields(cls: type, names: object = None) -> Iterator[str]:
    meanings = _meanings().get(cls.__name__, {})
    more = bool(meanings)
    yield "| field | type | default |" + " meaning |" * more
    yield "| --- | --- | --- |" + " --- |" * more
    for field in msgspec.structs.fields(cls):
        if names is None or field.name in names:  # type: ignore[operator]
            default = "" if field.required else f"`{_default(field.default)}`"
            row = f"| `{field.encode_name}` | {_type(field.type)} | {default} |"
            yield row + f" {meanings.get(field.name, '')} |" * more


def _default(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _type(type_: object) -> str:
    """A type in the words of JSON."""
    text = type_.__name__ if isinstance(type_, type) else str(type_)
    for python, word in _WORDS:
        text = re.sub(python, word, text)
    return text


def _meanings() -> dict[str, dict[str, str]]:
    """The docstrings of fields, by class and field."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for node in ast.parse(inspect.getsource(events)).body:
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                ):
                    found[node.name][field.target.id] = " ".join(str(text.value.value).split())
    return found


def _writers() -> dict[str, list[str]]:
    """The modules that make an event's data, by class; those that show events do not count."""
    found: dict[str, set[str]] = defaultdict(set)
    classes = {cls.__name__ for cls in TYPES.values()}
    for folder in ("core", "runner", "store"):
        for file in (ROOT / folder).rglob("*.py"):
            for name in _made(ast.parse(file.read_text()), classes):
                found[name].add(file.relative_to(ROOT).as_posix())
    return {name: sorted(modules) for name, modules in found.items()}


def _made(tree: ast.AST, classes: set[str]) -> set[str]:
    """The classes that are called, or passed to a function that calls them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not _is_check(node.func):
            for each in (node.func, *node.args):
                parts = (each.body, each.orelse) if isinstance(each, ast.IfExp) else (each,)
                names |= {part.id for part in parts if isinstance(part, ast.Name)}
    return names & classes


def _is_check(function: ast.expr) -> bool:
    return isinstance(function, ast.Name) and function.id in ("isinstance", "issubclass")


def _crashes() -> Iterator[str]:
    yield from ("# Crash points", "", "Generated from `tests/crash/points.py` by `make docs`.", "")
    yield (
        "A process may die anywhere. Tests kill it at these named points (`store/failpoints.py`). "
        "After each death, `tests/crash/test_campaign.py` runs twenty jobs to their end: each has "
        "executed as often as without the death, and `verify` finds nothing wrong. It also kills "
        "runners at random instants."
    )
    for prefix, (title, who) in _PROCESSES.items():
        yield from ("", f"## {title}", "", f"Next: {who}.", "")
        yield "| point | state when the process dies | next | tests |"
        yield "| --- | --- | --- | --- |"
        for name, point in POINTS.items():
            if name.startswith(f"{prefix}."):
                tests = ", ".join(f"[{Path(each).stem}](../{each})" for each in point.tests)
                yield f"| `{name}` | {point.true} | {point.next} | {tests} |"
