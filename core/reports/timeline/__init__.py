"""When a queue's jobs waited and ran."""
