"""What a launch sends to its instance: this very version, its pins, the configuration, files."""
