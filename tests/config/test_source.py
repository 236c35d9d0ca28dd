"""Files that can't be read, can't be parsed, or are no files: each is a fault with a sentence, never an exception."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from qvl.config.load import load

from tests.config.files import GOOD, write


def sentence(path: Path) -> str:
    """The one fault about `path`, without its folder."""
    loaded = load(path)
    assert loaded.config is None
    (fault,) = loaded.faults
    return str(fault).removeprefix(f"{path.parent}/")


def make_directory(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_nothing(path: Path) -> None:
    """It isn't there."""


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (make_nothing, "f.toml: is not there (write it, or name another with --config)"),
        (make_directory, "f.toml: is a directory, not a file"),
        (make_pipe, "f.toml: is a named pipe, not a file"),
        (make_loop, "f.toml: is a link that leads back to itself"),
        (make_dangling, "f.toml: is a link to /nowhere/at/all, which is not there"),
        (make_device, "f.toml: is a device, not a file"),
    ],
)
def test_no_file(tmp_path: Path, make: Callable[[Path], None], expected: str) -> None:
    path = tmp_path / "f.toml"
    make(path)
    assert sentence(path) == expected


def test_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        assert sentence(path) == "f.toml: is a socket, not a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.chmod(0)
    assert sentence(path) == f"qvl.toml: can't be read by user {os.getuid()}: permission denied"


EMPTY = "f.toml: is empty: nothing is configured (a save cut short? for no pools, write a comment)"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", EMPTY),
        (b" \n\n", EMPTY),
        (b"a = \n", "f.toml:1: is not TOML: string values must be quoted, expected literal string"),
        (b"[a]\nb = 1\nb = 2\n", "f.toml:3: is not TOML: duplicate key"),
        (b'[a]\nb = "half a va', 'f.toml:2: is not TOML: invalid basic string, expected `"`'),
        (b"[a]\n[pools.qwen3-", "f.toml:2: is not TOML: unclosed table, expected `]`"),
        (b"\n\xff\xfe", "f.toml:2: is not text in UTF-8: byte 0xff at 1"),
        (GOOD.encode("utf-16"), "f.toml:1: is not text in UTF-8: byte 0xff at 0"),
        (b"a = 1\nb\0 = 1\n", "f.toml:2: is not text: it holds NUL bytes"),
        (b"\x7fELF\x02\x01\x01\0\0", "f.toml:1: is not text: it holds NUL bytes"),
        (b"#" * ((1 << 20) + 1), "f.toml: is larger than 1 MiB, which no configuration is: it was not read"),
        # Each of these ends the process where the parser gets to see it.
        (b"a = " + b"[" * 5000 + b"]" * 5000, "f.toml:1: is nested deeper than 32 levels"),
        (b"\na = " + b"{a=" * 5000 + b"1" + b"}" * 5000, "f.toml:2: is nested deeper than 32 levels"),
        (b".".join([b"a"] * 5000) + b" = 1", "f.toml:1: is nested deeper than 32 levels"),
        (b"\n\n[" + b" . ".join([b'"a"'] * 5000) + b"]", "f.toml:3: is nested deeper than 32 levels"),
    ],
)
def test_no_configuration(tmp_path: Path, content: bytes, expected: str) -> None:
    assert sentence(write(tmp_path, content, "f.toml")) == expected


def test_brackets_in_strings_are_no_nesting(tmp_path: Path) -> None:
    deep = "[" * 5000
    text = f'[profiles.standard.args]\na = "{deep}"\nb = """\n{deep}\n"""\nc = \'{deep}\' # {deep}\n'
    assert load(write(tmp_path, GOOD + text)).faults == ()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ['x = "' + '\\"=:' * 250_000, 'x = """' + '\\"""' * 200_000, "x = '''\n" + "''\n" * 300_000]
)
def test_a_string_that_is_never_closed_takes_no_time(tmp_path: Path, text: str) -> None:
    """The expressions hold the interpreter lock, and with it the whole daemon."""
    file = tmp_path / "qvl.toml"
    file.write_text(text)
    assert load(file).faults


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() + b"prot = 1\r\n"))
    assert [(fault.line, fault.key) for fault in loaded.faults] == [(8, "pools.p.prot")]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "/", "qvl.toml/x"])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    loaded = load(tmp_path / name)
    assert loaded.config is None
    assert loaded.faults


def test_comments_alone_are_a_configuration_without_pools(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, "# nothing yet\n"))
    assert loaded.faults == ()
    assert loaded.config is not None
    assert [str(warning) for warning in loaded.warnings] == [f"{tmp_path}/qvl.toml: has no pools: nothing will run"]


# ---- drop-ins


def test_drop_ins_are_merged_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    write(tmp_path, 'pools.p.port = 2\npools.p.host = "::1"\n', "qvl.d/20.toml")
    write(tmp_path, "pools.p.port = 1\n[profiles.standard.args]\ntp = 1\n", "qvl.d/10.toml")
    write(tmp_path, "nonsense", "qvl.d/.10.toml.swp")
    write(tmp_path, "nonsense", "qvl.d/.hidden.toml")
    write(tmp_path, "nonsense", "qvl.d/note.txt")
    loaded = load(path)
    assert loaded.config is not None
    assert loaded.sources == (path, tmp_path / "qvl.d/10.toml", tmp_path / "qvl.d/20.toml")
    assert (loaded.config.pools["p"].port, loaded.config.pools["p"].host) == (2, "::1")
    assert loaded.config.profiles["standard"].args == {"tp": 1}
    assert loaded.config.profiles["standard"].model == "m"


def test_a_key_remembers_its_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + "prot = 1\n")
    drop_in = write(tmp_path, "\n[pools.p]\nhost = 1\n", "qvl.d/10.toml")
    assert [(fault.file, fault.line, fault.key) for fault in load(path).faults] == [
        (path, 8, "pools.p.prot"),
        (drop_in, 3, "pools.p.host"),
    ]


def test_every_bad_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "x")
    write(tmp_path, "a = ", "qvl.d/10.toml")
    (tmp_path / "qvl.d/20.toml").symlink_to("20.toml")
    assert [fault.file.name for fault in load(path).faults] == ["qvl.toml", "10.toml", "20.toml"]


def test_an_emptied_main_file_is_refused_whatever_the_drop_ins_say(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    write(tmp_path, GOOD, "qvl.d/10.toml")
    assert load(path).config is None


def test_a_file_where_the_drop_ins_belong(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    (tmp_path / "qvl.d").write_text("")
    (fault,) = load(path).faults
    assert str(fault) == f"{tmp_path}/qvl.d: the drop-ins can't be listed: not a directory"


def test_another_name_has_other_drop_ins(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, "box.conf")
    write(tmp_path, "pools.p.port = 7\n", "box.conf.d/1.toml")
    config = load(path).config
    assert config is not None
    assert config.pools["p"].port == 7
