"""What the feed and those who ask it say to each other. Pure: neither sockets nor files."""
