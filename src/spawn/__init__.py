"""spawn: a batch queue runner whose state is an event log, replayed."""

__version__ = "0.1.0"
