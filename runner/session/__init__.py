"""One try to own a queue and carry it to its end."""
