"""Product constants that a test changes in the processes that it starts.

A fork of `tests.support.fork_server` changes them; the real program ignores the change, so a test
must pass with the true value, too.
"""

import importlib
import json
from typing import Any

VARIABLE = "SPAWN_TEST_CONSTANTS"
"""Environment variable with the changes, a JSON object: dotted name to value."""


def override(environ: dict[str, str], name: str, value: Any) -> None:
    """Change a constant in the processes that get an environment.

    Args:
        environ: Environment of the processes; the change is added to it.
        name: Dotted name, in the module that reads the constant, or of an attribute of one.
        value: A JSON value.

    Raises:
        AttributeError: There is no such constant.
    """
    _owner(name)
    changed = {**json.loads(environ.get(VARIABLE, "{}")), name: value}
    environ[VARIABLE] = json.dumps(changed)


def set_constant(name: str, value: Any) -> None:
    """Change a constant in this process.

    Raises:
        AttributeError: There is no such constant.
    """
    owner, attribute = _owner(name)
    setattr(owner, attribute, value)


def _owner(name: str) -> tuple[Any, str]:
    """Return the module or object that has this attribute, and the attribute's name."""
    path, _, attribute = name.rpartition(".")
    try:
        owner = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        owner = getattr(*_owner(path))
    if not hasattr(owner, attribute):
        raise AttributeError(f"{path} has no {attribute}")
    return owner, attribute
