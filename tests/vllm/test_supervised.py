"""The real vLLM, from its start by the daemon to a stop that leaves nothing; each test goes on from the last."""

import argparse
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from qvl.engines.picture import image_part
from qvl.engines.vllm_flags import load_flags

from tests.blackbox.harness import Daemon, ask, complete, pool
from tests.sglang.tree import Tree
from tests.support import wait_until
from tests.vllm.conftest import KEY, PYTHON, VERSION

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

START = 600.0
"""Seconds that a start may take on a very busy machine; some 30 on a quiet one."""


def served(daemon: Daemon, *, image: bool = False) -> dict[str, object]:
    content: list[dict[str, object]] = [{"type": "text", "text": "Describe this."}]
    body = {
        "model": str(daemon.root / "model"),
        "max_tokens": 4,
        "messages": [{"role": "user", "content": [*content, image_part()] if image else content}],
    }
    status, document = ask(daemon.port, "POST", "/v1/chat/completions", body, KEY)
    assert status == 200, document
    answer: dict[str, object] = document
    return answer


def test_it_starts_with_progress_and_answers_text_and_an_image(daemon: Daemon) -> None:
    daemon.start()
    assert {"import", "warm-up"} <= daemon.steps_of_start(START)
    assert served(daemon)["choices"]
    assert served(daemon, image=True)["choices"]
    daemon.until(lambda w: w["metrics"]["tokens_per_s"] is not None, "figures of the engine")
    assert daemon.client.version()["engines"] == {"cpu": VERSION, "sim": daemon.client.version()["engines"]["sim"]}


def test_a_pool_of_another_kind_serves_beside_it(daemon: Daemon) -> None:
    daemon.ready("other-0")
    assert complete(daemon.port + 4)[0] == 200
    assert daemon.worker("other-0")["engine"] == "sim"
    assert daemon.worker("chat-0")["engine"] == "cpu"


def test_it_wants_the_key_and_nobody_else_sees_it(daemon: Daemon) -> None:
    assert ask(daemon.port, "GET", "/v1/models", key="sk-wrong")[0] == 401
    assert ask(daemon.port, "GET", "/v1/models", key=KEY)[0] == 200
    seen = [path for folder in (daemon.logs, daemon.state) for path in folder.rglob("*") if path.is_file()]
    seen += [
        Path(f"/proc/{pid}/{name}") for pid in os.listdir("/proc") if pid.isdigit() for name in ("cmdline", "environ")
    ]
    for path in seen:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        assert KEY.encode() not in content, path
    assert KEY not in json.dumps(daemon.status)
    pid = daemon.worker()["pid"]
    assert b"--config\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_it_listens_where_it_was_told_and_nowhere_else(daemon: Daemon) -> None:
    """Side ports count on from the one that qvl chose, but for those that libraries leave to the kernel; all of them
    are the loopback's."""
    pid = daemon.worker()["pid"]
    assert pid is not None
    environment = dict(
        word.partition("=")[::2] for word in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in word
    )
    first = int(environment["VLLM_PORT"])
    assert 20_000 <= first < 29_000
    inodes = {
        os.readlink(link).removeprefix("socket:[").removesuffix("]")
        for member in Tree(pid).look()
        for link in Path(f"/proc/{member.pid}/fd").iterdir()
        if os.path.islink(link) and os.readlink(link).startswith("socket:")
    }
    listening = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state, inode = (line.split()[index] for index in (1, 3, 9))
        if state == "0A" and inode in inodes:
            address, _, port = local.partition(":")
            assert address == "0100007F", line
            listening.add(int(port, 16))
    assert daemon.port in listening
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    by_kernel = {port for port in listening if low <= port <= high}
    assert listening - {daemon.port} - by_kernel <= set(range(first, first + 16)), listening


def test_what_it_compiles_outlives_a_run(daemon: Daemon) -> None:
    pid = daemon.worker()["pid"]
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    (root,) = [word.partition("=")[2] for word in words if word.startswith("VLLM_CACHE_ROOT=")]
    (temporary,) = [word.partition("=")[2] for word in words if word.startswith("TMPDIR=")]
    assert Path(root).is_relative_to(daemon.state)
    assert not Path(root).is_relative_to(temporary)


def test_killed_with_its_engine_alive_it_is_back_by_itself(daemon: Daemon) -> None:
    old = daemon.worker()["pid"]
    assert old is not None
    tree = Tree(old)
    assert {member.name[:12] for member in tree.children()} >= {"VLLM::Engine", "VLLM::Worker"}
    tree.signal(None, signal.SIGKILL)
    ended = daemon.until(lambda w: w["pid"] != old and w["last_exit"] is not None, "the end", timeout=90)
    assert not tree.left()  # vLLM's own processes would stay: nobody tells them
    assert ended["last_exit"] is not None
    assert (ended["last_exit"]["signal"], ended["last_exit"]["cause"]) == (9, "killed")
    daemon.ready_anew(old, START)
    assert served(daemon)["choices"]
    assert daemon.worker()["restarts"] == 1


def test_a_killed_engine_process_is_told_and_started_anew(daemon: Daemon) -> None:
    old = daemon.worker()["pid"]
    assert old is not None
    Tree(old).signal("VLLM::Engine", signal.SIGKILL)
    ended = daemon.until(lambda w: w["pid"] != old and w["last_exit"] is not None, "the end", timeout=90)
    assert ended["last_exit"] is not None
    assert ended["last_exit"]["cause"] == "engine-crash"
    daemon.ready_anew(old, START)


def test_an_engine_that_hangs_is_seen_though_its_server_says_that_it_is_well(daemon: Daemon) -> None:
    daemon.edit(pool(health={"deep_interval": "1s", "timeout": "3s", "failures": 2}))
    daemon.applied()
    old = daemon.worker()["pid"]
    assert old is not None
    Tree(old).signal("VLLM::Engine", signal.SIGSTOP)
    assert ask(daemon.port, "GET", "/health")[0] == 200
    ended = daemon.until(lambda w: w["pid"] != old and w["last_exit"] is not None, "the end", timeout=120)
    assert ended["last_exit"] is not None
    assert ended["last_exit"]["cause"] == "hang"
    daemon.ready_anew(old, START)


def test_a_flag_that_this_vllm_does_not_have_is_refused_while_it_serves(daemon: Daemon) -> None:
    old, good = daemon.worker()["pid"], daemon.config
    daemon.edit({"profiles": {"standard": {"args": {"mem-fraction-static": 0.8}}}})
    wait_until(lambda: daemon.file["error"], 10, "the refusal")
    assert f'vllm {VERSION} has no flag "mem-fraction-static"' in daemon.file["error"]
    assert (daemon.worker()["pid"], daemon.worker()["ready"]) == (old, True)
    daemon.config = good
    daemon.write(good)
    wait_until(lambda: daemon.file["error"] is None, 10, "the mended file is taken")
    assert daemon.worker()["pid"] == old


def test_its_profile_is_switched_and_a_bad_one_goes_back(daemon: Daemon) -> None:
    old = daemon.worker()["pid"]
    daemon.client.switch("chat", "short")
    new = daemon.ready_anew(old, START)
    wait_until(lambda: daemon.pool()["switch"] is None, 60, "the switch is committed")
    assert (daemon.pool()["profile"], daemon.pool()["override"]) == ("short", "short")
    daemon.client.switch("chat", "broken")
    wait_until(lambda: daemon.pool()["switch"] is None and daemon.worker()["ready"], START, "back on the good profile")
    assert daemon.pool()["profile"] == "short"
    assert daemon.worker()["pid"] != new
    assert served(daemon, image=True)["choices"]


def test_a_killed_daemon_is_followed_by_one_that_adopts_it(daemon: Daemon) -> None:
    before = daemon.worker()
    daemon.kill()
    daemon.start()
    after = daemon.until(lambda w: w["ready"], "the adopted worker")
    assert [after[key] for key in ("pid", "restarts", "profile", "drift")] == [
        before[key] for key in ("pid", "restarts", "profile", "drift")
    ]
    assert after["drift"] == []


def test_stopped_it_leaves_nothing(daemon: Daemon) -> None:
    old = daemon.worker()["pid"]
    assert old is not None
    tree = Tree(old)
    daemon.client.act("stop", "all", pool=True)
    stopped = daemon.in_phase("stopped", timeout=90)
    assert (stopped["wanted"], stopped["pid"]) == ("down", None)
    assert not tree.left()
    daemon.in_phase("stopped", "other-0", timeout=30)
    assert daemon.process is not None
    alone = {daemon.process.pid}
    wait_until(lambda: daemon.processes().keys() == alone, 5, "nothing is left but the daemon")
    daemon.stop()
    assert not daemon.processes()


def test_its_own_parser_has_the_very_flags_that_were_read(tmp_path: Path) -> None:
    program = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser(add_help=False))
flags = [(a.option_strings, a.nargs, type(a).__name__) for a in parser._actions if a.option_strings]
json.dump(flags, open(sys.argv[1], "w"))
"""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing: make vllm")
    subprocess.run([PYTHON, "-c", program, tmp_path / "flags.json"], check=True, capture_output=True, timeout=200)
    declared = json.loads((tmp_path / "flags.json").read_text())
    table = load_flags(PYTHON, None)
    spellings = {spelling[2:] for names, _, _ in declared for spelling in names if spelling.startswith("--")}
    placement = {"tp", "tp-size", "pp", "pp-size", "dp", "dp-size"}  # what people write and the driver translates
    negations = {f"no-{name}" for flag in table.flags.values() if flag.boolean_optional for name in flag.spellings}
    assert {*table.flags, *negations} - placement == spellings
    assert len(table.flags) > 300
    shapes = {None: (True, False), 0: (False, False), "?": (None, False), "*": (None, True), "+": (True, True)}
    unsure = 0
    for names, nargs, kind in declared:
        flag = table.find(next(name for name in names if name.startswith("--"))[2:])
        assert flag is not None
        assert flag.boolean_optional == (kind == argparse.BooleanOptionalAction.__name__), flag
        if flag.takes_value is None:
            unsure += 1
        elif kind != "_AppendAction":
            assert (flag.takes_value, flag.repeated) == shapes[nargs], flag
    assert unsure < 10
