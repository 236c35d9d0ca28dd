"""record, and what it says of a recording, against the real API with scripted data."""

import json
import resource
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import pytest
from qvl.api.control import LogSource
from qvl.model.error import QvlError
from qvl.model.event import Change, Severity
from qvl.recording.reader import Recording
from qvl.recording.records import Document, Key, Log, Opening, Record, Told
from qvl.recording.writer import Writer
from qvl.shim.logfile import segment_name

from tests.cli.run import Qvlctl, environment, program
from tests.fakes import Served
from tests.recording.scripts import START, night, record
from tests.support import wait_until


def records(path: Path) -> list[Record]:
    """What is in it so far; nothing before its first line is there."""
    try:
        recording = Recording(path)
    except QvlError:
        return []
    return [each for index in range(len(recording.blocks)) for each in recording.records(index)]


def told(path: Path) -> list[dict[str, object]]:
    return [json.loads(bytes(each.frame)) for each in records(path) if isinstance(each, Told)]


def test_it_records_until_its_time_is_over(qvlctl: Qvlctl, daemon: Served, tmp_path: Path) -> None:
    path = tmp_path / "r.qvlrec"

    def happen() -> None:
        wait_until(lambda: records(path), 20, "the recording begins")
        daemon.call(
            lambda: daemon.control.publish("worker.exit", "ended: hang", severity=Severity.WARNING, worker="chat-0")
        )
        daemon.call(lambda: daemon.control.journal.change(Change(datetime.now(UTC), gpus=())))

    thread = threading.Thread(target=happen)
    thread.start()
    ran = qvlctl("record", str(path), "--for", "2s", "--interval", "100ms")
    thread.join(20)
    assert ran.code == 0
    assert ran.out == ""
    assert f"recording into {path} for 2s\n" in ran.err
    assert "1 event, " in ran.err
    assert f"qvlctl tui --replay {path}" in ran.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kinds = [frame["type"] for frame in told(path)]
    assert kinds[:4] == ["snapshot", "event", "event", "event"]
    assert [frame["message"] for frame in told(path) if frame["type"] == "event"][-1] == "ended: hang"
    assert "change" in kinds
    recording = Recording(path)
    assert recording.ended
    documents = [each.target for each in recording.records(0) if isinstance(each, Document)]
    assert {"/v1/whoami", "/v1/version", "/v1/profiles", "/v1/history"} <= set(documents)
    assert "/v1/workers/qwen3-vl-0/resolved" in documents

    document = qvlctl("record", "--info", str(path), "--json").json
    assert document["events"] == 1
    assert document["exits"] == 1
    assert document["complete"] is True
    assert document["logs"] is False


def test_what_is_there_is_not_overwritten(qvlctl: Qvlctl, tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("precious")
    ran = qvlctl("record", str(path), "--for", "0.1s")
    assert ran.code == 1
    assert f"error: {path} is there already\nhint: record to another file, or replace it with --force\n" in ran.err
    assert path.read_text() == "precious"
    assert qvlctl("record", str(path), "--for", "0.5s", "--force").code == 0
    assert Recording(path).ended


def test_without_a_daemon_there_is_nothing_to_record(lonely: Qvlctl, tmp_path: Path) -> None:
    ran = lonely("record", str(tmp_path / "r"))
    assert ran.code == 3
    assert "no daemon is running" in ran.err
    assert not (tmp_path / "r").exists()


def test_a_recording_that_never_began_leaves_no_file(qvlctl: Qvlctl, tmp_path: Path) -> None:
    ran = qvlctl("record", str(tmp_path / "r"), "--for", "0.000001s")
    assert ran.code == 3
    assert "error: nothing was recorded: the daemon said nothing in that time\n" in ran.err
    assert "--replay" not in ran.err
    assert not (tmp_path / "r").exists()


def test_a_viewer_may_record(daemon: Served, lonely: Qvlctl, tmp_path: Path) -> None:
    assert lonely("--socket", str(daemon.view), "record", str(tmp_path / "r"), "--for", "1s").code == 0
    assert told(tmp_path / "r")[0]["type"] == "snapshot"


def test_info(lonely: Qvlctl, tmp_path: Path) -> None:
    path = record(tmp_path / "r", night(), whole=False)
    ran = lonely("record", "--info", str(path))
    assert ran.code == 0
    begin = datetime.fromtimestamp(START / 1000, UTC).astimezone()
    assert f"from     {begin:%Y-%m-%d %H:%M:%S}\n" in ran.out
    assert "workers  qwen3-vl-0, qwen3-vl-1\n" in ran.out
    assert "events   4, among them 1 unrequested end\n" in ran.out
    assert "logs     not recorded\n" in ran.out
    assert "it has no end: it was cut off, or is still being recorded" in ran.err
    document = lonely("record", "--info", str(path), "--json").json
    assert document["from"] == "2026-03-04T12:03:11.000+00:00"
    assert document["workers"] == ["qwen3-vl-0", "qwen3-vl-1"]
    assert document["complete"] is False


def test_info_of_what_is_no_recording(lonely: Qvlctl, tmp_path: Path) -> None:
    (tmp_path / "r").write_text("hello")
    ran = lonely("record", "--info", str(tmp_path / "r"))
    assert ran.code == 1
    assert f"error: {tmp_path / 'r'} is no recording\nhint: name a file that `qvlctl record` made\n" in ran.err


def test_info_of_a_file_from_anywhere_steers_no_terminal(lonely: Qvlctl, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r")
    writer.begin(START)
    writer.write(Opening(1, START, "\x1b[2Jhost", "\x07", 2.0, False))
    writer.write(Key(START, START, msgspec.Raw(b'{"status": {"workers": [{"name": "\\u001b]0;w"}]}}')))
    writer.close()
    ran = lonely("record", "--info", str(tmp_path / "r"))
    assert (ran.code, "?[2Jhost" in ran.out, "workers  ?]0;w" in ran.out) == (0, True, True)
    assert not any(char in ran.out for char in "\x1b\x07")


@pytest.mark.parametrize("snapshot", [b"4", b'{"status": 4}', b'{"status": {"workers": [4]}}', b'"\xff"'])
def test_info_of_one_whose_pictures_make_no_sense(lonely: Qvlctl, tmp_path: Path, snapshot: bytes) -> None:
    writer = Writer(tmp_path / "r")
    writer.begin(START)
    writer.write(Opening(1, START, "h", "1", 2.0, False))
    writer.write(Key(START, START, msgspec.Raw(snapshot)))
    writer.close()
    ran = lonely("record", "--info", str(tmp_path / "r"))
    assert (ran.code, "workers  none\n" in ran.out) == (0, True)


@contextmanager
def recorder(
    daemon: Served, *words: str, limit: int | None = None, nohup: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """`limit`: bytes that its files may have, as on a disk that gets full."""

    def prepare() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen(
        program("--socket", str(daemon.socket), "record", *words),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_full_disk_is_told_and_what_is_there_stays(daemon: Served, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "r"
    with recorder(daemon, str(path), "--for", "60s", limit=5000) as process:
        wait_until(path.exists, 20, "the file")

        def flood() -> None:
            for number in range(200):
                daemon.control.publish("worker.phase", f"{number} {hash(str(number))}" * 5)

        def ended() -> bool:
            daemon.call(flood)
            return process.poll() is not None

        wait_until(ended, 20, "the recorder ends")
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 1
    assert f"error: {path} can't be written any further: File too large" in said
    assert f"hint: what is there can be replayed: qvlctl tui --replay {path}" in said
    assert path.stat().st_size == 5000
    assert told(path)[0]["type"] == "snapshot"
    assert len(told(path)) > 3
    assert not Recording(path).ended


def test_it_ends_well_when_it_is_told_to_end(daemon: Served, home: Path, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        path = tmp_path / f"r{number}"
        with recorder(daemon, str(path)) as process:
            wait_until(partial(records, path), 20, "the recording begins")
            process.send_signal(number)
            assert process.wait(20) == 0
        assert Recording(path).ended


def test_under_nohup_it_outlives_the_terminal(daemon: Served, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "r"
    with recorder(daemon, str(path), nohup=True) as process:
        wait_until(partial(records, path), 20, "the recording begins")
        process.send_signal(signal.SIGHUP)
        for word in ("one", "two", "three"):  # more rounds than it takes to end
            daemon.call(partial(daemon.control.publish, "worker.phase", word))

            def written(word: str = word) -> bool:
                return any(frame.get("message") == word for frame in told(path))

            wait_until(written, 20, f"{word} is recorded")
        process.terminate()
        assert process.wait(20) == 0


def test_killed_it_leaves_what_was_recorded(daemon: Served, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "r"
    with recorder(daemon, str(path)) as process:
        wait_until(lambda: records(path), 20, "the recording begins")
        daemon.call(lambda: daemon.control.publish("worker.phase", "the last word"))

        def written() -> bool:
            return any(frame.get("message") == "the last word" for frame in told(path))

        wait_until(written, 20, "the event is on its way to the disk")
        process.kill()
        assert process.wait(20) == -signal.SIGKILL
    assert written()
    assert not Recording(path).ended


def test_logs_are_recorded_from_now_on(daemon: Served, home: Path, tmp_path: Path) -> None:
    logs = tmp_path / "log"
    logs.mkdir()
    current = logs / segment_name(0)
    current.write_bytes(b"of before\n")
    daemon.call(lambda: daemon.control.logs.update({"qwen3-vl-1": LogSource(logs, lambda: ())}))
    path = tmp_path / "r"
    with recorder(daemon, str(path), "--logs") as process:
        wait_until(lambda: records(path), 20, "the recording begins")

        def found() -> bytes:
            with current.open("ab") as file:
                file.write(b"Decode batch\n")
            logged = [each for each in records(path) if isinstance(each, Log)]
            return b"".join(each.data for each in logged if each.worker == "qwen3-vl-1")

        wait_until(lambda: found().count(b"\n") > 2, 20, "lines of the log")
        process.terminate()
        process.wait(20)
    assert b"of before" not in found()
    assert set(found().splitlines()) == {b"Decode batch"}


def test_a_recording_of_a_newer_version(lonely: Qvlctl, tmp_path: Path) -> None:
    writer = Writer(tmp_path / "r")
    writer.begin(START)
    writer.write(msgspec.structs.replace(Opening(1, START, "h", "7.0", 2.0, False), version=3))
    writer.close()
    ran = lonely("record", "--info", str(tmp_path / "r"))
    assert "was made by a newer qvl: it has version 3, this one reads 1" in ran.err


@pytest.mark.parametrize("words", [["--for", "soon"], ["--for", "0s"], ["--interval", "x"], []])
def test_wrong_usage(lonely: Qvlctl, tmp_path: Path, words: list[str]) -> None:
    assert lonely("record", *words, *([str(tmp_path / "r")] if words else [])).code == 2
