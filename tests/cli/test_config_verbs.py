"""check, edit and doctor, and where the files are: what works on files rather than on the daemon."""

import os
import resource
import stat
from pathlib import Path
from typing import cast

import pytest
from qvl.cli import checkup
from qvl.cli.places import Places, supervisor_table
from qvl.config.fleet import fleet
from qvl.config.load import load
from qvl.config.settings import Config, Supervisor
from qvl.core.capacity import GIB
from qvl.model.gpu import Gpu, GpuHolder, GpuSample
from qvl.model.plan import Plan
from qvl.model.spec import Engine, EngineKind

from tests.blackbox import vllm_standin
from tests.cli.run import Qvlctl
from tests.fakes import FakeControl, Served
from tests.models import model

GOOD = """\
[supervisor]
gpus = "simulated:2"
[engines.pretend]
kind = "simulated"
[profiles.standard]
engine = "pretend"
model = "tiny"
[profiles.standard.args]
sim-load-seconds = 1
[pools.one]
profile = "standard"
gpus = [0]
"""
BAD = GOOD.replace('profile = "standard"\n', 'profile = "standrad"\nprot = 8000\n')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "qvl.toml"
    path.parent.mkdir()
    path.write_text(GOOD)
    return path


# ---- check


def test_check(lonely: Qvlctl, file: Path) -> None:
    ran = lonely("check", str(file))
    assert (ran.code, ran.out, ran.err) == (0, f"{file} is valid: 1 pool, 1 profile\n", "")


def test_check_tells_every_fault_at_its_line(lonely: Qvlctl, file: Path) -> None:
    file.write_text(BAD)
    ran = lonely("check", str(file))
    assert ran.code == 1
    assert ran.out.splitlines() == [
        f'{file}:11: pools.one.profile: there is no profile "standrad" (did you mean "standard"?)',
        f'{file}:12: pools.one.prot: unknown key (did you mean "port"?)',
    ]
    assert ran.err.startswith(f"error: {file} is refused: 2 faults\n")


def test_check_knows_the_flags_of_the_engine(lonely: Qvlctl, file: Path) -> None:
    file.write_text(GOOD.replace("sim-load-seconds", "sim-laod-seconds"))
    ran = lonely("check", str(file))
    assert (ran.code, "sim-load-seconds" in ran.out) == (1, True)


def test_check_as_json(lonely: Qvlctl, file: Path) -> None:
    file.write_text(BAD)
    ran = lonely("check", str(file), "--json")
    document = ran.json
    assert (ran.code, document["version"], document["valid"]) == (1, 1, False)
    faults = document["faults"]
    assert isinstance(faults, list)
    assert [(fault["line"], fault["key"]) for fault in faults] == [(11, "pools.one.profile"), (12, "pools.one.prot")]


def test_check_without_a_file_takes_the_usual_one(lonely: Qvlctl, file: Path) -> None:
    assert lonely("check", "--config", str(file)).code == 0
    ran = lonely("check")
    assert (ran.code, "none.toml: is not there" in ran.out) == (1, True)


# ---- edit


def editor(tmp_path: Path, script: str) -> str:
    """An editor that is a program: it gets the draft as its argument."""
    path = tmp_path / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_edit_saves_what_is_right_and_keeps_mode_and_owner(
    lonely: Qvlctl, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 4321)
    before = file.stat()
    # As vim does with its defaults in some directories: a new file takes the old one's place.
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'sed s/gpus.=.\\\\[0/gpus=[1/ "$1" > "$1.new" && mv "$1.new" "$1"'))
    ran = lonely("edit", "--config", str(file))
    after = file.stat()
    assert ran.code == 0, ran
    assert "gpus=[1]" in file.read_text()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o640)
    assert "no daemon is running" in ran.err
    assert os.listdir(file.parent) == ["qvl.toml"]


def test_edit_refuses_what_is_wrong_and_keeps_the_work(
    lonely: Qvlctl, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor(tmp_path, 'sed -i s/standard\\"/standrad\\"/ "$1"'))
    ran = lonely("edit", "--config", str(file))
    assert ran.code == 1
    assert f"{file}:" in ran.out  # the file's name, not the draft's
    assert ".qvl-edit-" not in ran.out
    assert file.read_text() == GOOD
    assert "standrad" in file.with_name("qvl.toml.rejected").read_text()


def test_edit_checks_the_file_with_its_drop_ins(
    lonely: Qvlctl, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_ins = file.with_suffix(".d")
    drop_ins.mkdir()
    (drop_ins / "more.toml").write_text('[pools.two]\nprofile = "extra"\ngpus = [1]\nport = 9000\n')
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'printf \'[profiles.extra]\\nextends = "standard"\\n\' >> "$1"'))
    assert lonely("check", str(file)).code == 1
    ran = lonely("edit", "--config", str(file))
    assert (ran.code, "extra" in file.read_text()) == (0, True), ran


def test_edit_does_not_overwrite_what_somebody_else_saved(
    lonely: Qvlctl, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, f'echo "# mine" >> "$1"; echo "# theirs" >> {file}'))
    ran = lonely("edit", "--config", str(file))
    assert (ran.code, "changed by somebody else" in ran.err) == (1, True)
    assert file.read_text() == GOOD + "# theirs\n"


def test_edit_of_nothing(lonely: Qvlctl, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    assert "nothing was changed" in lonely("edit", "--config", str(file)).err
    monkeypatch.setenv("EDITOR", "no-such-editor")
    ran = lonely("edit", "--config", str(file))
    assert (ran.code, "there is no editor no-such-editor" in ran.err) == (1, True)
    monkeypatch.setenv("EDITOR", "false")
    ran = lonely("edit", "--config", str(file))
    assert (ran.code, "the editor ended with exit code 1" in ran.err) == (1, True)
    assert os.listdir(file.parent) == ["qvl.toml"]


def test_edit_follows_a_link(lonely: Qvlctl, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'echo "# more" >> "$1"'))
    assert lonely("edit", "--config", str(link)).code == 0
    assert link.is_symlink()
    assert file.read_text().endswith("# more\n")


def test_edit_shows_the_daemons_plan_before_it_saves(
    qvlctl: Qvlctl, daemon: Served, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[tuple[str, str]] = []

    class Planning(FakeControl):
        async def plan(self, path: Path | None) -> Plan:
            assert path is not None
            planned.append((path.name, path.read_text()))
            return self._plan("eagle3")

    daemon.control.__class__ = Planning
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'echo "# more" >> "$1"'))
    ran = qvlctl("edit", "--config", str(file))
    assert (ran.code, planned) == (0, [("qvl.toml", GOOD + "# more\n")])
    assert "profile: standard → eagle3" in ran.out
    assert "the daemon applies it now" in ran.err


# ---- places


class Args:
    config = socket = state_dir = log_dir = None


def test_flag_then_environment_then_table(tmp_path: Path, file: Path) -> None:
    file.write_text('[supervisor]\nsocket = "/from/table.sock"\n')
    (tmp_path / "etc" / "qvl.d").mkdir()
    env = {"QVL_CONFIG": str(file), "HOME": str(tmp_path)}

    def socket(named: str | None = None, **more: str) -> str:
        args = Args()
        args.socket = named  # type: ignore[assignment]  # a flag
        return Places(args, {**env, **more}).socket()  # type: ignore[arg-type]  # as argparse has it

    assert socket() == "/from/table.sock"
    (tmp_path / "etc" / "qvl.d" / "z.toml").write_text('supervisor.socket = "/from/drop-in.sock"\n')
    assert socket() == "/from/drop-in.sock"
    assert socket(QVL_SOCKET="/from/env.sock") == "/from/env.sock"
    assert socket("/from/flag.sock", QVL_SOCKET="/from/env.sock") == "/from/flag.sock"
    assert socket("relative.sock") == f"{os.getcwd()}/relative.sock"


@pytest.mark.parametrize(
    "text", [b"socket = not TOML", b"supervisor = 'socket'", b"[supervisor]\nsocket = 7\n", b"\xff"]
)
def test_a_file_that_makes_no_sense_names_no_place(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    assert supervisor_table(file, file.with_suffix(".d")) == {}


# ---- doctor


def test_doctor_of_a_host_that_can_serve(lonely: Qvlctl, file: Path) -> None:
    ran = lonely("doctor", "--config", str(file), "--json")
    checks = ran.json["checks"]
    assert isinstance(checks, list)
    states = {check["name"]: check["state"] for check in checks}
    assert (ran.code, ran.json["ok"], states["config"], states["gpus"]) == (0, True, "ok", "ok")
    assert states["daemon"] == "warn"  # none runs, which keeps nobody from starting one
    assert set(checks[0]) == {"name", "state", "message", "mend"}


def test_doctor_of_a_faulty_file(lonely: Qvlctl, file: Path) -> None:
    file.write_text(BAD)
    ran = lonely("doctor", "--config", str(file))
    assert ran.code == 1
    assert "mend: mend the file: qvlctl edit" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80 + len(str(file))  # a path is never cut


def test_doctor_with_a_daemon(qvlctl: Qvlctl, file: Path) -> None:
    assert "version 0.1.0 answers, pid 4242" in qvlctl("doctor", "--config", str(file)).out


def state(findings: list[checkup.Finding]) -> str:
    (finding,) = findings
    assert (finding.mend is not None) == (finding.state != "ok")
    return finding.state


def test_engines_that_are_there_and_that_are_not(tmp_path: Path) -> None:
    def engine(kind: EngineKind, python: str = "", command: tuple[str, ...] = ()) -> Engine:
        return Engine(name="e", kind=kind, python=python, command=command)

    assert state(checkup.engine_there(engine(EngineKind.SIMULATED))) == "ok"
    assert state(checkup.engine_there(engine(EngineKind.COMMAND, command=("/bin/sh", "-c", ":")))) == "ok"
    assert state(checkup.engine_there(engine(EngineKind.COMMAND, command=("/no/such/program",)))) == "fail"
    assert state(checkup.engine_there(engine(EngineKind.VLLM, python="/no/such/python"))) == "fail"
    python = str(vllm_standin.environment(tmp_path / "vllm"))
    (found,) = checkup.engine_there(engine(EngineKind.VLLM, python=python))
    assert (found.state, found.message) == ("ok", f"vLLM 0.32.0 in {python}")
    assert state(checkup.engine_there(engine(EngineKind.SGLANG, python=str(tmp_path / "python")))) == "fail"


def test_groups_that_are_chosen_must_exist() -> None:
    chosen = Supervisor(operator_group="qvl-no-such-group", viewer_group="root")
    assert state(checkup.groups(chosen)) == "fail"
    assert all(found.state == "warn" for found in checkup.groups(Supervisor()))


def served_by_sglang(file: Path, model_path: Path) -> Config:
    text = GOOD.replace('kind = "simulated"', 'kind = "sglang"\npython = "/usr/bin/python3"')
    text = text.replace("[profiles.standard.args]\nsim-load-seconds = 1\n", "").replace("tiny", str(model_path))
    file.write_text(text)
    config = load(file).config
    assert config is not None
    return config


def test_doctor_looks_at_models(file: Path, tmp_path: Path) -> None:
    config = served_by_sglang(file, tmp_path / "model")
    cards = [Gpu(0, "GPU-0", "x", 80 * GIB)]

    def found(free: int = 80) -> list[checkup.Finding]:
        return checkup.carrying(config, fleet(config, cards), cards, {0: free * GIB})

    assert state(found()) == "fail"
    model(tmp_path / "model", 16 * GIB, 2, leave_out=(2,))
    (broken,) = found()
    assert broken.state == "fail"
    assert broken.message.endswith("model-00002-of-00002.safetensors is missing")
    model(tmp_path / "model", 16 * GIB, 2)
    (whole,) = found()
    assert (whole.name, whole.state) == ("model standard", "ok")
    assert whole.message.startswith("about 16.0 GiB of weights, and about ")
    assert state(found(free=10)) == "warn"
    model(tmp_path / "model", 200 * GIB, 2)
    assert state(found()) == "fail"


def test_doctor_names_a_card_that_is_not_there(file: Path) -> None:
    file.write_text(GOOD.replace("gpus = [0]", "gpus = [0, 7]"))
    config = load(file).config
    assert config is not None
    cards = [Gpu(0, "GPU-0", "x")]
    (missing,) = checkup.carrying(config, fleet(config, cards), cards, {})
    assert (missing.state, "one-1 takes GPU 7" in missing.message) == ("warn", True)
    assert checkup.carrying(config, fleet(config, None), None, {}) == [], "a host whose driver says nothing"


def test_what_holders_leave_free() -> None:
    samples = [
        GpuSample(0, "u", "x", memory_total=80, holders=(GpuHolder(1, 30), GpuHolder(2))),
        GpuSample(1, "v", "x"),
    ]
    assert checkup.free_memory(samples, running=False) == {0: 50}
    assert checkup.free_memory(samples, running=True) == {0: 80}


def test_check_warns_of_models(lonely: Qvlctl, file: Path, tmp_path: Path) -> None:
    """Another host may have them: no fault."""
    served_by_sglang(file, tmp_path / "model")
    ran = lonely("check", str(file))
    assert ran.code == 0
    assert f"warning: {file}: profiles.standard: model {tmp_path}/model does not exist" in ran.out
    (warning,) = [
        w
        for w in cast("list[dict[str, str]]", lonely("check", str(file), "--json").json["warnings"])
        if w["key"] == "profiles.standard"
    ]
    assert "does not exist" in warning["message"]
    model(tmp_path / "model", 2000 * GIB)
    assert "profiles.standard" not in lonely("check", str(file)).out, "which cards there are is for the daemon to say"


def test_ports_that_somebody_has(file: Path) -> None:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        file.write_text(GOOD + f"port = {server.getsockname()[1]}\n")
        config = load(file).config
        assert config is not None
        planned = fleet(config, [Gpu(0, "GPU-0", "x"), Gpu(1, "GPU-1", "x")])
        (finding,) = checkup.ports(planned)
    assert (finding.state, f"pid {os.getpid()}" in finding.message) == ("warn", True)
    assert state(checkup.ports(planned)) == "ok"


def test_limits_disks_and_shared_memory(tmp_path: Path) -> None:
    assert state(checkup.limits(1024)) == "warn"
    assert state(checkup.limits(resource.RLIM_INFINITY)) == "ok"
    assert state(checkup.disk("state", tmp_path / "not" / "yet" / "there")) in ("ok", "warn")
    assert state(checkup.shared_memory(str(tmp_path / "none"))) == "fail"
