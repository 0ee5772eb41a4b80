"""Access to an instance over SSH: lookup, host key verification, login, tunnels and commands."""
