"""The interface in a browser: a process of it for each page, served on loopback by textual-serve's parts.

Only `qvlctl tui --web` loads any of this, and only then are aiohttp and textual-serve needed (the extra `qvl[web]`).
"""
