"""qvlctl. Nothing is imported here: every verb loads only what it needs, and the common ones answer in a blink."""
