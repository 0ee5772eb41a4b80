"""Generate `core/domain/transition_tables.py` and `docs/states.md` from the state machines."""

from spawn.core.domain.machine import (
    JOB_STATES,
    JOB_TRANSITIONS,
    QUEUE_STATES,
    QUEUE_TRANSITIONS,
    transition_table,
)

_HEAD = '''"""The transition tables, generated from `core.machine` by `make docs`; do not edit.

Each maps a state and an event to the next state. A test compares them with the machines.
"""
'''


def moves_module() -> str:
    """Return the source of `core/domain/transition_tables.py`."""
    parts = [_HEAD]
    for name, states, transitions in (
        ("JOB_MOVES", JOB_STATES, JOB_TRANSITIONS),
        ("QUEUE_MOVES", QUEUE_STATES, QUEUE_TRANSITIONS),
    ):
        parts.append(f"\n{name}: dict[str, dict[str, str]] = {{\n")
        for state, moves in transition_table(states, transitions).items():
            if not moves:
                parts.append(f'    "{state}": {{}},\n')
                continue
            parts.append(f'    "{state}": {{\n')
            parts.extend(f'        "{event}": "{dest}",\n' for event, dest in moves.items())
            parts.append("    },\n")
        parts.append("}\n")
    return "".join(parts)


def states_page() -> str:
    """Return the text of `docs/states.md`."""
    parts = [
        "# States\n\nGenerated from `core/domain/machine.py` by `make docs`.\n",
        "An event that is not listed for a state is rejected before it is written. On replay, "
        "such an event means that the log is corrupt.\n",
    ]
    for title, first, states, transitions in (
        ("Job", "pending", JOB_STATES, JOB_TRANSITIONS),
        ("Queue", "pending", QUEUE_STATES, QUEUE_TRANSITIONS),
    ):
        table = transition_table(states, transitions)
        parts.append(f"\n## {title}\n\n```mermaid\nstateDiagram-v2\n    [*] --> {first}\n")
        for state, moves in table.items():
            parts.extend(
                f"    {state} --> {dest}: {event}\n"
                for event, dest in moves.items()
                if dest != state or (title == "Queue" and event.startswith("Queue"))
            )
        parts.append("```\n\n| state | event | next state |\n| --- | --- | --- |\n")
        for state, moves in table.items():
            parts.extend(f"| {state} | {event} | {dest} |\n" for event, dest in moves.items())
            if not moves:
                parts.append(f"| {state} | none | |\n")
    return "".join(parts)
