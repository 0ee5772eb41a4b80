"""The boot of a launched instance: plan, systemd units and user data."""
