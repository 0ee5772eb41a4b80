"""An instance, asked over SSH: where it is, who it is, and a tunnel to what it serves."""
