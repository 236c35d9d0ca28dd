"""From the bootstrap line to the answer: what a worker is started with, and what is said when it cannot be."""

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from qvl.shim import client, logread, proc, wire
from qvl.shim.client import ShimError
from qvl.shim.records import Gone

from tests.shim.harness import Bench, python, shell
from tests.support import wait_until

ABOUT_ITSELF = """
import json, os, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgrp(), "cwd": os.getcwd(), "env": dict(os.environ),
    "fds": [fd for fd in range(256) if os.path.exists(f"/proc/self/fd/{fd}")], "stdin": os.readlink("/proc/self/fd/0"),
    "blocked": int(status["SigBlk"], 16), "ignored": int(status["SigIgn"], 16), "umask": int(status["Umask"], 8),
    "args": [os.fsencode(arg).hex() for arg in sys.argv[1:]],
}))
"""


def test_answer_and_record_name_the_living_processes(bench: Bench) -> None:
    answer = bench.start(bench.bootstrap(*shell("exec sleep 60"), generation=7))
    assert proc.is_alive(answer.pid, answer.pid_start)
    assert proc.is_alive(answer.shim_pid, answer.shim_start)
    assert answer.boot_id == proc.boot_id()
    assert answer.log_offset == 0
    record = client.read_record(bench.bundle)
    assert record is not None
    assert (record.worker, record.generation) == ("chat-0", 7)
    assert {**msgspec.structs.asdict(answer), "worker": "chat-0", "generation": 7} == msgspec.structs.asdict(record)


def test_the_shim_is_named_and_stands_apart(bench: Bench) -> None:
    answer = bench.start(bench.bootstrap(*shell("exec sleep 60")))
    shim = proc.read(answer.shim_pid)
    assert shim is not None
    assert shim.comm == "qvl-shim"
    assert os.getsid(answer.shim_pid) == answer.shim_pid
    for name in (wire.SOCKET_NAME, wire.RECORD_NAME, wire.ERROR_NAME):
        assert stat.S_IMODE((bench.bundle / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.log_dir.stat().st_mode) == 0o750
    assert stat.S_IMODE((bench.log_dir / "current.log").stat().st_mode) == 0o640
    assert stat.S_IMODE((bench.log_dir / wire.RUNS_NAME).stat().st_mode) == 0o640


def test_the_worker_begins_with_a_clean_process(bench: Bench) -> None:
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)  # as a library of the daemon may leave it
    try:
        env = {"GREETING": "grüß", "PATH": "/usr/bin:/bin"}
        answer = bench.start(bench.bootstrap(*python(ABOUT_ITSELF, "a b", "\udcff"), env=env, cwd=bench.root))
    finally:
        os.close(inherited)
    bench.wait_gone()
    told = json.loads(bench.log())
    umask = os.umask(0)
    os.umask(umask)
    assert told["pid"] == told["session"] == told["group"] == answer.pid
    assert told["fds"] == [0, 1, 2]
    assert told["stdin"] == "/dev/null"
    assert told["blocked"] == 0
    # The worker here is Python itself, which ignores these two when it starts; 32 and 33 belong to the C library.
    ours = (1 << 31) - 1
    assert told["ignored"] & ours == 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    assert told["umask"] == umask
    assert told["cwd"] == str(bench.root)
    told["env"].pop("LC_CTYPE", None)  # Python sets it for itself where no locale is given (PEP 538)
    assert told["env"] == env
    assert told["args"] == [b"a b".hex(), b"\xff".hex()]


@pytest.mark.parametrize(
    ("program", "number", "words"),
    [
        ("no-such-program", errno.ENOENT, "there is no such program in PATH"),
        ("./absent", errno.ENOENT, "no such file or directory"),
        ("./plain", errno.EACCES, "permission denied"),
        ("./orphan", errno.ENOENT, "the interpreter named in its first line does not exist"),
        ("./broken", errno.ENOEXEC, "exec format error"),
        ("zero\0byte", errno.EINVAL, "invalid argument"),
    ],
)
def test_a_program_that_cannot_run_is_explained(bench: Bench, program: str, number: int, words: str) -> None:
    (bench.root / "plain").write_text("#!/bin/sh\n")
    (bench.root / "orphan").write_text("#!/no/such/interpreter\n")
    (bench.root / "orphan").chmod(0o755)
    (bench.root / "broken").write_bytes(b"\x7fELF of another world")
    (bench.root / "broken").chmod(0o755)
    with pytest.raises(ShimError, match=words) as caught:
        bench.start(bench.bootstrap(program))
    assert caught.value.errno == number
    assert not (bench.bundle / wire.RECORD_NAME).exists()
    wait_until(lambda: not (bench.bundle / wire.SOCKET_NAME).exists(), what="the socket's removal")


def test_a_missing_directory_is_explained(bench: Bench) -> None:
    with pytest.raises(ShimError, match="cannot start in /no/such/place: no such file"):
        bench.start(bench.bootstrap(*shell("true"), cwd=Path("/no/such/place")))


def test_an_empty_command_line_is_refused(bench: Bench) -> None:
    with pytest.raises(ShimError, match="the command line is empty"):
        bench.start(bench.bootstrap())


def test_an_interpreter_that_does_not_exist_is_explained(bench: Bench) -> None:
    with pytest.raises(ShimError, match="cannot run /no/python for the shim") as caught:
        asyncio.run(bench.launch(bench.bootstrap(*shell("true")), python="/no/python"))
    assert caught.value.errno == errno.ENOENT


def test_a_shim_that_dies_mute_is_explained(bench: Bench) -> None:
    with pytest.raises(ShimError, match=r"ended without an answer; see .*shim\.err"):
        asyncio.run(bench.launch(bench.bootstrap(*shell("true")), python="/bin/false"))


def test_a_shim_that_hangs_is_not_waited_for(bench: Bench) -> None:
    mute = bench.root / "mute"
    mute.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    mute.chmod(0o755)
    with pytest.raises(ShimError, match=r"did not answer within 0\.2 s"):
        asyncio.run(bench.launch(bench.bootstrap(*shell("true")), python=str(mute), timeout=0.2))


def test_a_worker_that_nobody_waits_for_is_ended(bench: Bench) -> None:
    """The daemon may time out while the worker is being started; then it believes that none runs."""
    reader, writer = os.pipe()
    os.close(reader)
    root = str(Path(client.__file__).parents[2])
    program = f"import sys; sys.path.append({root!r}); from qvl.shim.main import main; main()"
    order = msgspec.structs.asdict(bench.bootstrap(*shell("exec sleep 60")))
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], input=wire.encode(order), stdout=writer, timeout=20, check=True
    )
    os.close(writer)
    record = client.read_exit(bench.bundle)
    assert record is not None
    assert (record.signal, record.gone) == (signal.SIGKILL, True)


def test_a_second_shim_leaves_the_first_alone(bench: Bench) -> None:
    first = bench.start(bench.bootstrap(*shell("printf unfinished; exec sleep 60")))
    wait_until(lambda: bench.log() == b"unfinished", what="output")
    with pytest.raises(ShimError, match="another shim already serves"):
        bench.start(bench.bootstrap(*shell("exec sleep 60"), generation=2))
    record = client.read_record(bench.bundle)
    assert record is not None
    assert (record.generation, record.shim_pid) == (1, first.shim_pid)
    assert proc.is_alive(first.pid, first.pid_start)
    assert bench.log() == b"unfinished"


def test_the_next_shim_may_start_as_soon_as_the_last_one_is_heard_to_end(bench: Bench) -> None:
    async def scenario() -> None:
        for generation in range(1, 11):
            await bench.launch(bench.bootstrap(*shell(f"echo {generation}; exec sleep 60"), generation=generation))
            link = await client.attach(bench.bundle)
            await link.kill()
            async for push in link.messages():
                if isinstance(push, Gone):
                    break
            record = client.read_exit(bench.bundle)
            assert record is not None
            assert (record.generation, record.gone) == (generation, True)
        await link.close()

    asyncio.run(scenario())
    assert [run.generation for run in logread.runs(bench.log_dir)] == list(range(1, 11))


def test_a_bundle_may_lie_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    bench = Bench(deep)

    async def scenario() -> None:
        answer = await bench.launch(bench.bootstrap(*shell("exec sleep 60")))
        link = await client.attach(bench.bundle)
        assert [process.pid for process in await link.tree()] == [answer.pid]
        await link.close()

    try:
        asyncio.run(scenario())
    finally:
        bench.clean()


def test_secrets_are_not_among_what_the_shim_shows(bench: Bench) -> None:
    answer = bench.start(bench.bootstrap(*shell("exec sleep 60"), secrets=("sk-very-secret",)))
    for name in ("cmdline", "environ"):
        assert b"sk-very-secret" not in Path(f"/proc/{answer.shim_pid}/{name}").read_bytes()
    for path in bench.bundle.iterdir():
        assert path.is_socket() or b"sk-very-secret" not in path.read_bytes()


def test_a_shim_fits_its_budget(bench: Bench) -> None:
    subprocess.run([sys.executable, "-c", "import qvl.shim.main"], check=True)  # what an installation has compiled
    answer = bench.start(bench.bootstrap(*shell("yes | head -c 20000000; exec sleep 60"), secrets=("sk-very-secret",)))
    wait_until(lambda: logread.end(bench.log_dir) == 20_000_000, what="the end of the output", timeout=20)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{answer.shim_pid}/status").read_text().splitlines())
    assert int(status["VmHWM"].split()[0]) < 12 * 1024


def test_a_shim_imports_nothing_after_its_answer(bench: Bench) -> None:
    """The environment may be replaced under it: hence it runs here from a copy that is deleted at once."""
    copy = bench.root / "installed"
    source = Path(client.__file__).parents[1]
    (copy / "qvl" / "shim").mkdir(parents=True)
    (copy / "qvl" / "__init__.py").write_bytes((source / "__init__.py").read_bytes())
    for module in (source / "shim").glob("*.py"):
        (copy / "qvl" / "shim" / module.name).write_bytes(module.read_bytes())
    program = f"import sys; sys.path.append({str(copy)!r}); from qvl.shim.main import main; main()"
    script = "echo secret sk-very-secret; (setsid sleep 60 &); read line < go; echo done; exit 3"
    os.mkfifo(bench.root / "go")
    order = msgspec.structs.asdict(bench.bootstrap(*shell(script), max_size=20, keep=9, secrets=("sk-very-secret",)))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as shim:
        assert shim.stdin is not None
        assert shim.stdout is not None
        shim.stdin.write(wire.encode(order))
        shim.stdin.flush()
        assert wire.decode(shim.stdout.readline())["ok"] is True
        copy.rename(bench.root / "elsewhere")

        async def talk() -> None:
            link = await client.attach(bench.bundle)
            assert await link.tree()
            await link.close()

        asyncio.run(talk())
        (bench.root / "go").write_text("go\n")
        assert shim.wait(20) == 0
    record = client.read_exit(bench.bundle)
    assert record is not None
    assert (record.code, record.gone) == (3, True)
    assert bench.log() == b"secret [redacted]\ndone\n"
