"""A real browser and a `qvlctl tui --web` for it."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.blackbox.harness import Daemon
from tests.support import wait_until

QVLCTL = Path(sys.prefix, "bin", "qvlctl")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[()].|[=>78])")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        yield running
        running.close()


class Server:
    """`qvlctl tui --web`."""

    def __init__(self, daemon: Daemon | None, env: dict[str, str], *words: str) -> None:
        where = ["--socket", str(daemon.socket)] if daemon is not None else []
        command = [str(QVLCTL), *where, "tui", "--web", *words]
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.authority = self.address.split("/")[2]

    def children(self) -> list[int]:
        """The processes of open pages."""
        found = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
                if f"--with-parent={self.process.pid}".encode() in words:
                    found.append(pid)
        return found

    def ask(self, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.authority, timeout=10)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            response.read()
        connection.close()
        return response

    def let_in(self) -> tuple[str, str]:
        """The path where everything is, and the cookie for it."""
        response = self.ask(self.address.partition(self.authority)[2])
        cookie = response.headers["Set-Cookie"]
        found = re.search(r"Path=(\S+)/;", cookie)
        assert found is not None
        return found[1], cookie.partition(";")[0]

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            assert self.end() == 0
        assert self.process.stdout is not None
        self.process.stdout.close()
        wait_until(lambda: not self.children(), 10, "no process of a page")


class Reader:
    """A page, and what was sent to its terminal."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._sent = bytearray()
        self.page: Page = browser.new_page(viewport={"width": 1000, "height": 600})
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._take))
        self.page.goto(address)

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self._sent += frame

    @property
    def text(self) -> str:
        return CONTROL.sub("", self._sent.decode(errors="replace"))

    def wait(self, pattern: str, since: int = 0) -> int:
        """Until the pattern was sent; answers how much was sent by then."""
        self.until(lambda: re.search(pattern, self.text[since:]), f"{pattern!r} in {self.text[since:]!r}")
        return len(self.text)

    def until(self, predicate: Callable[[], object], what: str) -> None:
        def look() -> object:
            self.page.wait_for_timeout(20)  # the page's events come while it waits
            return predicate()

        wait_until(look, 20, what)
