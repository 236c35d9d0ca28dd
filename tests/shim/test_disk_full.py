"""A disk without room costs output, which is counted and told; it blocks no worker and ends no shim."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SMALL_DISK = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=512k none "$1" && shift && exec "$@"', "sh")

# The worker fills the disk, then says a word for each that it is told. All of it runs inside the small disk's mounts.
SCENARIO = """
import asyncio, json, os, pathlib, sys
from qvl.shim import client, logread, proc
from qvl.shim.records import Bootstrap, Gone, Lost

root = pathlib.Path(sys.argv[1])
bundle, logs = root / "bundle", root / "log"
bundle.mkdir(0o700)
os.mkfifo(root / "go")
(root / "ballast").write_bytes(b"x" * 200_000)
WORKER = '''
import os
for _ in range(100):
    os.write(1, b"x" * 9_999 + b"\\\\n")
open("go").read()
print("after", flush=True)
'''

async def main():
    argv = [sys.executable, "-I", "-S", "-c", WORKER]
    answer = await client.launch(Bootstrap(worker="chat-0", generation=1, bundle=str(bundle), argv=argv, env={},
        cwd=str(root), log_dir=str(logs), max_size=10**9, keep=5))
    link = await client.attach(bundle)
    seen = []
    async for push in link.messages():
        seen.append(push)
        if isinstance(push, Lost) and logread.end(logs) + push.lost_bytes >= 1_000_000:
            break
    lost = (await link.refresh()).lost_bytes
    (root / "ballast").unlink()
    for _ in range(1000):
        if b"were lost" in logread.read_at(logs, logread.end(logs) - 100, 100)[1]:
            break
        await asyncio.sleep(0.02)
    (root / "go").write_text("go")
    rest = [push async for push in link.messages()]
    await link.close()
    while proc.is_alive(answer.shim_pid, answer.shim_start):
        await asyncio.sleep(0.02)
    record = client.read_exit(bundle)
    print(json.dumps({"lost": lost, "record": [record.code, record.gone, record.lost_bytes, record.log_end],
        "last": isinstance(rest[-1], Gone), "tail": logread.tail_lines(logs, 2)[1][0].decode(),
        "end": logread.tail_lines(logs, 1)[1][0].decode(), "logged": logread.end(logs)}))

asyncio.run(main())
"""


def on_a_small_disk(where: Path, script: str) -> dict[str, object]:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1)")
    where.mkdir()
    if subprocess.run([*SMALL_DISK, str(where), "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a small disk here")
    command = [*SMALL_DISK, str(where), sys.executable, "-c", script, str(where)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_a_full_disk_is_survived_and_told(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path / "disk", SCENARIO)
    lost = told["lost"]
    assert isinstance(lost, int)
    assert lost > 500_000
    assert told["tail"] == f"[qvl] {lost} bytes of output were lost: No space left on device"
    assert told["end"] == "after"
    assert told["record"] == [0, True, lost, told["logged"]]
    assert told["last"] is True


# The disk is full before the worker ends and stays so: the record of its end has to wait.
PATIENCE = """
import asyncio, json, os, pathlib, sys
from qvl.shim import client, proc
from qvl.shim.records import Bootstrap, Gone

root = pathlib.Path(sys.argv[1])
bundle = root / "bundle"
bundle.mkdir(0o700)
os.mkfifo(root / "go")

def fill():
    with open(root / "ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass

async def main():
    answer = await client.launch(Bootstrap(worker="chat-0", generation=1, bundle=str(bundle),
        argv=["/bin/sh", "-c", "read word < go; exit 3"], env={}, cwd=str(root), log_dir=str(root / "log"),
        max_size=10**9, keep=5))
    link = await client.attach(bundle)
    fill()
    (root / "go").write_text("go")
    async for push in link.messages():
        if isinstance(push, Gone):
            break
    during = [client.read_exit(bundle) is None, (await link.refresh()).gone, (await link.refresh()).exited.code]
    (root / "ballast").unlink()
    assert [push async for push in link.messages()] == []
    await link.close()
    while proc.is_alive(answer.shim_pid, answer.shim_start):
        await asyncio.sleep(0.02)
    record = client.read_exit(bundle)
    print(json.dumps({"during": during, "after": [record.code, record.gone], "left": sorted(os.listdir(bundle))}))

asyncio.run(main())
"""


# As before, but the worker's next shim starts while the first one still waits for room.
SUCCESSION = PATIENCE.replace(
    """    (root / "ballast").unlink()
""",
    """    second = await client.launch(Bootstrap(worker="chat-0", generation=2, bundle=str(bundle),
        argv=["/bin/sh", "-c", "read word < go; exit 4"], env={}, cwd=str(root), log_dir=str(root / "log"),
        max_size=10**9, keep=5))
    while proc.is_alive(answer.shim_pid, answer.shim_start):
        await asyncio.sleep(0.02)
    answer = second
    (root / "ballast").unlink()
    (root / "go").write_text("go")
""",
)


def test_the_record_of_an_end_waits_for_room(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path / "disk", PATIENCE)
    assert told == {"during": [True, True, 3], "after": [3, True], "left": ["exit.json", "shim.err", "shim.json"]}


def test_the_next_shim_need_not_wait_for_room(tmp_path: Path) -> None:
    told = on_a_small_disk(tmp_path / "disk", SUCCESSION)
    assert told["after"] == [4, True]
