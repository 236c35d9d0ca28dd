"""The state directory: whole files or none, what can't be written is kept, what can't be read is put aside."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from qvl.daemon.store import VERSION, Store
from qvl.host.files import write_atomically
from qvl.model.error import ErrorCode, QvlError
from qvl.model.gpu import Gpu
from qvl.model.worker import Phase, Wanted, WorkerRecord

from tests.support import wait_until

BOOT = "boot-1"


@contextmanager
def opened(directory: Path) -> Iterator[Store]:
    store = Store(directory, BOOT)
    store.open()
    try:
        yield store
    finally:
        store.close()


def record(name: str = "chat-0", **more: object) -> WorkerRecord:
    return msgspec.structs.replace(WorkerRecord(name=name, pool="chat", wanted=Wanted.UP), **more)


@contextmanager
def full_disk() -> Iterator[None]:
    """Files can't grow: the kernel's EFBIG takes the place of ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


# ---- the lock


def test_a_second_daemon_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(QvlError) as refusal:
        Store(tmp_path, BOOT).open()
    assert refusal.value.code is ErrorCode.CONFLICT
    assert f"pid {os.getpid()} " in refusal.value.message
    assert refusal.value.hint


def test_the_lock_goes_with_its_process_and_not_with_its_children(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path; from qvl.daemon.store import Store;"
        "Store(Path(sys.argv[1]), 'b').open(); subprocess.Popen(['sleep', '5'], close_fds=False);"
        "print('open', flush=True); sys.stdin.read()"
    )
    daemon = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"open\n"
        with pytest.raises(QvlError, match=f"pid {daemon.pid} "):
            Store(tmp_path, BOOT).open()
        daemon.kill()
    with opened(tmp_path):
        assert int((tmp_path / "daemon.lock").read_text()) == os.getpid()


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QvlError) as refusal:
        Store(tmp_path / "file" / "state", BOOT).open()
    assert str(tmp_path / "file" / "state") in refusal.value.message


# ---- records


def test_records_come_back_with_the_boot_that_their_times_are_of(tmp_path: Path) -> None:
    saved = record(phase=Phase.RUNNING, generation=3, ends=(1.5, 2.5), reason="\u00fc\u2028")
    with opened(tmp_path) as store:
        store.save_record(saved, durable=True)
        store.save_record(record("chat-1"))
        store.save_pools({"chat": Wanted.DOWN})
        store.save_startups({"standard": {"weights": 1.5}})
        store.save_cards((Gpu(0, "GPU-0", "a card", 1),))
    with opened(tmp_path) as store:
        found = store.load_records()
        assert sorted(found) == ["chat-0", "chat-1"]
        assert (found["chat-0"].boot_id, found["chat-0"].record) == (BOOT, saved)
        assert store.load_pools() == {"chat": Wanted.DOWN}
        assert store.load_startups() == {"standard": {"weights": 1.5}}
        assert store.load_cards() == (Gpu(0, "GPU-0", "a card", 1),)
        store.forget("chat-0")
        assert sorted(store.load_records()) == ["chat-1"]
    assert (tmp_path / "workers" / "chat-1" / "record.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "workers" / "chat-1").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"version": 1}', b'{"version": "x", "boot_id": "b", "record": {}}', b"null"],
)
def test_what_can_not_be_read_is_put_aside_and_the_rest_is_read(tmp_path: Path, content: bytes) -> None:
    with opened(tmp_path) as store:
        store.save_record(record("chat-0"))
        store.save_record(record("chat-1"))
        (tmp_path / "workers" / "chat-0" / "record.json").write_bytes(content)
        (tmp_path / "pools.json").write_bytes(content)
        assert sorted(store.load_records()) == ["chat-1"]
        assert store.load_pools() == {}
        assert sorted(store.bundles()) == ["chat-0", "chat-1"]
    assert (tmp_path / "workers" / "chat-0" / "record.json.bad").read_bytes() == content


def test_a_record_of_a_newer_version_is_put_aside_with_its_version(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as store:
        store.save_record(record())
        file = tmp_path / "workers" / "chat-0" / "record.json"
        newer = msgspec.json.decode(file.read_bytes())
        file.write_bytes(msgspec.json.encode({**newer, "version": VERSION + 1}))
        assert store.load_records() == {}
    assert f"it is of version {VERSION + 1}" in caplog.text
    assert file.with_name("record.json.bad").exists()


def test_fields_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.save_record(record())
        file = tmp_path / "workers" / "chat-0" / "record.json"
        known = msgspec.json.decode(file.read_bytes())
        file.write_bytes(msgspec.json.encode({**known, "new": 1, "record": {**known["record"], "new": [1]}}))
        assert store.load_records()["chat-0"].record == record()


def test_what_others_put_beside_the_bundles_is_none_of_ours(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.save_record(record())
        (tmp_path / "workers" / "notes.txt").touch()
        shutil.copytree(tmp_path / "workers" / "chat-0", tmp_path / "workers" / "chat-0.bak")
        assert sorted(store.load_records()) == ["chat-0"]
        assert store.bundles() == ["chat-0", "chat-0.bak"]


# ---- disks


def test_a_full_disk_keeps_what_was_there_and_what_could_not_be_written(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.save_record(record(generation=1))
        before = files(tmp_path)
        with full_disk():
            store.save_record(record(generation=2))
            store.save_record(record(generation=3))
            store.save_record(record("chat-1"))
            store.retry()
            assert store.trouble is not None
        assert files(tmp_path) - before == set()  # no half of a file stays
        assert store.load_records()["chat-0"].record.generation == 1
        store.retry()
        assert store.trouble is None
        assert store.load_records()["chat-0"].record.generation == 3
        assert "chat-1" in store.load_records()


def test_what_is_forgotten_meanwhile_is_not_written_later(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with full_disk():
            store.save_record(record())
        store.forget("chat-0")
        store.retry()
        assert store.bundles() == []


def test_a_bundle_that_somebody_removed_is_made_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.save_record(record())
        shutil.rmtree(tmp_path / "workers")
        assert store.bundles() == []
        store.save_record(record(generation=2))
        assert store.load_records()["chat-0"].record.generation == 2


def test_a_reader_sees_one_whole_version_or_another(tmp_path: Path) -> None:
    file = tmp_path / "document"
    contents = [bytes([65 + i]) * 50_000 for i in range(2)]
    write_atomically(file, contents[0])
    program = (
        "import sys; from pathlib import Path; from qvl.host.files import write_atomically\n"
        "while True:\n"
        "    for letter in b'BA':\n"
        "        write_atomically(Path(sys.argv[1]), bytes([letter]) * 50_000)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(file)])
    try:
        wait_until(lambda: file.read_bytes() == contents[1], what="a version of the writer")
        assert {file.read_bytes() for _ in range(2000)} <= set(contents)
    finally:
        writer.kill()
        writer.wait()
