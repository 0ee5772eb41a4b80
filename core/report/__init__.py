"""What people and scripts are shown of a queue at a moment."""
