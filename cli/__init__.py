"""The command line."""

import os
import sys


def _search_last(*folders: str) -> None:
    last = {os.path.abspath(each) for each in folders}
    sys.path.sort(key=lambda each: os.path.abspath(each) in last)


# A job's script may be called `queue.py`: its folder must come after the standard library.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    _search_last(sys.path[0])  # the current folder
if (_path := os.environ.get("PYTHONPATH")) and not sys.flags.ignore_environment:
    _search_last(*_path.split(os.pathsep))  # an empty entry is the current folder
