"""The verbs of qvl: pure functions over the nouns. No clock, no IO, no randomness, no logging; `now` is an argument."""
