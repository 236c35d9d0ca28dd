"""What a start prepares, by the real launcher, shim and drivers: environment, secrets, places, ports, refusals."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from qvl.daemon.gpus import GpuMonitor
from qvl.daemon.groups import Groups
from qvl.daemon.launcher import TMPDIR_LIMIT, Launcher, environment, no_start, read_secrets
from qvl.engines.base import Command
from qvl.engines.catalog import drivers
from qvl.gpus.simulated import SimulatedGpus
from qvl.model.spec import Engine, EngineKind, Launch, WorkerSpec
from qvl.model.worker import Cause, Exit, Process
from qvl.shim import proc

from tests.support import wait_until


def command_line(program: str, **more: object) -> WorkerSpec:
    """A worker that is the shell script `program`."""
    engine = Engine("own", EngineKind.COMMAND, command=("/bin/sh", "-c", program))
    launch = msgspec.structs.replace(Launch(engine=engine, port=18000, model="the-model", gpus=(1,)), **more)
    return WorkerSpec(name="chat-0", pool="chat", index=0, profile="own", launch=launch)


class Place:
    """A launcher with two simulated cards, in directories of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundle = root / "workers" / "chat-0"
        self.bundle.mkdir(parents=True, mode=0o700)
        (root / "gpus").mkdir()
        self.secrets = root / "secrets"
        self.gpus = GpuMonitor(SimulatedGpus(2, root / "gpus"))
        self.launcher = Launcher(drivers(), self.gpus, root / "log", self.secrets, root / "gpus", Groups(None))

    async def start(self, spec: WorkerSpec, taken: tuple[int, ...] = ()) -> Process | Exit:
        return await self.launcher.start(spec, 1, self.bundle, taken)


@asynccontextmanager
async def place(root: Path) -> AsyncIterator[Place]:
    here = Place(root)
    await here.gpus.open()
    try:
        yield here
    finally:
        here.gpus.close()


async def run(here: Place, spec: WorkerSpec) -> Process:
    """Start a worker that ends by itself, and wait until its shim has gone too."""
    process = await here.start(spec)
    assert isinstance(process, Process), process
    await asyncio.to_thread(wait_until, lambda: not proc.is_alive(process.shim_pid, process.shim_start), 10, "its end")
    return process


def test_the_environment_is_the_daemons_then_the_engines_the_secret_and_the_profiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL", "daemon")
    monkeypatch.setenv("INHERITED", "daemon")
    monkeypatch.setenv("QVL_STATE_DIR", "/elsewhere")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/shared")
    engine = Engine("sglang", EngineKind.SGLANG, env={"ALL": "engine", "ENGINE": "engine", "SECRET": "engine"})
    launch = Launch(engine=engine, env={"ALL": "profile", "SGLANG_X": "profile"})
    ours = {"TMPDIR": "/tmp/ours", "SGLANG_X": "qvl", "SGLANG_Y": "qvl", "PATH": "/engine/bin"}
    made = environment(
        launch, Command((), ours, ("PROMETHEUS_MULTIPROC_DIR",)), {"SECRET": "secret", "ALL": "secret", "ENGINE": "x"}
    )
    assert made["ALL"] == "profile"
    assert made["SECRET"] == "secret"
    assert made["ENGINE"] == "x"
    assert made["INHERITED"] == "daemon"
    assert made["SGLANG_X"] == "profile"  # a default of ours gives way
    assert made["SGLANG_Y"] == "qvl"
    assert made["PATH"] == "/engine/bin"
    assert not {"QVL_STATE_DIR", "NOTIFY_SOCKET", "PROMETHEUS_MULTIPROC_DIR"} & made.keys()


def test_a_path_of_the_users_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/daemon")
    launch = Launch(engine=Engine("sglang", EngineKind.SGLANG, env={"PATH": "/users"}))
    assert environment(launch, Command((), {"PATH": "/engine/bin"}), {})["PATH"] == "/users"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"A=1\nexport B = 'two words'\n\n# C=3\nD=\"x=y\"\nnonsense\n", {"A": "1", "B": "two words", "D": "x=y"}),
        ("U=schl\u00fcssel\r\n".encode(), {"U": "schl\u00fcssel"}),
        (b"", {}),
    ],
)
def test_an_env_file_is_lines_of_names_and_values(tmp_path: Path, content: bytes, expected: dict[str, str]) -> None:
    file = tmp_path / "env"
    file.write_bytes(content)
    launch = Launch(engine=Engine("own", EngineKind.COMMAND, env_file=str(file)))
    assert read_secrets(launch) == (None, expected)


@pytest.mark.parametrize("content", [b"\xff\xfekey", "schl\u00fcssel".encode(), b"two\nkeys"])
def test_a_key_that_no_client_could_send_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    async def scenario() -> Process | Exit:
        async with place(tmp_path) as here:
            return await here.start(command_line("true", api_key_file=str(file)))

    file = tmp_path / "key"
    file.write_bytes(content)
    end = asyncio.run(scenario())
    assert isinstance(end, Exit)
    assert end.cause is Cause.ENVIRONMENT
    assert str(file) in (end.evidence or "")
    assert "key" not in (end.evidence or "").replace(str(file), "").replace("one key", "")
    assert not (tmp_path / "workers" / "chat-0" / "tmp").exists()


def test_a_command_gets_its_placeholders_its_place_and_its_secrets(tmp_path: Path) -> None:
    env_file, key_file = tmp_path / "env", tmp_path / "key"
    env_file.write_text("HF_TOKEN=hf_very_secret\n")
    key_file.write_text("sk-very-secret\n")
    program = (
        'echo "{port} {host} {gpus} {model} {worker} {api_key_file}"; echo "$HF_TOKEN $(cat {api_key_file})"; '
        'echo "$CUDA_VISIBLE_DEVICES $PORT"; test "$TMPDIR" = "{tmpdir}" && test -d "$TMPDIR" && stat -c %a "$TMPDIR"'
    )
    spec = command_line(program, api_key_file=str(key_file))
    spec = msgspec.structs.replace(
        spec,
        launch=msgspec.structs.replace(
            spec.launch, engine=msgspec.structs.replace(spec.launch.engine, env_file=str(env_file))
        ),
    )

    async def scenario() -> None:
        async with place(tmp_path) as here:
            process = await run(here, spec)
            assert process.nccl_port is None

    asyncio.run(scenario())
    (log,) = (tmp_path / "log" / "chat-0").glob("0*.log")
    assert log.read_text().splitlines() == [
        f"18000 127.0.0.1 GPU-SIM-1 the-model chat-0 {key_file}",
        "[redacted] [redacted]",
        "GPU-SIM-1 18000",
        "700",
    ]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path)
    assert b"very_secret" not in kept
    assert b"very-secret" not in kept


def test_the_key_of_an_engine_is_in_a_private_file_and_nowhere_else(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("sk-very-secret\n")
    launch = Launch(
        engine=Engine("sim", EngineKind.SIMULATED),
        model="m",
        args={"sim-load-seconds": 60.0},
        port=18000,
        api_key_file=str(key_file),
    )
    spec = WorkerSpec(name="chat-0", pool="chat", index=0, profile="standard", launch=launch)

    async def scenario() -> None:
        async with place(tmp_path) as here:
            process = await here.start(spec)
            assert isinstance(process, Process), process
            try:
                secret = here.secrets / "chat-0" / "sglang.yaml"
                assert secret.stat().st_mode & 0o777 == 0o600
                assert secret.parent.stat().st_mode & 0o777 == 0o700
                for pid in (process.pid, process.shim_pid):
                    shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
                    assert b"very-secret" not in shown
                here.launcher.remove_secrets("chat-0")
                assert not secret.exists()
            finally:
                os.kill(process.pid, signal.SIGKILL)
                await asyncio.to_thread(
                    wait_until, lambda: not proc.is_alive(process.shim_pid, process.shim_start), 10, "its end"
                )

    asyncio.run(scenario())


@pytest.mark.parametrize("length", [10, TMPDIR_LIMIT + 20])
def test_a_temporary_directory_leaves_room_for_the_name_of_a_socket(tmp_path: Path, length: int) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as here:
            here.bundle = here.bundle / ("x" * length)
            here.bundle.mkdir()
            process = await run(here, command_line("true"))
            try:
                assert len(process.tmpdir) <= TMPDIR_LIMIT or process.tmpdir == str(here.bundle / "tmp")
                assert len(process.tmpdir) <= TMPDIR_LIMIT
            finally:
                os.rmdir(process.tmpdir)

    asyncio.run(scenario())


def test_workers_that_start_together_get_side_ports_of_their_own(tmp_path: Path) -> None:
    launch = Launch(
        engine=Engine("sim", EngineKind.SIMULATED), model="m", args={"sim-fail": "bad-arguments"}, port=18000
    )

    async def scenario() -> list[Process | Exit]:
        async with place(tmp_path) as here:
            specs = [WorkerSpec(name=f"chat-{i}", pool="chat", index=i, profile="p", launch=launch) for i in range(3)]
            bundles = [tmp_path / "workers" / f"w{i}" for i in range(3)]
            for bundle in bundles:
                bundle.mkdir()
            found = await asyncio.gather(
                *(here.launcher.start(spec, 1, bundle, ()) for spec, bundle in zip(specs, bundles, strict=True))
            )
            for process in found:
                assert isinstance(process, Process), process
                await asyncio.to_thread(
                    wait_until, lambda p=process: not proc.is_alive(p.shim_pid, p.shim_start), 10, "its end"
                )
            return list(found)

    ports = [process.nccl_port for process in asyncio.run(scenario()) if isinstance(process, Process)]
    assert None not in ports
    assert len(set(ports)) == 3


def test_what_is_missing_is_named_with_the_path_whose_coming_mends_it(tmp_path: Path) -> None:
    async def scenario(spec: WorkerSpec) -> Exit:
        async with place(tmp_path / str(spec.launch.port)) as here:
            end = await here.start(spec)
            assert isinstance(end, Exit)
            return end

    absent = tmp_path / "absent"
    end = asyncio.run(scenario(command_line("true", api_key_file=str(absent), port=1)))
    assert (end.cause, end.missing) == (Cause.ENVIRONMENT, str(absent))
    engine = Engine("own", EngineKind.COMMAND, command=(str(absent),))
    end = asyncio.run(scenario(command_line("", engine=engine, port=2)))
    assert (end.cause, end.missing) == (Cause.ENVIRONMENT, str(absent))
    assert end.code is None
    assert end.signal is None


@pytest.mark.parametrize(
    ("number", "cause"),
    [(None, Cause.UNKNOWN), (28, Cause.DISK_FULL), (12, Cause.OUT_OF_HOST_MEMORY), (13, Cause.ENVIRONMENT)],
)
def test_a_start_that_came_to_nothing_is_retried_where_that_can_help(number: int | None, cause: Cause) -> None:
    assert no_start("x", number).cause is cause


def test_a_command_line_that_cant_be_run_leaves_nothing(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)

    async def scenario() -> Process | Exit:
        async with place(tmp_path) as here:
            return await here.start(command_line("", engine=Engine("own", EngineKind.COMMAND, command=(str(program),))))

    end = asyncio.run(scenario())
    assert isinstance(end, Exit)
    assert end.cause is Cause.ENVIRONMENT
    assert "interpreter" in (end.evidence or "")
    assert not (tmp_path / "workers" / "chat-0" / "tmp").exists()
    assert "shim.json" not in os.listdir(tmp_path / "workers" / "chat-0")
