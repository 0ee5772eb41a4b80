"""What a queue's state means to a reader: status, why, timeline."""
