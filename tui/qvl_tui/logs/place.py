"""Where one looks: the line at the top, the line under the cursor, and how keys move them. Pure.

Lines are known by where they lie in their logs, so that what one reads holds still while others come and go around it.
While it follows, the last line stands at the bottom and there is no cursor.
"""

from collections.abc import Callable, Sequence

from qvl_tui.logs.items import Id, Item, find

Tall = Callable[[Item], int]
"""Rows that an item takes."""


class Place:
    def __init__(self) -> None:
        self.items: Sequence[Item] = ()
        self.height = 1
        self.tall: Tall = lambda _: 1
        self.following = True
        self.cursor = 0
        """Index of the item under the cursor; the last one while it follows."""
        self.top = 0
        """Index of the first item in view."""
        self.skip = 0
        """Rows of it that are above the view."""
        self.mark: Id | None = None
        """Where a range begins that ends at the cursor."""

    # --- what is there ----------------------------------------------------------------------------------------------

    def show(self, items: Sequence[Item]) -> None:
        """These items from now on; what was in view stays where it was."""
        old = self.items
        cursor = old[self.cursor].id if self.cursor < len(old) else None
        top = old[self.top].id if self.top < len(old) else None
        self.items = items
        if self.following or not old:
            self._to_end()
            return
        places = [find(items, cursor), find(items, top)]
        self.cursor = places[0] if places[0] is not None else self._near(cursor)
        if places[1] is not None:
            self.top = places[1]
        else:
            self.top, self.skip = self._near(top), 0
        self._clamp()

    def look(self, id: Id) -> bool:
        """Put the cursor there, a third down the view, if it isn't in view anyway; False where it is not loaded."""
        at = find(self.items, id)
        if at is None:
            return False
        self.following = False
        self.cursor = at
        if not self._in_view(at):
            self._raise(at, self.height // 3)
        return True

    @property
    def current(self) -> Item | None:
        return self.items[self.cursor] if self.cursor < len(self.items) else None

    def visible(self) -> list[tuple[int, int]]:
        """(index, rows of it) of what is in view, from the top."""
        found, room, at = [], self.height + self.skip, self.top
        while room > 0 and at < len(self.items):
            rows = self.tall(self.items[at])
            found.append((at, min(rows, room)))
            room -= rows
            at += 1
        return found

    def chosen(self) -> Sequence[Item]:
        """The marked range, else what is under the cursor."""
        if not self.items:
            return ()
        begin = find(self.items, self.mark)
        first, last = sorted((self.cursor if begin is None else begin, self.cursor))
        return self.items[first : last + 1]

    @property
    def ends(self) -> bool:
        """The last item is in view to its end."""
        rows = sum(rows for _, rows in self.visible()) - self.skip
        seen = self.visible()
        last = len(self.items) - 1
        return not seen or (seen[-1][0] == last and seen[-1][1] == self.tall(self.items[last]) and rows <= self.height)

    # --- keys -------------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        self.following = False

    def follow(self) -> None:
        self.following, self.mark = True, None
        self._to_end()

    def step(self, by: int) -> None:
        """Move the cursor, and the view as far as it must."""
        self.hold()
        self.cursor = min(max(self.cursor + by, 0), max(len(self.items) - 1, 0))
        self._reveal()

    def scroll(self, rows: int) -> None:
        """Move the view; the cursor stays as long as it is in it."""
        self.hold()
        self.skip += rows
        while self.skip < 0 and self.top > 0:
            self.top -= 1
            self.skip += self.tall(self.items[self.top])
        while self.top < len(self.items) - 1 and self.skip >= self.tall(self.items[self.top]):
            self.skip -= self.tall(self.items[self.top])
            self.top += 1
        self._clamp()
        self._carry()

    def page(self, pages: int) -> None:
        before = self.top, self.skip
        self.scroll(pages * max(1, self.height - 1))
        if (self.top, self.skip) == before:
            self.cursor = 0 if pages < 0 else max(len(self.items) - 1, 0)
        elif self.items:
            seen = self.visible()
            self.cursor = seen[0][0] if pages < 0 else seen[-1][0]

    def to_top(self) -> None:
        self.hold()
        self.cursor = self.top = self.skip = 0

    # --- within -----------------------------------------------------------------------------------------------------

    def _to_end(self) -> None:
        self.cursor = max(len(self.items) - 1, 0)
        self._raise(self.cursor, self.height - self.tall(self.items[-1]) if self.items else 0)

    def _raise(self, at: int, above: int) -> None:
        """Put an item into view so that `above` rows, or as many as there are, stand above it."""
        self.top, self.skip = at, 0
        room = above
        while room > 0 and self.top > 0:
            self.top -= 1
            room -= self.tall(self.items[self.top])
        self.skip = max(0, -room)
        if above < 0:
            self.skip = -above
        self._clamp()

    def _in_view(self, at: int) -> bool:
        seen = self.visible()
        return bool(seen) and seen[0][0] + (self.skip > 0) <= at <= seen[-1][0] - (
            seen[-1][1] < self.tall(self.items[seen[-1][0]]) and len(seen) > 1
        )

    def _reveal(self) -> None:
        if not self.items or self._in_view(self.cursor):
            return
        if self.cursor <= self.top:
            self.top, self.skip = self.cursor, 0
        else:
            self._raise(self.cursor, self.height - self.tall(self.items[self.cursor]))

    def _carry(self) -> None:
        seen = self.visible()
        if seen and not seen[0][0] <= self.cursor <= seen[-1][0]:
            self.cursor = seen[0][0] if self.cursor < seen[0][0] else seen[-1][0]

    def _clamp(self) -> None:
        """No empty rows below the last item, as long as there is something above."""
        count = len(self.items)
        self.cursor = min(self.cursor, max(count - 1, 0))
        self.top = min(max(self.top, 0), max(count - 1, 0))
        self.skip = max(0, min(self.skip, self.tall(self.items[self.top]) - 1)) if count else 0
        room = self.height + self.skip - sum(rows for _, rows in self.visible())
        while room > 0 and (self.top > 0 or self.skip > 0):
            if self.skip:
                step = min(self.skip, room)
                self.skip -= step
                room -= step
            else:
                self.top -= 1
                rows = self.tall(self.items[self.top])
                self.skip = max(0, rows - room)
                room -= min(rows, room)

    def _near(self, id: Id | None) -> int:
        """The item of the same log that follows a place that is no longer shown."""
        if id is None:
            return max(len(self.items) - 1, 0)
        own = [at for at, item in enumerate(self.items) if item.entry.feed == id[0] and item.id >= id]
        return own[0] if own else max(len(self.items) - 1, 0)
