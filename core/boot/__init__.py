"""What an instance is told before it has anything of ours."""
