"""Build HTML that untrusted text cannot inject into: everything except `Safe` is escaped."""

import re
from collections.abc import Iterable
from html import escape

_UNSEEN = re.compile(
    "\x1b\\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]"
)
"""Control characters, terminal colours, surrogates and bidirectional overrides."""
_VOID = frozenset({"meta"})
_LINES = frozenset({"section", "tr", "li", "article", "header", "head", "title"})
"""Elements that end with a line break, so that the file can be read and compared."""


class Safe(str):
    """Text that is already HTML."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def clean(text: str) -> str:
    """Remove invisible characters from untrusted text, except tabs and line breaks."""
    return _UNSEEN.sub("", text)


def safe(child: Child) -> Safe:
    """Return HTML: text is escaped, `Safe` kept, None empty, an iterable concatenated."""
    if child is None:
        return Safe("")
    if isinstance(child, Safe):
        return child
    if isinstance(child, str):
        return Safe(escape(clean(child)))
    return Safe("".join(map(safe, child)))


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Safe:
    """Return an element. `class_` sets `class`, `aria_label` sets `aria-label`; None omits one."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{safe(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Safe(f"<{name}{written}>")
    end = "\n" * (name in _LINES)
    return Safe(f"<{name}{written}>{safe(children)}</{name}>{end}")


def section(ident: str, title: str, *children: Child) -> Safe:
    """Return a section of the page with its heading."""
    heading = tag("h2", title, id=f"{ident}-title")
    return tag("section", heading, *children, id=ident, aria_labelledby=f"{ident}-title")


def table(caption: Child, heads: Iterable[str], rows: Iterable[Safe], class_: str = "") -> Safe:
    """Return a table of rows made of `th` and `cell`; on a narrow screen each row is a card."""
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", (tag("th", each, scope="col") for each in heads))),
        tag("tbody", rows),
        class_=class_ or None,
    )


def cell(label: str, *children: Child, number: bool = False) -> Safe:
    """Return a cell; `label` is the column's title, which a card shows next to it."""
    inner = safe(children)
    kind = " ".join(["number"] * number + ["none"] * (not inner)) or None
    return tag("td", inner, class_=kind, data_label=label)
