"""Untrusted text on a terminal."""

import pytest

from spawn.core.values.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓", "plain ✓"),
        ("one\ntwo\n", "one ⏎ two ⏎ "),
        ("\ta\tb", "    a    b"),
        ("10%\r20%", "10%20%"),
        ("\x1b[1;31mred\x1b[0m\x1b[2J", "red"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("\x00\x7f\x9b31mx", "31mx"),
    ],
)
def test_untrusted_text_is_one_line_without_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown
