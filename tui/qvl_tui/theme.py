"""The palette, dark and light: greys, one accent, and three colours that mean state and nothing else."""

from textual.theme import Theme


def _theme(name: str, dark: bool, **c: str) -> Theme:
    return Theme(
        name=name,
        dark=dark,
        primary=c["accent"],
        secondary=c["muted"],
        accent=c["accent"],
        foreground=c["text"],
        background=c["back"],
        surface=c["raised"],
        panel=c["raised"],
        success=c["good"],
        warning=c["warn"],
        error=c["bad"],
        variables={
            "q-text": c["text"],
            "q-strong": c["strong"],
            "q-muted": c["muted"],
            "q-faint": c["faint"],
            "q-line": c["line"],
            "q-accent": c["accent"],
            "q-good": c["good"],
            "q-warn": c["warn"],
            "q-bad": c["bad"],
            "q-back": c["back"],
            "q-raised": c["raised"],
            "q-mark": c["mark"],
            "footer-background": c["raised"],
            "input-cursor-background": c["accent"],
            "input-selection-background": c["mark"],
            "scrollbar": c["line"],
            "scrollbar-hover": c["faint"],
            "scrollbar-active": c["faint"],
            "scrollbar-background": c["back"],
            "scrollbar-background-hover": c["back"],
            "scrollbar-background-active": c["back"],
            "scrollbar-corner-color": c["back"],
        },
    )


DARK = _theme(
    "qvl-dark",
    True,
    back="#14171a",
    raised="#1b1f23",
    mark="#24303a",
    line="#2c3238",
    faint="#565f67",
    muted="#8b959d",
    text="#c6cdd2",
    strong="#eef1f3",
    accent="#6cb2c9",
    good="#83b97c",
    warn="#d8a657",
    bad="#e2746d",
)
LIGHT = _theme(
    "qvl-light",
    False,
    back="#fbfbf8",
    raised="#f0f0ec",
    mark="#dcebf0",
    line="#d9d9d3",
    faint="#9a9f9f",
    muted="#646b6f",
    text="#2b3135",
    strong="#0d1114",
    accent="#16708a",
    good="#2c7a3d",
    warn="#8f5f00",
    bad="#b4322b",
)
