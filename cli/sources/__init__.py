"""Where the command line reads queues from."""
