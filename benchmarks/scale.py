"""How much is measured: all of it, a quick look, or so little that it only proves that the measurement runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    name: str
    respawns: int
    """Kills of one worker, one after another, where every supervisor restarts as fast as it can."""
    fleets: tuple[tuple[int, int], ...]
    """Workers, and how often their start and stop is timed."""
    floods: int
    flood_bytes: int
    flood_seconds: float
    """A flood ends with whichever comes first."""
    counted_lines: int
    """Across rotations."""
    spoken_lines: int
    """A millisecond apart, while the supervisor is killed."""
    idle_fleets: tuple[int, ...]
    idle_seconds: float
    statuses: int
    shims: int
    switches: int
    """Of one worker without a gateway."""
    trees: int
    """Stops, crashes and returns of the supervisor, each with a new tree."""
    tree_stop: int
    """Seconds from SIGTERM to SIGKILL, the same for each supervisor."""
    tui_workers: int = 2
    tui_starts: int = 1
    tui_keys: int = 4
    """Presses of which the time to the repaint is taken."""
    tui_seconds: float = 0.5
    """How long bytes and processor time are counted."""
    tui_day: int = 60
    """Seconds of a day that is told as fast as it is taken in."""
    reloads: int = 1
    """Turns of edits: each changes a policy, an argument, and how many programs there are."""
    patience: float = 1.0
    """Shortens the waits that let supervisors calm down, for who doesn't look at the figures."""


FULL = Scale(
    "full",
    16,
    ((8, 5), (64, 3)),
    2,
    1 << 30,
    6.0,
    200_000,
    3000,
    (8, 64),
    20.0,
    24,
    24,
    5,
    3,
    5,
    16,
    9,
    100,
    30.0,
    86_400,
    reloads=5,
)
QUICK = Scale(
    "quick", 4, ((8, 2),), 1, 128 << 20, 1.0, 50_000, 1000, (8,), 5.0, 7, 8, 2, 1, 5, 16, 3, 30, 10.0, 3600, reloads=2
)
TINY = Scale("tiny", 1, ((2, 1),), 1, 2 << 20, 0.5, 3_000, 200, (2,), 0.5, 1, 1, 1, 1, 1, patience=0.15)
