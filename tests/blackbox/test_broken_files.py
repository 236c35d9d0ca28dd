"""A file that is refused: it is told, everything goes on with what was applied, and the mended file counts again."""

from collections.abc import Callable
from pathlib import Path

import pytest
from qvl.model.error import ErrorCode, QvlError

from tests.blackbox.harness import Daemon
from tests.blackbox.test_edits import pids, refused
from tests.support import wait_until


def _unlink(daemon: Daemon) -> None:
    daemon.config_file.unlink()


def _directory(daemon: Daemon) -> None:
    daemon.config_file.unlink()
    daemon.config_file.mkdir()


def _unreadable_link(daemon: Daemon) -> None:
    daemon.config_file.unlink()
    daemon.config_file.symlink_to(daemon.root / "nothing")


def _content(content: bytes) -> Callable[[Daemon], None]:
    def spoil(daemon: Daemon) -> None:
        daemon.config_file.write_bytes(content)

    return spoil


def _half(daemon: Daemon) -> None:
    whole = daemon.config_file.read_bytes()
    daemon.config_file.write_bytes(whole[: whole.index(b"[pools") + 9])


BROKEN = {
    "no TOML": (_content(b"[supervisor\n"), ":1"),
    "half": (_half, "qvl.toml:"),
    "empty": (_content(b""), "empty"),
    "binary": (_content(bytes(range(256)) * 40), ""),
    "unknown key": (_content(b"[supervisor]\nauto_aply = true\n"), "auto_apply"),
    "10 MB": (_content(b"# " + b"x" * 10_000_000 + b"\n[what]\n"), ""),
    "nested": (_content(b"a = " + b"[" * 20_000), ""),
    "deleted": (_unlink, "qvl.toml"),
    "a directory": (_directory, "directory"),
    "a dangling link": (_unreadable_link, "qvl.toml"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_harms_nobody(how: str, tmp_path: Path) -> None:
    spoil, word = BROKEN[how]
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        before = pids(daemon)
        applied = daemon.file["applied"]
        spoil(daemon)
        assert word in refused(daemon)
        assert not daemon.file["pending"]
        assert pids(daemon) == before
        assert daemon.file["applied"] == applied
        with pytest.raises(QvlError) as info:
            daemon.client.plan()
        assert info.value.code is ErrorCode.REFUSED
        assert info.value.hint
        daemon.client.act("restart", "chat-0", pool=False)  # with what is applied
        daemon.ready(not_pid=before["chat-0"])
        if daemon.config_file.is_dir():
            daemon.config_file.rmdir()
        elif daemon.config_file.is_symlink():
            daemon.config_file.unlink()
        before = pids(daemon)
        daemon.write(daemon.config)
        wait_until(lambda: daemon.file["error"] is None and not daemon.file["pending"], 10, "mended")
        assert daemon.file["revision"] == applied
        assert pids(daemon) == before


def test_a_daemon_starts_on_the_last_applied_configuration(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        daemon.stop()
        daemon.write("[supervisor]\nnonsense = 1\n")
        daemon.start().ready()
        assert "nonsense" in refused(daemon)


def test_a_first_start_on_a_refused_file_exits_with_78(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.write("[supervisor]\nnonsense = 1\nalso = 2\n[pools.chat]\nprofile = 3\n")
        assert daemon.spawn().wait(15) == 78
        said = daemon.said()
        assert f"{daemon.config_file}:2: supervisor.nonsense" in said
        assert f"{daemon.config_file}:3: supervisor.also" in said
        assert "pools.chat.profile" in said
        assert "hint: " in said
