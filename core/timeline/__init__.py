"""What a queue's time went into: attempts, waits, gaps without an owner, the critical path."""
