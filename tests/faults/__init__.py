"""What becomes of a queue when its object store fails, and when machines take it from each other."""
