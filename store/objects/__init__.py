"""Object stores: a folder on this machine."""
