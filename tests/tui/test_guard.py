"""Who is let in by the browser's interface: each request that isn't the reader's own is refused, and told why."""

import pytest
from qvl_tui.web.guard import COOKIE, Guard

HERE = "127.0.0.1:8123"


@pytest.fixture
def guard() -> Guard:
    return Guard()


def cookies(guard: Guard) -> dict[str, str]:
    name, _, value = guard.cookie().partition(";")[0].partition("=")
    return {name: value}


def refusal(guard: Guard, *, socket: bool = False, path: str = "/", **headers: str) -> str | None:
    asked = {"Host": HERE, **headers}
    return guard.refusal(asked, guard.root + path, cookies(guard), door=False, socket=socket)


def test_who_has_the_cookie_is_let_in(guard: Guard) -> None:
    assert refusal(guard) is None
    assert refusal(guard, Host="localhost") is None
    assert refusal(guard, Origin=f"http://{HERE}") is None
    assert refusal(guard, socket=True, Origin=f"http://{HERE}") is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8123", "127.0.0.1.evil.example", "localhost:x", "10.0.0.1"]
)
def test_a_foreign_name_that_leads_here_is_refused(guard: Guard, host: str) -> None:
    assert refusal(guard, Host=host) == "this is not a name of this host"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", f"https://{HERE}", ""])
def test_another_site_is_refused_though_the_browser_brings_the_cookie(guard: Guard, origin: str) -> None:
    for socket in (False, True):
        assert refusal(guard, socket=socket, Origin=origin) == "another site asks"


def test_a_websocket_comes_from_a_page(guard: Guard) -> None:
    assert refusal(guard, socket=True) == "no site asks"


def test_without_cookie_or_secret_path_nothing_is_told(guard: Guard) -> None:
    other = Guard()
    for path, brought in (
        (f"{guard.root}/", {}),
        (f"{guard.root}/", cookies(other)),
        (f"{guard.root}/", {COOKIE: ""}),
        (f"{guard.root}/", {COOKIE: "ü"}),
        (f"{other.root}/", cookies(guard)),
        (guard.root, cookies(guard)),
        ("/", cookies(guard)),
    ):
        told = guard.refusal({"Host": HERE}, path, brought, door=False, socket=False)
        assert told == "open the address that qvlctl printed", (path, brought)


def test_the_door_opens_to_the_token_alone_and_to_no_foreign_name(guard: Guard) -> None:
    assert guard.admits(guard.token)
    for token in ("", guard.token[:-1], Guard().token, "ü"):
        assert not guard.admits(token)
    assert guard.refusal({"Host": HERE}, "/", {}, door=True, socket=False) is None
    assert guard.refusal({"Host": "evil.example"}, "/", {}, door=True, socket=False) is not None


def test_no_script_and_no_other_site_has_use_of_the_cookie(guard: Guard) -> None:
    words = guard.cookie().split("; ")[1:]
    assert words == [f"Path={guard.root}/", "HttpOnly", "SameSite=Strict"]


@pytest.mark.parametrize("told", ["", "\udcff\udcfe", "é", "x" * 43])
def test_what_is_no_secret_of_ours_is_refused_whatever_it_is(guard: Guard, told: str) -> None:
    assert not guard.admits(told)
    asked = guard.refusal({"Host": HERE}, f"{guard.root}/", {COOKIE: told}, door=False, socket=False)
    assert asked == "open the address that qvlctl printed"
