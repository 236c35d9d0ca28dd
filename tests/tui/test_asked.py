"""What was asked of the daemon counts as asked until it says something of it, and not for ever."""

from datetime import timedelta

import msgspec
from qvl.model.event import Change
from qvl_tui.asked import FILE, AskedChanges
from qvl_tui.store import UNCONFIRMED_FOR, Store

from tests.tui.changing import POOL, SWITCH, outcome, pools
from tests.tui.fleet import NOW


def asked(name: str = POOL) -> tuple[Store, AskedChanges]:
    store = Store()
    store.apply(pools(), 0.0)
    changes = AskedChanges(store)
    changes.ask(name, "switch to eagle3", 10.0)
    return store, changes


def test_it_is_asked_until_the_change_is_there() -> None:
    store, changes = asked()
    assert changes.of(POOL, 11.0) == "switch to eagle3"
    assert changes.of("chat", 11.0) is None
    store.apply(Change(NOW, pools=pools(switch=SWITCH).status.pools), 12.0)
    assert changes.of(POOL, 12.0) is None
    store.apply(Change(NOW, pools=pools().status.pools), 13.0)
    assert changes.of(POOL, 13.0) is None, "confirmed is confirmed"


def test_it_is_over_where_it_came_and_went_before_anybody_looked() -> None:
    store, changes = asked()
    store.apply(outcome(20), 11.0)
    assert changes.of(POOL, 11.0) == "switch to eagle3", "whose outcome that is, is not known yet"
    changes.accepted(POOL, 19)
    assert changes.of(POOL, 11.0) is None


def test_an_outcome_of_before_confirms_nothing() -> None:
    store, changes = asked()
    store.apply(outcome(20), 11.0)
    changes.accepted(POOL, 20)
    assert changes.of(POOL, 11.0) == "switch to eagle3"


def test_it_is_forgotten_after_a_while_and_when_it_was_refused() -> None:
    _, changes = asked()
    assert changes.of(POOL, 10.0 + UNCONFIRMED_FOR) == "switch to eagle3"
    assert changes.of(POOL, 10.1 + UNCONFIRMED_FOR) is None
    _, changes = asked()
    changes.refused(POOL)
    assert changes.of(POOL, 11.0) is None


def test_a_change_that_turns_back_confirms_that_it_was_taken_back() -> None:
    store, changes = asked()
    store.apply(Change(NOW, pools=pools(switch=SWITCH).status.pools), 11.0)
    changes.ask(POOL, "take it back", 12.0)
    further = msgspec.structs.replace(SWITCH, percent=50, step="smoke test")
    store.apply(Change(NOW + timedelta(seconds=1), pools=pools(switch=further).status.pools), 13.0)
    assert changes.of(POOL, 13.0) == "take it back"
    back = msgspec.structs.replace(SWITCH, why="it was cancelled")
    store.apply(Change(NOW + timedelta(seconds=2), pools=pools(switch=back).status.pools), 14.0)
    assert changes.of(POOL, 14.0) is None


def test_an_edit_is_confirmed_by_what_the_daemon_says_of_the_file() -> None:
    store, changes = asked(FILE)
    assert changes.of(FILE, 11.0) is not None
    told = store.supervisor
    assert told is not None
    config = msgspec.structs.replace(told.config, applied="b7")
    store.apply(Change(NOW, supervisor=msgspec.structs.replace(told, config=config)), 12.0)
    assert changes.of(FILE, 12.0) is None
