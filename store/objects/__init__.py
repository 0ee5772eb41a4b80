"""Object stores: one contract, a folder on this machine and a bucket."""
