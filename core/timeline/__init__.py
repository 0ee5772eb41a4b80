"""How a queue spent its time: attempts, waits, gaps without an owner, the critical path."""
