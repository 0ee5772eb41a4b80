"""The arguments of a command that name a queue."""

from msgspec import Struct


class Target(Struct, frozen=True):
    """A target as the user gave it: a queue id or an instance id, and the value of `--queue`.

    `str()` gives the arguments of a suggested command.
    """

    name: str
    queue: str = ""

    def __str__(self) -> str:
        return f"{self.name} --queue {self.queue}" if self.queue else self.name
