"""A plan in words: what differs, who is hit, and nothing that isn't known."""

import msgspec
from qvl.model.plan import Action, KeyChange, Plan, PlanStep, PlanWarning
from qvl.model.status import GatewayStatus
from qvl_tui.paint import Line
from qvl_tui.store import Store
from qvl_tui.widgets.plan import consequences, expected, key_lines, plan_lines, value
from qvl_tui.widgets.profiles import differences, offered, resolved_lines

from tests.tui.changing import pools
from tests.tui.configs import detail, eagle_plan
from tests.tui.fleet import snapshot, worker


def store(**changes: object) -> Store:
    known = Store()
    known.apply(pools(**changes), 0.0)
    return known


def words(lines: tuple[Line, ...] | list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


NAMES = ("qwen3-vl-0", "qwen3-vl-1", "qwen3-vl-2")


def test_a_plan_tells_keys_workers_and_whom_it_hits() -> None:
    assert words(plan_lines(eagle_plan(*NAMES), store(), 90)) == "\n".join(
        (
            " args.speculative-algorithm         unset → EAGLE3",
            " args.speculative-draft-model-path  unset → /models/Qwen3-VL-8B-Instruct-Eagle3",
            "",
            " worker      does        away about   in flight",
            " qwen3-vl-0  restart     31 s         3, drains 1 m",
            " qwen3-vl-1  restart     31 s         0",
            " qwen3-vl-2  restart     31 s         0",
            "",
            " Interrupts 3 workers, one after the other: about 1 m 33 s in all.",
            " 3 requests in flight now: they get 1 m to finish, then they are cut off.",
        )
    )


def test_what_is_not_known_is_not_made_up() -> None:
    plan = Plan("a1", (PlanStep("qwen3-vl-0", Action.RESTART),))
    assert consequences(plan, store()) == [
        "Interrupts qwen3-vl-0: for how long is not known.",
        "How many requests that cuts off is not known.",
    ]
    assert words(plan_lines(plan, store(), 60)).splitlines()[1].split() == ["qwen3-vl-0", "restart", "—", "—"]
    assert expected(plan) is None
    assert expected(eagle_plan(*NAMES)) == 93.0
    half = eagle_plan(*NAMES)
    some = (msgspec.structs.replace(half.steps[0], downtime_s=None), *half.steps[1:])
    assert expected(msgspec.structs.replace(half, steps=some)) is None
    assert "not known" in consequences(msgspec.structs.replace(half, steps=some), store())[0]


def test_requests_that_get_no_time_are_said_to_get_none() -> None:
    plan = Plan("a1", (PlanStep("qwen3-vl-0", Action.RESTART, (), 5.0, 1, 0.0),))
    assert (
        consequences(plan, store())[1] == "1 request in flight now: they get no time to finish, then they are cut off."
    )
    assert "1, cut at once" in words(plan_lines(plan, store(), 60))


def test_a_gateway_before_several_workers_keeps_everyone_from_being_cut_off() -> None:
    front = GatewayStatus(**(msgspec.structs.asdict(worker("qwen3-vl-0")) | {"name": "qwen3-vl-gateway"}))
    known = store(gateway=front)
    assert consequences(eagle_plan(*NAMES), known)[-1] == (
        "The gateway sends requests to the others meanwhile: nobody is cut off."
    )
    alone = store(gateway=front, total=1, ready=1)
    assert "cut off" in consequences(eagle_plan("qwen3-vl-0"), alone)[-1]
    assert "nobody" not in consequences(eagle_plan("qwen3-vl-0"), alone)[-1]
    itself = Plan("a1", (PlanStep("qwen3-vl-gateway", Action.RESTART, (), 2.0, 4, 1.0),))
    assert consequences(itself, known)[1] == "qwen3-vl-gateway stands before its pool: what goes through it breaks off."


def test_what_interrupts_nobody_says_so() -> None:
    live = Plan("a1", (PlanStep("qwen3-vl-0", Action.LIVE, (KeyChange("args.log-level", "info", "debug"),)),))
    assert consequences(live, store()) == ["Nobody is interrupted."]
    assert "changed while it serves" in words(plan_lines(live, store(), 80))
    kept = Plan("a1", (PlanStep("qwen3-vl-0", Action.KEEP),))
    assert words(plan_lines(kept, store(), 80)) == " nothing changes: 1 worker kept"


def test_different_changes_are_told_by_the_workers_that_they_concern() -> None:
    one, other = KeyChange("args.a", 1, 2), KeyChange("args.b", True, None)
    steps = (
        PlanStep("w-0", Action.RESTART, (one,)),
        PlanStep("w-1", Action.RESTART, (one,)),
        PlanStep("w-2", Action.RESTART, (other,)),
    )
    told = words(plan_lines(Plan("a1", steps), store(), 80))
    assert told.startswith(" w-0, w-1\n args.a  1 → 2\n w-2\n args.b  true → unset\n")


def test_warnings_are_told_once_with_what_to_do() -> None:
    same = [PlanWarning(f"w-{n}", "the disk is nearly full", "free some", False) for n in range(5)]
    waits = PlanWarning("w-0", "GPU 1 is taken", None, True)
    plan = Plan("a1", (PlanStep("w-0", Action.START),), warnings=(*same, waits), removes_pools=("old",))
    told = words(plan_lines(plan, store(), 80))
    assert " ▲ removes pool old with workers up: waits for apply" in told
    assert " ▲ w-0 and 4 others: the disk is nearly full\n   → free some\n" in told
    assert " ▲ w-0 would wait: GPU 1 is taken" in told


def test_long_values_stand_below_their_key() -> None:
    key = KeyChange("args.model-loader-extra-config", {"a": 1}, {"path": "/models/" + "x" * 40})
    told = words(key_lines((key,), 60))
    assert told.splitlines()[0] == " args.model-loader-extra-config"
    assert '{"a": 1} → ' in told
    assert all(len(line) <= 60 for line in told.splitlines())
    assert (value(None), value(""), value("x"), value(0.5), value([1])) == ("unset", '""', "x", "0.5", "[1]")


def test_two_profiles_differ_as_the_daemons_plan_would_say() -> None:
    found = differences(detail("standard", "qwen3-vl"), detail("eagle3", "qwen3-vl"))
    assert [change.key for change in found] == [
        change.key for change in eagle_plan("w-0").steps[0].keys if change.key != "profile"
    ]
    (model,) = differences(detail("standard", "qwen3-vl"), detail("big", "qwen3-vl"))
    assert (model.key, model.new) == ("model", "Qwen/Qwen3-VL-32B-Instruct")
    assert differences(detail("big", "qwen3-vl"), detail("big", "qwen3-vl")) == ()


def test_what_a_profile_comes_to_fits_its_column() -> None:
    for width in (40, 47, 69):
        known = detail("eagle3", "qwen3-vl")
        lines = resolved_lines(known, width)
        assert len(lines) == sum(each.origin != "qvl" for each in (*known.args, *known.env))
        assert all(len(row) <= width for row in words(lines).splitlines())
        assert "speculative-algorithm" in words(lines)


def test_a_profile_on_its_way_is_marked() -> None:
    from qvl.model.api import ProfileInfo

    from tests.tui.changing import SWITCH

    infos = (
        ProfileInfo("standard", "sglang", "m", None, ("qwen3-vl",)),
        ProfileInfo("eagle3", "sglang", "m", None, ()),
    )
    (pool,) = pools(switch=SWITCH).status.pools
    assert [choice.note for choice in offered(pool, infos)] == ["runs now", "on its way"]


def test_a_pool_without_workers_is_planned_as_well() -> None:
    empty = Store()
    empty.apply(snapshot(), 0.0)
    assert consequences(eagle_plan("x-0"), empty)[0].startswith("Interrupts x-0")
