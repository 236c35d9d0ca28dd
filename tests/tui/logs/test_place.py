"""Where one looks, while keys are pressed and lines come and go."""

from hypothesis import given
from hypothesis import strategies as st
from qvl_tui.logs.items import Item
from qvl_tui.logs.lines import entry
from qvl_tui.logs.place import Place


def lines(first: int, last: int) -> list[Item]:
    return [Item(entry(b"%d" % n, n * 10, 10)) for n in range(first, last)]


def place(count: int = 100, height: int = 10) -> Place:
    made = Place()
    made.height = height
    made.show(lines(0, count))
    return made


def seen(of: Place) -> list[int]:
    return [int(of.items[at].entry.text) for at, _ in of.visible()]


def test_it_follows_until_one_moves() -> None:
    known = place()
    assert seen(known) == list(range(90, 100))
    known.show(lines(0, 105))
    assert seen(known) == list(range(95, 105))
    known.step(-1)
    known.show(lines(0, 200))
    assert seen(known) == list(range(95, 105))
    assert known.current is not None
    assert known.current.entry.text == "103"
    known.follow()
    assert seen(known)[-1] == 199


def test_what_one_reads_stays_while_lines_leave_and_come_above() -> None:
    known = place()
    known.page(-3)
    before = seen(known)
    known.show(lines(40, 100))
    assert seen(known) == before
    known.show(lines(0, 150))
    assert seen(known) == before
    known.show(lines(90, 150))  # what one read is gone
    assert seen(known) == list(range(90, 100))


def test_pages_and_the_cursor() -> None:
    known = place()
    known.to_top()
    known.page(1)
    assert seen(known) == list(range(9, 19))
    assert known.cursor == 18
    known.page(-1)
    assert seen(known)[0] == known.cursor == 0
    known.page(-1)
    assert known.cursor == 0
    known.scroll(5)
    assert (seen(known)[0], known.cursor) == (5, 5)
    known.step(20)
    assert (seen(known)[-1], known.cursor) == (25, 25)
    known.page(50)
    assert seen(known)[-1] == 99
    assert known.ends


def test_a_jump_puts_the_line_a_third_down() -> None:
    known = place()
    assert known.look(lines(50, 51)[0].id)
    assert seen(known) == list(range(47, 57))
    assert known.look(lines(52, 53)[0].id)
    assert seen(known) == list(range(47, 57))
    assert not known.look((0, 5555, 1))


def test_a_marked_range() -> None:
    known = place()
    known.step(-10)
    here = known.current
    assert here is not None
    known.mark = here.id
    known.step(3)
    assert [item.entry.text for item in known.chosen()] == ["89", "90", "91", "92"]
    known.step(-6)
    assert [item.entry.text for item in known.chosen()] == ["86", "87", "88", "89"]


@given(
    st.integers(0, 30),
    st.integers(1, 12),
    st.lists(st.integers(1, 15), min_size=30, max_size=30),
    st.lists(st.tuples(st.sampled_from(["step", "scroll", "page"]), st.integers(-5, 5).filter(bool)), max_size=20),
)
def test_the_view_is_full_and_holds_the_cursor(
    count: int, height: int, heights: list[int], moves: list[tuple[str, int]]
) -> None:
    known = Place()
    known.height = height
    known.tall = lambda item: heights[item.entry.offset // 10]
    known.show(lines(0, count))
    for name, by in moves:
        getattr(known, name)(by)
        rows = sum(rows for _, rows in known.visible()) - known.skip
        assert rows == min(height, sum(heights[:count]))
        if count:
            assert known.visible()[0][0] <= known.cursor <= known.visible()[-1][0]
