"""The command line: it asks, replays and draws."""
