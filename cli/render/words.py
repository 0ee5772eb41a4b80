"""Counted nouns."""


def plural(number: int, noun: str) -> str:
    """Format a number with its noun: `1 job`, `3 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
