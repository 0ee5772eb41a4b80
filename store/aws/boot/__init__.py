"""What a new instance is sent, and what it runs first."""
