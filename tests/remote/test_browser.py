"""The interface in the browser, of another host: the server holds the connection, and pages come and go over it."""

import pytest
from playwright.sync_api import Browser

from tests.blackbox.harness import Daemon
from tests.remote.sshd import Sshd
from tests.support import wait_until
from tests.tui.browser import Reader, Server, browser

__all__ = ["browser"]

pytestmark = [pytest.mark.browser, pytest.mark.ssh]


def test_a_page_of_another_host_outlives_its_connection(browser: Browser, sshd: Sshd, daemon: Daemon) -> None:
    with Server(daemon, sshd.environment(), "--host", "box") as server:
        reader = Reader(browser, server.address)
        seen = reader.wait(r"chat-0 +● ready")
        other = Reader(browser, server.address)
        other.wait(r"chat-0 +● ready")
        assert len(sshd.sessions()) == 1, "one log-in for all pages"
        sshd.stop()
        seen = reader.wait(r"reconnecting", since=seen)
        sshd.start()
        reader.wait(r"● live", since=seen)
        reader.page.close()
        other.page.close()
    wait_until(lambda: not sshd.left(), 5, "nothing is left")
