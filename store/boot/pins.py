"""The versions that the launcher has of all that the package needs, as constraints for pip.

Constraints, and no requirements: what is needed depends on the instance's Python and processor, and
the packages' own markers say it there. What only the launcher's own system needs is in the list and
never installed.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from spawn.store.boot.wheel import installed

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_LEAST = re.compile(r"(>=|>|~=|==)\s*3\.(\d+)")
_OLDEST = 11
"""The oldest minor version of Python 3 that an instance may have."""


def pins() -> str:
    """Each package that this one needs, directly or not, and that is installed here: a line
    `name==version` each, by name. Extras that nobody asks for, `dev` among them, are not followed.

    A version that an older Python than the launcher's cannot have is a pin only for those that can.

    Raises:
        SpawnError: See `wheel.installed`.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(_needs(installed(), ""))
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found.setdefault(name, distribution(name))
        except PackageNotFoundError:
            continue  # a marker of its own keeps it from being needed here
        waiting += _needs(found[name], extra)
    return "".join(_line(name, found[name]) for name in sorted(found))


def _needs(package: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """What a package needs with one of its extras, or without any: names and extras."""
    for requirement in package.requires or ():
        needed, _, marker = requirement.partition(";")
        wanted = _EXTRA.findall(marker)
        if wanted and extra not in wanted:
            continue
        named = _NAME.match(needed)
        if named is None:
            continue
        name = re.sub(r"[-_.]+", "-", named[1]).lower()
        yield name, ""
        for each in (named[2] or "").split(","):
            if each.strip():
                yield name, each.strip()


def _line(name: str, package: Distribution) -> str:
    version = package.version.partition("+")[0]  # what follows is a build that no index has
    limits = _LEAST.findall("".join(package.metadata.get_all("Requires-Python") or ()))
    least = max((int(minor) + (sign == ">") for sign, minor in limits), default=0)
    marker = f' ; python_version >= "3.{least}"' if least > _OLDEST else ""
    return f"{name}=={version}{marker}\n"
