"""The environment of a launch reaches its jobs unchanged."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from spawn.store.aws.boot.environment_file import encode_for_systemd, parse_environment

GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
"""A systemd program that reads this format with systemd's own parser, and also expands `$`."""
VALUES = {
    "PLAIN": "a b",
    "QUOTES": "\"a\" 'b' `id`",
    "DOLLAR": "$HOME ${X} $",
    "SLASHES": "\\ \\\\ \\n a\\",
    "LINES": "one\ntwo\n\n# three\nB=4",
    "EDGES": "  in blanks\t",
    "OTHER": "é日🚂 #; %h !",
}


@pytest.mark.skipif(not GENERATOR.exists(), reason="systemd has no environment generator here")
def test_systemd_reads_back_the_exact_values(tmp_path: Path) -> None:
    folder = tmp_path / "environment.d"
    folder.mkdir()
    doubled = {name: value.replace("$", "$$") for name, value in VALUES.items()}
    (folder / "x.conf").write_text(encode_for_systemd(doubled))
    done = subprocess.run(
        [GENERATOR],
        env={"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    named = dict(re.findall(r"(?m)^(\w+)=(.*)$", done.stdout))
    assert named.keys() >= VALUES.keys()
    assert {name: _unquoted(named[name]) for name in VALUES} == VALUES


def _unquoted(text: str) -> str:
    """Return a value as the generator prints it, unquoted."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    escapes = {"n": "\n", "t": "\t"}
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), text)


def test_comments_quotes_and_multiline_values_are_parsed() -> None:
    text = (
        "# a comment\n\nA=plain $x \\n \"mid\"\r\nB= spaced \nC='single \\n'\n"
        'D="one\ntwo \\"q\\" \\n \\\\ \\$ \\x"\nE=\nF=a=b\n'
    )
    assert parse_environment(text) == {
        "A": 'plain $x \\n "mid"',
        "B": "spaced",
        "C": "single \\n",
        "D": 'one\ntwo "q" \n \\ $ \\x',
        "E": "",
        "F": "a=b",
    }


def test_parse_reads_what_encode_writes() -> None:
    plain = {k: v for k, v in VALUES.items() if "`" not in v}
    assert parse_environment(encode_for_systemd(plain)) == plain


@pytest.mark.parametrize(
    ("text", "line"), [("A=1\nnonsense", 2), ("1A=x", 1), ('A=1\nB="open\nC=2', 2), ("A=\0", 1)]
)
def test_an_invalid_line_is_reported_by_number_without_its_text(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=rf"^line {line} ") as raised:
        parse_environment(text)
    assert "nonsense" not in str(raised.value)
