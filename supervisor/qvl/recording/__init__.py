"""Recordings of what a daemon told: the file (`records`, `block`), its `writer` and its `reader`. docs/recording.md has
the format. Nothing here asks a daemon or shows anything."""
