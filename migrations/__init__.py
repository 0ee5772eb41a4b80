"""Schema changes of the event log, forward only."""
