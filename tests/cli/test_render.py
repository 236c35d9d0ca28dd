"""Text for people, held to golden files: those under golden/ are what a terminal of 80 columns shows.

To accept a change, run with QVL_GOLDEN=write, and read the difference before committing it.
"""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import cast

import msgspec
import pytest
from qvl.cli import render, table
from qvl.cli.profiles import profile_lines, profiles_lines
from qvl.cli.render_plan import plan_lines
from qvl.cli.render_top import top
from qvl.cli.terminal import colourful, plain
from qvl.client.documents import PlanDoc, ProfileDoc, ProfileInfoDoc, ResolvedDoc, StatusDoc
from qvl.model.plan import Action, KeyChange, Plan, PlanStep, PlanWarning
from qvl.model.status import ConfigStatus, PoolStatus, Status, SwitchStatus, WorkerMetrics, WorkerStatus
from qvl.model.worker import Phase, Wanted

from tests.fakes import START, FakeControl, fleet

GOLDEN = Path(__file__).parent / "golden"
NOW = START + timedelta(minutes=1, seconds=18)
replace = msgspec.structs.replace


def on_the_wire(status: Status) -> StatusDoc:
    return cast("StatusDoc", msgspec.to_builtins(status))


def hold(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("QVL_GOLDEN") == "write":
        path.write_text(text + "\n")
    assert text + "\n" == path.read_text()


def full(text: str, width: int = 80) -> str:
    """The text, none of whose lines is wider than the terminal."""
    assert [line for line in text.splitlines() if len(line) > width] == []
    return text


def test_status_of_a_fleet_in_all_kinds_of_trouble() -> None:
    hold("status", full(render.status(on_the_wire(fleet()), now=NOW)))


def test_status_under_a_switch_with_a_refused_and_a_pending_edit() -> None:
    status = fleet()
    switch = SwitchStatus("switch", "eagle3", "smoke test", "qwen3-vl-1", 1, 3, START, 64)
    config = ConfigStatus("/etc/qvl/qvl.toml", "b2", "a1", "/etc/qvl/qvl.toml:7: pools.x.prot: unknown key", True)
    status = replace(
        status,
        supervisor=replace(status.supervisor, config=config, lost_log_bytes=4096),
        pools=(
            PoolStatus("qwen3-vl", "eagle3", "eagle3", None, 1, 3, switch),
            PoolStatus("chat", "chat", None, "http://127.0.0.1:8100", 1, 1),
        ),
    )
    hold("status-switching", full(render.status(on_the_wire(status), now=NOW)))


def test_status_with_names_that_leave_no_room() -> None:
    worker = replace(
        fleet().workers[0],
        name="qwen2.5-vl-72b-instruct-awq-marlin-0@standard",
        gpus=("GPU-0f1e2d3c-aaaa", "GPU-11223344-bbbb"),
        drift=("mem-fraction-static", "chunked-prefill-size"),
    )
    stuck = replace(
        worker,
        phase=Phase.BACKOFF,
        ready=False,
        reason="port 8000 is held by pid 777 (python3, alice), and will be waited for as long as that takes",
        metrics=WorkerMetrics(),
    )
    status = replace(fleet(), workers=(worker, stuck), gpus=())
    hold("status-cramped", full(render.status(on_the_wire(status), now=NOW)))


def test_a_card_that_is_set_aside_says_why_and_how_it_is_used_again() -> None:
    cards = fleet().gpus[:2]
    why = "gpu-fault of qwen3-vl-0: Xid 79 on GPU 0: GPU has fallen off the bus"
    status = replace(fleet(), gpus=(replace(cards[0], health="quarantined", reason=why), cards[1]))
    doc = on_the_wire(status)
    hold("gpus-set-aside", full("\n".join(render.gpus(doc["gpus"], width=80))))
    shown = top(doc, now=NOW)
    assert "why: " + why in " ".join(shown.split())
    assert "`qvlctl start` of a worker" in shown
    del doc["gpus"][0]["reason"]  # a daemon of an older version
    assert "why:" not in "\n".join(render.gpus(doc["gpus"], width=80))


def test_status_of_nothing() -> None:
    status = replace(fleet(), pools=(), workers=(), gpus=())
    hold("status-empty", full(render.status(on_the_wire(status), now=NOW)))


def test_top() -> None:
    text = top(on_the_wire(fleet()), now=NOW)
    hold("top", full("\n".join(text.splitlines()[1:])))  # the first line is the local time of day


def test_plan() -> None:
    plan = Plan(
        revision="r2",
        id="p1",
        steps=(
            PlanStep(
                "qwen3-vl-0",
                Action.RESTART,
                (KeyChange("mem-fraction-static", 0.8, 0.85), KeyChange("tp", None, 2)),
                31.0,
                3,
                60.0,
            ),
            PlanStep("qwen3-vl-1", Action.RECONFIGURE, (KeyChange("logs.keep", 5, 9),)),
            PlanStep("chat-0", Action.STOP, requests=1, drain_s=0.0),
            PlanStep("chat-1", Action.KEEP),
        ),
        removes_pools=("chat",),
    )
    hold("plan", full("\n".join(plan_lines(cast("PlanDoc", msgspec.to_builtins(plan))))))


def test_what_the_host_has_to_say_of_a_plan_is_said_once() -> None:
    missing = PlanWarning("", "model /models/qwen: model-00002-of-00004.safetensors is missing", "copy it there", True)
    warnings = (
        *(replace(missing, worker=f"a-{number}") for number in range(5)),
        PlanWarning("b-0", "about 9,000 KV tokens fit"),
        PlanWarning("b-1", "about 9,000 KV tokens fit"),
    )
    plan = Plan("r2", (PlanStep("a-0", Action.START),), warnings=warnings)
    doc = cast("PlanDoc", msgspec.to_builtins(plan))
    hold("plan_warnings", full("\n".join(plan_lines(doc))))
    del doc["warnings"]  # a daemon of an older version
    assert "warning" not in "\n".join(plan_lines(doc))


def test_profiles_and_one_of_them() -> None:
    control = FakeControl()
    infos = cast("list[ProfileInfoDoc]", msgspec.to_builtins(control.profiles()))
    detail = cast("ProfileDoc", msgspec.to_builtins(asyncio.run(control.profile("eagle3", None))))
    hold("profiles", full("\n".join([*profiles_lines(infos), "", *profile_lines(detail)])))


def test_a_switch_that_goes_back_says_why() -> None:
    status = fleet()
    switch = SwitchStatus("switch", "bad", "rolling back", "qwen3-vl-1", 0, 2, START, 7, "qwen3-vl-1 did not get ready")
    document = on_the_wire(replace(status, pools=(replace(status.pools[0], switch=switch), *status.pools[1:])))
    shown = render.status(document, now=NOW)
    assert "switching to bad: qwen3-vl-1 rolling back, 0 of 2 done (7%)" in shown
    assert "    why: qwen3-vl-1 did not get ready" in shown
    for pool in document["pools"]:
        if pool["switch"] is not None:
            del pool["switch"]["percent"], pool["switch"]["why"]  # as a daemon of before has it
    assert "0 of 2 done, for" in render.status(document, now=NOW)


@pytest.mark.parametrize("everything", [False, True])
def test_a_profile_with_what_an_engine_made_of_it(everything: bool) -> None:
    control = FakeControl()
    detail = cast("ProfileDoc", msgspec.to_builtins(asyncio.run(control.profile("standard", None))))
    resolved = cast("ResolvedDoc", msgspec.to_builtins(asyncio.run(control.resolved("qwen3-vl-0"))))
    text = full("\n".join(profile_lines(detail, resolved, everything=everything)))
    hold("resolved_all" if everything else "resolved", text)


def test_a_long_value_is_cut_in_a_terminal() -> None:
    control = FakeControl()
    detail = cast("ProfileDoc", msgspec.to_builtins(asyncio.run(control.profile("standard", None))))
    detail["args"][0]["value"] = {"rope_scaling": "x" * 100}
    assert "…  profile standard" in full("\n".join(profile_lines(detail)))


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_a_colour_and_a_row(phase: Phase) -> None:
    worker = replace(fleet().workers[0], phase=phase, ready=False)
    row = render.workers(on_the_wire(replace(fleet(), workers=(worker,)))["workers"], now=NOW, width=80)[1]
    assert phase in row.split()
    assert phase in render.PHASE_STYLES


def test_colour_changes_no_column() -> None:
    doc = on_the_wire(fleet())
    text = render.status(doc, now=NOW, paint=colourful)
    bare = text
    for code in ("\033[1m", "\033[2m", "\033[32m", "\033[36m", "\033[33m", "\033[1;31m", "\033[0m"):
        bare = bare.replace(code, "")
    assert bare == render.status(doc, now=NOW, paint=plain)
    assert bare != text


def test_a_worker_at_rest_explains_nothing() -> None:
    worker = replace(_failed(), phase=Phase.STOPPED, wanted=Wanted.DOWN, reason="stopped by root")
    assert render.reasons(on_the_wire(replace(fleet(), workers=(worker,)))["workers"][0]) == []


def test_a_failed_worker_without_its_own_hint_takes_that_of_its_end() -> None:
    worker = _failed()
    assert worker.last_exit is not None
    worker = replace(worker, hint=None, last_exit=replace(worker.last_exit, hint="download it"))
    doc = on_the_wire(replace(fleet(), workers=(worker,)))["workers"][0]
    assert ("hint", "download it", "") in render.reasons(doc)


def test_cards_are_told_by_index_wherever_that_is_known() -> None:
    known = {"GPU-aaaa": 0, "GPU-bbbb": 1}
    assert render.cards([], known) == "-"
    assert render.cards([3], known) == "3"
    assert render.cards([0, 1, 2, 3], known) == "0-3"
    assert render.cards([1, 3], known) == "1,3"
    assert render.cards(["GPU-bbbb", "GPU-0123456789"], known) == "1,01234567"


def test_wrapping_leads_every_line() -> None:
    assert table.wrapped("one two three", width=10, first="> ", rest="  ") == ["> one two", "  three"]


def _failed() -> WorkerStatus:
    return next(worker for worker in fleet().workers if worker.phase is Phase.FAILED)
