"""Write what is derived from the machines: `core/moves.py` and `docs/states.md`."""

from spawn.core.machine import (
    JOB_STATES,
    JOB_TRANSITIONS,
    QUEUE_STATES,
    QUEUE_TRANSITIONS,
    derive,
)

_HEAD = '''"""Which event leads where: derived from `core.machine` by `make docs`, never edited.

State to event to the state that follows. A test holds it against the machines on every pair.
"""
'''


def moves_module() -> str:
    """The source of `core/moves.py`."""
    parts = [_HEAD]
    for name, states, transitions in (
        ("JOB_MOVES", JOB_STATES, JOB_TRANSITIONS),
        ("QUEUE_MOVES", QUEUE_STATES, QUEUE_TRANSITIONS),
    ):
        parts.append(f"\n{name}: dict[str, dict[str, str]] = {{\n")
        for state, moves in derive(states, transitions).items():
            if not moves:
                parts.append(f'    "{state}": {{}},\n')
                continue
            parts.append(f'    "{state}": {{\n')
            parts.extend(f'        "{event}": "{dest}",\n' for event, dest in moves.items())
            parts.append("    },\n")
        parts.append("}\n")
    return "".join(parts)


def states_page() -> str:
    """The text of `docs/states.md`."""
    parts = [
        "# States\n\nGenerated from `core/machine.py` by `make docs`.\n",
        "An event that is not in a state's row is refused before it is written, and on replay "
        "means that the log is corrupt.\n",
    ]
    for title, first, states, transitions in (
        ("Job", "pending", JOB_STATES, JOB_TRANSITIONS),
        ("Queue", "pending", QUEUE_STATES, QUEUE_TRANSITIONS),
    ):
        table = derive(states, transitions)
        parts.append(f"\n## {title}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {first}\n")
        for state, moves in table.items():
            parts.extend(
                f"    {state} --> {dest}: {event}\n"
                for event, dest in moves.items()
                if dest != state or (title == "Queue" and event.startswith("Queue"))
            )
        parts.append("```\n\n| state | event | then |\n| --- | --- | --- |\n")
        for state, moves in table.items():
            parts.extend(f"| {state} | {event} | {dest} |\n" for event, dest in moves.items())
            if not moves:
                parts.append(f"| {state} | none | |\n")
    return "".join(parts)
