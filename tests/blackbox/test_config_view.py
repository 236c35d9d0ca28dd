"""The configuration as people read it: the files with their faults where they are, and nothing that is secret."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from qvl.client.aio import Client
from qvl.model.config import ConfigView
from qvl.model.error import QvlError
from qvl.model.plan import Action

from tests.blackbox.harness import Daemon, args, pool
from tests.blackbox.test_plans import FAULTY
from tests.support import wait_until

TOKEN = "hf_kT0qWv-quite-unmistakable"
KEY = "sk-3c9f0e7d-quite-unmistakable"


def view(daemon: Daemon) -> ConfigView:
    return asyncio.run(Client(daemon.socket).config())


def test_the_file_is_shown_with_its_faults_where_they_are(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        whole = view(daemon)
        assert [file.path for file in whole.files] == [str(daemon.config_file)]
        assert whole.files[0].text == daemon.config_file.read_text()
        assert whole.files[0].redacted == 0
        assert whole.revision == whole.status.applied == whole.status.revision
        assert whole.faults == ()
        assert whole.plan is not None
        assert {step.action for step in whole.plan.steps} == {Action.KEEP}
        daemon.write(FAULTY)
        broken = view(daemon)  # as it is now, whether the daemon has noticed or not
        assert broken.files[0].text == FAULTY
        assert [(fault.line, fault.key) for fault in broken.faults] == [
            (2, "supervisor.auto_aply"),
            (8, "profiles.a.args.mem-fraction-statc"),
            (10, "pools.chat.profile"),
            (11, "pools.chat.port"),
        ]
        assert broken.faults[0].nearest == 'did you mean "auto_apply"?'
        assert broken.plan is None
        assert broken.status.applied == whole.revision


def test_what_an_edit_would_do_is_told_before_it_is_applied(tmp_path: Path) -> None:
    with Daemon(tmp_path, {"supervisor": {"auto_apply": False}}) as daemon:
        before = daemon.start().ready()["pid"]
        daemon.edit(args(max_running_requests=9))
        wait_until(lambda: daemon.file["pending"], 15, "the edit waits")
        seen = view(daemon)
        assert seen.status.pending
        assert seen.plan is not None
        (step,) = seen.plan.steps
        assert (step.action, step.keys[0].key, step.keys[0].new) == (Action.RESTART, "args.max-running-requests", 9)
        assert seen.plan.id == ""
        assert daemon.worker()["pid"] == before
        made = asyncio.run(Client(daemon.socket).plan())
        assert made.steps == seen.plan.steps
        asyncio.run(Client(daemon.socket).apply(made.id))
        daemon.ready(not_pid=before)


def test_drop_ins_follow_the_file_and_each_fault_is_in_its_own(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        folder = daemon.config_file.with_suffix(".d")
        folder.mkdir()
        (folder / "20-b.toml").write_text("[supervisor]\n\nnonsense = 1\n")
        (folder / "10-a.toml").write_text("# nothing\n")
        seen = view(daemon)
        assert [Path(file.path).name for file in seen.files] == ["qvl.toml", "10-a.toml", "20-b.toml"]
        assert [(Path(fault.file).name, fault.line) for fault in seen.faults] == [("20-b.toml", 3)]


@pytest.mark.parametrize(
    ("content", "text", "problem"),
    [
        (b"# " + b"x" * 2_000_000, None, "is larger than 1 MiB"),
        (
            b"[supervisor]\n# gr\xfc\xdfe\n",
            "[supervisor]\n# gr\ufffd\ufffde\n",
            "is not text in UTF-8: byte 0xfc at 17",
        ),
        ('HF_TOKEN = "x"\n'.encode("utf-16"), None, "is not text: it holds NUL bytes"),
        (None, None, "is not there"),
    ],
    ids=["large", "latin", "utf-16", "gone"],
)
def test_a_file_that_can_not_be_shown_says_why(
    content: bytes | None, text: str | None, problem: str, tmp_path: Path
) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        applied = daemon.file["applied"]
        if content is None:
            daemon.config_file.unlink()
        else:
            daemon.config_file.write_bytes(content)
        seen = view(daemon)
        assert seen.files[0].text == text
        assert seen.files[0].problem is not None
        assert seen.files[0].problem.startswith(problem)
        assert seen.faults
        assert seen.status.applied == applied, "what runs instead"


def test_nothing_secret_leaves_the_daemon(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(f"{KEY}\n")
    with Daemon(tmp_path, pool(api_key_file=str(file)), {"supervisor": {"auto_apply": False}}) as daemon:
        daemon.start().ready()
        daemon.edit({"engines": {"sim": {"env": {"HF_TOKEN": TOKEN, "COLOUR": "red"}}}}, args(served_model_name=KEY))
        with daemon.config_file.open("a") as more:
            more.write(f"# HF_TOKEN was {TOKEN[::-1]}, now HF_TOKEN={TOKEN}\n")
        wait_until(lambda: daemon.file["pending"], 15, "the edit waits")
        raw = daemon.client.raw("/v1/config")
        assert TOKEN.encode() not in raw
        assert KEY.encode() not in raw
        seen = msgspec.json.decode(raw, type=ConfigView)
        assert seen.files[0].redacted == 3
        assert seen.files[0].text is not None
        assert f'api_key_file = "{file}"' in seen.files[0].text, "a path is no secret"
        assert seen.plan is not None
        changes = {change.key: change.new for change in seen.plan.steps[0].keys}
        assert changes["engine.env.HF_TOKEN"] == "[redacted]"
        assert changes["engine.env.COLOUR"] == "red"
        daemon.config_file.write_text(f'[engines.sim]\nkind = "simulated"\nenv = {{ HF_TOKEN = ["{TOKEN}"] }}\n')
        assert TOKEN.encode() not in daemon.client.raw("/v1/config")


@pytest.mark.skipif(os.geteuid() != 0, reason="root has to become another user")
def test_a_viewer_may_read_it(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()
        client = Client(daemon.socket.with_name("view.sock"))
        assert asyncio.run(client.config()).files[0].text == daemon.config_file.read_text()
        with pytest.raises(QvlError, match="reads only"):
            asyncio.run(client.plan())


def test_many_who_ask_at_once_are_one_reading(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        daemon.start().ready()

        async def ask() -> list[ConfigView]:
            return await asyncio.gather(*(Client(daemon.socket).config() for _ in range(20)))

        assert len({seen.revision for seen in asyncio.run(ask())}) == 1
