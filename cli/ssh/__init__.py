"""SSH to instances: addresses, host keys, connections, tunnels."""
