"""What the terminal says of itself in the terminfo database (terminfo(5)), as far as we make use of it."""

import os


def erases() -> bool:
    """Whether what it erases takes the pen's background (`bce`). Where that is not known it counts as not so: blanks
    are written then."""
    try:
        import curses

        curses.setupterm(os.environ.get("TERM", "dumb"), 1)
        return curses.tigetflag("bce") > 0
    except (ImportError, OSError):
        return False
    except curses.error:
        return False
