"""The interface in a real browser, on a real daemon: what it shows, what keys do, who is refused, and what is left."""

import http.server
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.blackbox.harness import Daemon
from tests.recording.scripts import night, record
from tests.support import wait_until
from tests.tui.browser import QVLCTL, Reader, Server, browser

__all__ = ["browser"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon")) as running:
        running.start()
        running.ready()
        yield running
        running.stop()


@pytest.fixture
def server(daemon: Daemon, tmp_path: Path) -> Iterator[Server]:
    with Server(daemon, {"HOME": str(tmp_path)}) as running:
        yield running


def test_the_page_shows_the_fleet_and_takes_keys(browser: Browser, server: Server, daemon: Daemon) -> None:
    reader = Reader(browser, server.address)
    seen = reader.wait(r"chat-0 +● ready")
    reader.until(lambda: reader.page.evaluate("document.activeElement.tagName") == "TEXTAREA", "the keys' focus")
    before = reader.page.screenshot()
    reader.page.keyboard.press("?")
    seen = reader.wait(r"all about the worker", since=seen)
    reader.until(lambda: reader.page.screenshot() != before, "another picture")
    reader.page.keyboard.press("Escape")
    assert daemon.client.act("stop", "chat-0", pool=False)["workers"] == ["chat-0"]
    reader.wait(r"○ stopped", since=seen)
    daemon.client.act("start", "chat-0", pool=False)
    daemon.ready()
    assert "token" not in reader.page.url
    assert {url.split("/")[2] for url in reader.requests if "://" in url} == {server.authority}, (
        "nothing from elsewhere"
    )
    assert reader.errors == []
    assert len(server.children()) == 1
    reader.page.close()
    wait_until(lambda: not server.children(), 10, "the end of the page's process")


def test_q_leaves_and_the_page_says_so(browser: Browser, server: Server) -> None:
    reader = Reader(browser, server.address)
    reader.wait(r"chat-0 +● ready")
    reader.page.keyboard.press("q")
    reader.page.get_by_text("the session has ended").wait_for()
    wait_until(lambda: not server.children(), 10, "the end of the page's process")
    seen = len(reader.text)
    reader.page.get_by_text("again").click()
    reader.wait(r"chat-0 +● ready", since=seen)
    reader.page.close()


def test_without_the_token_everything_is_refused(server: Server) -> None:
    root, cookie = server.let_in()
    for path in ("/", "/?token=", "/?token=guess", f"{root}/", f"{root}/ws", f"{root}/static/js/textual.js", "/ws"):
        assert server.ask(path).status == 403, path
    assert server.ask(f"{root}/", Cookie=cookie).status == 200
    assert server.ask(f"{root}/static/js/textual.js", Cookie=cookie).status == 200
    assert server.ask(f"{root}/none", Cookie=cookie).status == 404
    assert server.ask(f"{root}/", Cookie=cookie, Host="evil.example").status == 403
    assert server.children() == []


def test_the_websocket_is_for_the_page_alone(server: Server) -> None:
    root, cookie = server.let_in()
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    ours = f"http://{server.authority}"
    for origin in ("http://evil.example", "http://127.0.0.1:1", "null"):
        assert server.ask(f"{root}/ws", Cookie=cookie, Origin=origin, **upgrade).status == 403
    assert server.ask(f"{root}/ws", Cookie=cookie, **upgrade).status == 403
    assert server.ask(f"{root}/ws", Origin=ours, **upgrade).status == 403
    assert server.children() == []
    assert server.ask(f"{root}/ws", Cookie=cookie, Origin=ours, **upgrade).status == 101


def test_a_page_of_another_port_gets_nowhere_with_the_readers_browser(browser: Browser, server: Server) -> None:
    """It is the same site to a browser, which knows no ports there."""
    root, _ = server.let_in()
    asked: list[str] = []

    class Stranger(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"a page of somebody else")

        def log_message(self, format: str, *args: object) -> None:
            pass

    knock = """address => new Promise(done => {
        const socket = new WebSocket(address);
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    })"""
    address = f"ws://{server.authority}{root}/ws"
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_url(f"**{root}/")
    assert page.evaluate(knock, address) == "open", "our own page is let in"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{stranger.server_port}/")
        assert page.evaluate(knock, address) == "refused"
        stranger.shutdown()
    context.close()
    assert asked
    assert set(asked) == {""}, "it is not even sent the cookie"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_told_to_end_or_killed_it_leaves_no_process(
    browser: Browser, server: Server, daemon: Daemon, number: signal.Signals
) -> None:
    reader = Reader(browser, server.address)
    reader.wait(r"chat-0 +● ready")
    assert server.end(number) == (-number if number is signal.SIGKILL else 0)
    wait_until(lambda: not server.children(), 10, "no process of a page")
    assert daemon.worker()["ready"]
    reader.page.close()


def test_a_port_that_is_taken_is_told(server: Server, daemon: Daemon) -> None:
    port = server.authority.partition(":")[2]
    command = [str(QVLCTL), "--socket", str(daemon.socket), "tui", "--web", "--web-port", port]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert ran.returncode == 1
    assert f"error: port {port} of 127.0.0.1 can't be had: Address already in use" in ran.stderr


def test_a_recording_is_shown_without_a_daemon(browser: Browser, tmp_path: Path) -> None:
    path = record(tmp_path / "r", night(60))
    with Server(None, {"HOME": str(tmp_path)}, "--replay", str(path)) as server:
        reader = Reader(browser, server.address)
        reader.wait(r"recording")
        reader.wait(r"qwen3-vl-1 +● ready")
        reader.page.close()


def test_what_is_no_recording_is_told_before_a_page_is_served(tmp_path: Path) -> None:
    command = [str(QVLCTL), "tui", "--web", "--replay", "/dev/null"]
    ran = subprocess.run(command, env={"PATH": "", "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=20)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: /dev/null is no file\n")
