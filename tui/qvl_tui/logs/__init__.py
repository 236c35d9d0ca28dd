"""Reading logs of any size: a bounded part of each log by absolute offset, several of them in one, folded and searched.

Bytes become lines (`lines`), lines of one log a part of it (`part`), parts one sequence (`merge`), the sequence what is
shown (`items`), and that rows of a terminal (`place`, `rows`). `feed` fetches, `hunt` searches, `desk` ties them.
"""
