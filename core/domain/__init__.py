"""The events of a queue and what follows from them: machines, replay, decisions."""
