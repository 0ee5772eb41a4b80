"""SSH host keys: parse keys, consoles and known_hosts files, without I/O."""
