"""The loop that carries a queue from its first event to its last."""
