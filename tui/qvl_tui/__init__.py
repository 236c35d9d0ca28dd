"""The terminal UI of qvl."""
