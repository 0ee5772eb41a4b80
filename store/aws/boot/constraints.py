"""The installed versions of the package's dependencies, as pip constraints for the instance.

They are constraints and not requirements, because the set of dependencies depends on the instance's
Python and processor. pip ignores constraints on packages that the instance does not need.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from spawn.store.aws.boot.wheel import installed

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_MIN_PYTHON = re.compile(r"(>=|>|~=|==)\s*3\.(\d+)")
_OLDEST = 11
"""The oldest minor version of Python 3 on an instance."""


def pins() -> str:
    """Return a line `name==version` for each installed direct or indirect dependency, by name.

    Extras that no package requests, such as `dev`, are ignored. A version that needs a newer Python
    than the oldest on an instance has a `python_version` marker.

    Raises:
        SpawnError: The package's metadata is missing.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    pending = list(_dependencies(installed(), ""))
    while pending:
        name, extra = pending.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found.setdefault(name, distribution(name))
        except PackageNotFoundError:
            continue  # its marker excludes this system
        pending += _dependencies(found[name], extra)
    return "".join(_line(name, found[name]) for name in sorted(found))


def _dependencies(package: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """Yield the name and extra of each requirement of a package with an extra, or without any."""
    for requirement in package.requires or ():
        specifier, _, marker = requirement.partition(";")
        extras = _EXTRA.findall(marker)
        if extras and extra not in extras:
            continue
        match = _NAME.match(specifier)
        if match is None:
            continue
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        yield name, ""
        for each in (match[2] or "").split(","):
            if each.strip():
                yield name, each.strip()


def _line(name: str, package: Distribution) -> str:
    version = package.version.partition("+")[0]  # an index does not have local versions
    limits = _MIN_PYTHON.findall("".join(package.metadata.get_all("Requires-Python") or ()))
    least = max((int(minor) + (sign == ">") for sign, minor in limits), default=0)
    marker = f' ; python_version >= "3.{least}"' if least > _OLDEST else ""
    return f"{name}=={version}{marker}\n"
