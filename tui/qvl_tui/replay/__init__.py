"""A recording in the place of a daemon: `tape` reads it, `player` says which moment shows, `deck` brings the store
there, `link` answers what screens ask, `app` puts it together. Imported for `--replay` alone."""
