"""The imperative shell: it carries out what the core decides and tells the core what happened."""
