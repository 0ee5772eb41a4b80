"""Launch logic without I/O: names, tags, policies and messages."""
