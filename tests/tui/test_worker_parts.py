"""The parts of the worker's screen, each by itself: what stands there, and what must never."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from qvl.model.api import ArgOrigin, ProfileDetail, Resolved, ResolvedValue
from qvl.model.detail import EngineCapacity, PastExit, ProcessInfo, StepState, StepTime
from qvl.model.gpu import GpuSample
from qvl.model.status import ExternalStatus, GatewayStatus
from qvl.model.worker import Cause, Phase, Progress
from qvl_tui.inquiry import Inquiry
from qvl_tui.logbuffer import LogBuffer
from qvl_tui.paint import length
from qvl_tui.store import Store
from qvl_tui.widgets.worker_args import arguments_section, given, left_open
from qvl_tui.widgets.worker_capacity import capacity_section
from qvl_tui.widgets.worker_exits import exits_section
from qvl_tui.widgets.worker_head import banner_line, head_lines
from qvl_tui.widgets.worker_log import log_section
from qvl_tui.widgets.worker_section import Section, column, layout, plain
from qvl_tui.widgets.worker_start import is_slow, start_section, took
from qvl_tui.widgets.worker_tree import tree_section

from tests.tui.details import CAPACITY, PROCESSES, detail, start
from tests.tui.fleet import GIB, NOW, FakeLink, gpu, starting, worker

WIDTHS = (30, 58, 78, 120)


def lines(section: Section) -> list[str]:
    return plain(section).split("\n")


def row(section: Section, word: str) -> str:
    (found,) = [line for line in lines(section) if word in line]
    return found


# --- start


@pytest.mark.parametrize(
    ("seconds", "expected", "slow"),
    [(9.9, 5.0, True), (7.4, 5.0, False), (0.9, 0.1, False), (1.2, 0.1, True), (5.0, None, False), (None, 5.0, False)],
)
def test_slow_is_what_takes_a_lot_longer_and_is_felt(seconds: float | None, expected: float | None, slow: bool) -> None:
    assert is_slow(seconds, expected) is slow


def test_seconds_as_people_read_them() -> None:
    assert [took(s) for s in (0.0, 0.02, 0.2, 13.0, 99.9, 200.0, None)] == [
        *("0.0 s", "<0.1 s", "0.2 s", "13.0 s", "99.9 s", "3 m 20 s", "—")
    ]


def test_a_bar_shows_what_goes_beyond_the_remembered_time_in_another_sign() -> None:
    section = start_section(worker(), start(), 0.0, 78)
    assert row(section, "graphs").count("═") == 7
    assert "═" not in row(section, "launch")
    assert row(section, "launch").count("─") == 1  # a bit less than remembered
    assert row(section, "import").count("━") == 24  # the longest one fills it


def test_time_goes_on_for_the_step_under_way_alone() -> None:
    told = start(at=2, over=False)
    section = start_section(starting("w-0"), told, 4.0, 78)
    assert "6.5 s" in row(section, "weights")
    assert "▲ slow" in row(section, "weights")
    assert "13.0 s" in row(section, "import")
    assert "28.6 s" in row(section, "in all")
    over = start_section(worker(), start(), 4.0, 78)
    assert "34.4 s" in row(over, "in all")


def test_what_nobody_saw_is_told_so() -> None:
    section = start_section(worker(), start(watched=False), 0.0, 78)
    assert row(section, "weights").startswith(" ? weights")
    assert row(section, "weights").count("not seen") == 1
    assert "not seen" in row(section, "in all")


def test_a_skipped_step_is_no_step_that_took_no_time() -> None:
    steps = tuple(replace(s, state=StepState.SKIPPED, seconds=None) if s.step == "graphs" else s for s in start().steps)
    section = start_section(worker(), replace(start(), steps=steps), 0.0, 78)
    assert "not done" in row(section, "graphs")
    assert "0.0 s" not in row(section, "graphs")


def test_without_a_detail_the_progress_stands_alone() -> None:
    section = start_section(starting("w-0", 42), None, 0.0, 78)
    assert "42%  of the start · 21 s left" in plain(section)
    without = replace(starting("w-0"), progress=Progress("weights"))
    assert plain(start_section(without, None, 0.0, 78)).endswith("of the start")
    assert "nothing is known" in plain(start_section(worker(), None, 0.0, 78))
    assert "asking the daemon" in plain(start_section(worker(), None, 0.0, 78, asking=True))


# --- capacity


def told(capacity: EngineCapacity | None, total: int | None = 141 * GIB) -> Section:
    card = gpu(0, memory_total=total)
    return capacity_section(worker(), detail(worker(), capacity=capacity), (card, gpu(1)), 58, "why")


def test_a_figure_that_was_not_told_is_none_and_not_nothing() -> None:
    section = told(EngineCapacity(kv_tokens=8192))
    assert [line.split("  ", 1)[1].strip() for line in lines(section)] == ["—", "8,192 tokens", "—", "—", "—"]


@pytest.mark.parametrize(
    ("capacity", "total"),
    [
        (CAPACITY, None),
        (replace(CAPACITY, free=None), 141 * GIB),
        (CAPACITY, 80 * GIB),  # more than there is: something of it is of other cards
    ],
)
def test_memory_is_drawn_only_where_it_adds_up(capacity: EngineCapacity, total: int | None) -> None:
    assert "▓" in plain(told(CAPACITY))
    assert "▓" not in plain(told(capacity, total))


def test_several_ranks_are_told_as_such() -> None:
    assert told(replace(CAPACITY, ranks=4)).note == "on each of 4 cards"
    assert told(CAPACITY).note == ""


def test_none_told_and_none_known_are_two_things() -> None:
    assert plain(told(None)) == " its engine tells none"
    assert plain(capacity_section(worker(), None, (), 58, "asking …")) == " asking …"


# --- processes


def tree(
    *processes: ProcessInfo, width: int = 78, left_out: int = 0, shares: dict[int, float] | None = None
) -> Section:
    known = detail(worker(), processes=processes, processes_left_out=left_out)
    return tree_section(worker(), known, shares or {}, width, "why")


def test_branches_show_whose_child_it_is() -> None:
    names = [line[:28].rstrip() for line in lines(tree(*PROCESSES))[1:]]
    assert names == [
        " python3.12",
        " ├─ sglang::scheduler_TP0",
        " │  └─ ptxas ended",
        " └─ sglang::detokenizer",
    ]


def test_what_lost_its_parent_and_what_is_halted_stand_out() -> None:
    stray = ProcessInfo(9, 812, "worker.py", "S", 1, 0.0, 1)
    halted = replace(PROCESSES[1], state="T")
    section = tree(PROCESSES[0], halted, stray)
    assert "worker.py left by its parent" in plain(section)
    assert "sglang::scheduler_TP0 halted" in plain(section)


def test_those_left_out_are_counted() -> None:
    section = tree(*PROCESSES, left_out=1200)
    assert "and 1,200 more" in plain(section)
    assert section.note == "1,204"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_deep_tree_of_long_names_stays_in_its_width(width: int) -> None:
    chain = tuple(ProcessInfo(n + 1, n, "名" * 40, "S", 1 << 40, 1.0, 4, 1 << 45) for n in range(1, 60))
    section = tree(*chain, width=width, shares={5: 12.0})
    assert all(length(line) <= width for line in column([section], width, None).lines)


def test_a_circle_of_parents_ends() -> None:
    assert tree(replace(PROCESSES[0], pid=5, ppid=6), replace(PROCESSES[0], pid=6, ppid=5)).lines


# --- arguments

PROFILE = ProfileDetail(
    name="standard",
    engine="sglang",
    model="m",
    args=(
        ArgOrigin("tp", 2, "profile standard"),
        ArgOrigin("no-enable-x", True, "profile standard"),
        ArgOrigin("nccl-port", "a free one", "qvl"),
        ArgOrigin("context-length", "32k", "profile standard"),
        ArgOrigin("api-key", "…", "qvl"),
        ArgOrigin("sim-x", 1, "profile standard"),
    ),
    env=(),
    raw_args=(),
    command=("a", "b c"),
)
RESOLVED = Resolved(
    "w-0",
    "w",
    "standard",
    "sglang",
    None,
    values=(
        ResolvedValue("tp-size", 2, ("tp",), 2),
        ResolvedValue("enable-x", False, (), True),
        ResolvedValue("nccl-port", 25101),
        ResolvedValue("context-length", 32000, (), "32k", differs=True),
        ResolvedValue("dtype", "auto", common=True),
        ResolvedValue("quantization", None, common=True),
        ResolvedValue("log-level", "info"),
    ),
    hidden=("api-key",),
)


def test_what_the_engine_made_something_else_of_comes_first_and_is_marked() -> None:
    rows = {row.key: row for row in given(PROFILE, RESOLVED)}
    assert next(iter(rows)) == "context-length"
    assert (rows["context-length"].made, rows["context-length"].differs) == ("32000", True)
    assert (rows["tp"].made, rows["tp"].differs) == ("=", False)
    assert rows["no-enable-x"].made == "="
    assert (rows["nccl-port"].made, rows["nccl-port"].differs) == ("25101", False)
    assert rows["api-key"].made == "(hidden)"
    assert rows["sim-x"].made == ""


def test_what_is_left_to_the_engine_is_few_or_all() -> None:
    assert left_open(PROFILE, RESOLVED, everything=False) == [("dtype", "auto")]
    every = [key for key, _ in left_open(PROFILE, RESOLVED, everything=True)]
    assert every == ["dtype", "quantization", "log-level"]


@pytest.mark.parametrize("width", WIDTHS)
def test_arguments_stay_in_their_width(width: int) -> None:
    asked = Inquiry(FakeLink(), "w-0")
    long = ArgOrigin("json-model-override-args", {"a": "b" * 200, "c": [*range(100)]}, "profile " + "x" * 40)
    asked.profile.answer = replace(PROFILE, args=(*PROFILE.args, long, ArgOrigin("chat", "one\ntwo", "qvl")))
    asked.resolved.answer = RESOLVED
    for everything in (False, True):
        section = arguments_section(worker(), asked, width, everything=everything)
        assert all(length(line) <= width for line in column([section], width, None).lines)
        assert not any("\n" in text for line in section.lines for text, _ in line)


def test_a_gateway_has_no_profile() -> None:
    asked = Inquiry(FakeLink(), "chat-gateway")
    assert "a gateway has no profile" in plain(arguments_section(gateway(), asked, 78, everything=False))


# --- exits


def test_exits_say_how_when_and_for_how_long() -> None:
    section = exits_section(worker(), detail(worker()), NOW, 100)
    first = lines(section)[0]
    assert first == " ✕ 11:18:11 out-of-gpu-memory  exit 1, 45 m ago, lived 41 s, never ready, standard"
    assert section.note == "2 of 3 unasked"
    assert row(section, "requested").startswith(" ○ ")


def test_long_evidence_is_told_in_few_lines_and_of_older_ends_in_one() -> None:
    end = PastExit(NOW, Cause.HANG, evidence="word " * 200, hint="hint " * 200)
    other = replace(end, evidence="other " * 200, hint="also " * 200)
    told_ = lines(exits_section(worker(), detail(worker(), exits=(end, other)), NOW, 60))
    assert len(told_) == 1 + 3 + 3 + 1 + 1 + 1


def test_what_ends_have_in_common_is_told_once() -> None:
    end = PastExit(NOW, Cause.HANG, evidence="silent", hint="look at it")
    told_ = lines(exits_section(worker(), detail(worker(), exits=(end, end, end)), NOW, 60))
    assert len(told_) == 3 + 1 + 1


def test_without_a_detail_the_last_exit_is_known() -> None:
    assert "none is remembered" in plain(exits_section(worker(), None, NOW, 60))


# --- head and log


def gateway(**changes: object) -> GatewayStatus:
    status = worker("chat-0")
    known = {name: getattr(status, name) for name in status.__struct_fields__}
    return GatewayStatus(**(known | {"name": "chat-gateway"} | changes))


def test_a_gateway_tells_whom_it_sends_to() -> None:
    front = gateway(routed=("chat-0", "chat-1"), requests=1200, failed=2, external=(ExternalStatus("http://x", False),))
    head = "\n".join("".join(text for text, _ in line) for line in head_lines(front, Store(), NOW, 120))
    assert "sends to chat-0, chat-1   requests 1,200   failed 2" in head
    assert "away http://x" in head


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_sentence_in_every_width(phase: Phase) -> None:
    status = worker("w-0", phase, reason="because " * 40, hint="do this " * 40, since=NOW - timedelta(hours=5))
    for width in WIDTHS:
        assert length(banner_line(status, Store(), NOW, width)) <= width
        assert all(length(line) <= width for line in head_lines(status, Store(), NOW, width))
    assert "for 5 h" in banner_line(status, Store(), NOW, 120)[0][0]


def test_the_log_has_its_last_lines_without_their_day() -> None:
    buffer = LogBuffer()
    buffer.feed(b"".join(b"[2026-03-04 12:00:%02d TP1] line %d\n\n" % (n, n) for n in range(9)) + b"ERROR: x\n")
    section = log_section(tuple(buffer.lines), "", 40, 3)
    assert lines(section) == ["  12:00:07 TP1 line 7", "  12:00:08 TP1 line 8", "✕ ERROR: x"]
    assert "no such log" in plain(log_section((), "no such log", 40, 3))


# --- sections


def test_trouble_comes_first_and_every_width_has_every_section() -> None:
    names = {"start", "capacity", "exits", "processes", "arguments", "log"}
    for width in (60, 80, 111, 112, 169, 170, 300):
        for troubled in (False, True):
            shares = layout(width, troubled=troubled)
            assert sorted(name for share in shares for name in share) == sorted(names)
            assert shares[0][0] == ("exits" if troubled else "start")
    assert [len(layout(width, troubled=False)) for width in (111, 112, 169, 170)] == [1, 2, 2, 3]


def test_headings_tell_the_focus_without_colour_and_where_they_stand() -> None:
    made = column([Section("a", "one", ((("x", "text"),),)), Section("b", "two", (), "note")], 20, "b")  # type: ignore[arg-type]
    text = ["".join(part for part, _ in line) for line in made.lines]
    assert text == [" one ───────────────", "x", "", "▸two ───────── note "]
    assert made.places == {"a": 0, "b": 3}


def test_unknown_cards_and_gpus_by_uuid() -> None:
    status = worker(gpus=("GPU-00000003",))
    card = GpuSample(3, "GPU-00000003", "H200", memory_total=141 * GIB)
    assert "▓" in plain(capacity_section(status, detail(status), (card,), 78, ""))
    assert "▓" not in plain(capacity_section(status, detail(status), (), 78, ""))


def test_a_step_of_another_version_is_shown_as_it_is_called() -> None:
    step = StepTime("compile", StepState.DONE, 3.0, None)
    section = start_section(worker(), replace(start(), steps=(*start().steps, step)), 0.0, 78)
    assert "3.0 s" in row(section, "compile")
