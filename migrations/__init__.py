"""Schema migrations of the event log, forward only."""
