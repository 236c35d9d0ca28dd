"""A recording of a real daemon and its workers, over a crash of the daemon."""

import json
import subprocess
from pathlib import Path
from typing import Any

from qvl.model.error import QvlError
from qvl.recording.block import Mark
from qvl.recording.reader import Recording
from qvl.recording.records import Away, Log, Record, Told

from tests.blackbox.harness import Daemon, args
from tests.cli.run import environment, program
from tests.support import wait_until


def records(path: Path) -> list[Record]:
    try:
        recording = Recording(path)
    except QvlError:
        return []
    return [each for index in range(len(recording.blocks)) for each in recording.records(index)]


def frames(path: Path) -> list[dict[str, Any]]:
    return [json.loads(bytes(each.frame)) for each in records(path) if isinstance(each, Told)]


def test_it_goes_on_over_a_crash_of_the_daemon_and_loses_no_event(tmp_path: Path) -> None:
    path = tmp_path / "r.qvlrec"
    with Daemon(tmp_path, args(sim_log_rate=20)) as daemon:
        daemon.start().ready()
        words = program("--socket", str(daemon.socket), "record", str(path), "--logs", "--interval", "200ms")
        with subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, text=True) as recorder:
            try:
                wait_until(lambda: any(isinstance(each, Log) for each in records(path)), 20, "the log is recorded")
                daemon.kill()
                wait_until(lambda: any(isinstance(each, Away) for each in records(path)), 20, "the loss is recorded")
                daemon.start()
                daemon.client.act("restart", "chat-0", pool=False)
                daemon.ready(not_pid=None)

                def back() -> bool:
                    seen = [frame for frame in frames(path) if frame["type"] == "event"]
                    return any(event["kind"] == "worker.exit" for event in seen) and seen[-1]["kind"] == "worker.phase"

                wait_until(back, 20, "the restart is recorded")
                recorder.terminate()
                assert recorder.wait(20) == 0
                assert recorder.stderr is not None
                said = recorder.stderr.read()
            finally:
                recorder.kill()
        events = daemon.events()
    recording = Recording(path)
    assert recording.ended
    assert any(mark & Mark.AWAY for block in recording.blocks for mark in block.summary.marks)
    assert "waiting for it to come back" in said
    assert "the daemon is back" in said

    told = [frame for frame in frames(path) if frame["type"] == "event"]
    seqs = [event["seq"] for event in told]
    assert seqs == [*range(seqs[0], seqs[-1] + 1)]
    assert told == [event for event in events if event["seq"] <= seqs[-1]]
    kinds = [json.loads(bytes(each.frame))["type"] if isinstance(each, Told) else "" for each in records(path)]
    assert kinds.count("snapshot") == 2

    logged = [each for each in records(path) if isinstance(each, Log) and each.worker == "chat-0"]
    ends = [each.offset + len(each.data) for each in logged]
    assert [each.offset for each in logged[1:]] == ends[:-1]
