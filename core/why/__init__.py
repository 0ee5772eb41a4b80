"""Explain a job's state from the log: why it waits, is being retried, is blocked or has failed."""
