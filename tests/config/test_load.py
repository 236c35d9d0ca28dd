"""The loader on whole files: what is accepted, and that every fault is told at once with its file, line and key."""

from pathlib import Path

import msgspec
import pytest
from qvl.config.load import load
from qvl.config.settings import Config
from qvl.model.spec import Policy, RestartMode, Way

from tests.config.files import GOOD, config_of, read, said, write


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    assert said(tmp_path, 'prot = 1\nhost = "a b"\n[supervisor]\ngpu = "nvml"\n') == [
        '1: pools.p.prot: unknown key (did you mean "port"?)',
        '2: pools.p.host: "a b" is neither an address nor a host name ("127.0.0.1" or "0.0.0.0")',
        '4: supervisor.gpu: unknown key (did you mean "gpus"?)',
    ]


def cases() -> dict[str, tuple[str, list[str]]]:
    """`refused.txt`: name -> the TOML, and everything that is said about it."""
    text = Path(__file__).with_name("refused.txt").read_text()
    found = {}
    for case in text.split("\n## ")[1:]:
        name, _, rest = case.partition("\n")
        toml, _, sentences = rest.partition("->\n")
        found[name] = toml, sentences.splitlines()
    return found


@pytest.mark.parametrize(("toml", "sentences"), cases().values(), ids=cases().keys())
def test_is_refused_with_these_sentences(tmp_path: Path, toml: str, sentences: list[str]) -> None:
    assert said(tmp_path, toml) == [sentence for sentence in sentences if sentence]


def test_numbers_beyond_64_bits_are_refused(tmp_path: Path) -> None:
    assert said(tmp_path, f"port = {'9' * 5000}\n") == ["1: pools.p.port: is too large a number"]


def test_a_socket_path_has_a_limit(tmp_path: Path) -> None:
    path = f"/{'x' * 107}"
    assert said(tmp_path, f'[supervisor]\nsocket = "{path}"\n') == [
        f"2: supervisor.socket: the socket path {path} has 108 bytes; the kernel takes 107 at most"
    ]


@pytest.mark.parametrize("flag", ["host", "port", "nccl-port", "model-path", "model", "config", "base-gpu-id"])
def test_flags_that_qvl_sets_are_refused(tmp_path: Path, flag: str) -> None:
    (sentence,) = said(tmp_path, f'[profiles.x]\nextends = "standard"\nargs = {{ {flag} = 1 }}\n')
    assert sentence.startswith(f"3: profiles.x.args.{flag}: is set by qvl itself (")


def test_a_key_file_in_a_command_is_no_secret(tmp_path: Path) -> None:
    text = '[engines.x]\nkind = "command"\ncommand = ["x", "--api-key", "{api_key_file}"]\n'
    assert said(tmp_path, text) == []


WARNED = {
    "unset what is not there": (
        '[profiles.x]\nextends = "standard"\nunset = ["args.tp"]\n',
        'profiles.x.unset: "args.tp" is not inherited, so there is nothing to remove',
    ),
    "a secret in the open": (
        '[engines.sim.env]\nHF_TOKEN = "hf_x"\n',
        "engines.sim.env.HF_TOKEN: looks like a secret, and this file holds it in the clear (the engine's env_file)",
    ),
    "open to everyone": (
        'host = "0.0.0.0"\n',
        "pools.p.host: 0.0.0.0 serves everyone who reaches this host, without a key (api_key_file)",
    ),
    "sizes that placement doesn't see": (
        '[profiles.x]\nextends = "standard"\nraw_args = ["--tp-size=2"]\n',
        "profiles.x.raw_args: --tp-size is not seen when GPUs are given out (write it as args.tp-size)",
    ),
    "GPUs that never come": (
        '[supervisor]\ngpus = "none"\n',
        'pools.p.gpus: waits for GPUs for ever, since supervisor.gpus is "none"',
    ),
    "arguments that go nowhere": (
        '[engines.c]\nkind = "command"\ncommand = ["x"]\n[profiles.x]\nengine = "c"\nargs = { y = 1 }\n',
        "profiles.x.args.y: is not handed over: an engine of kind command has its arguments in command and raw_args",
    ),
}


@pytest.mark.parametrize("case", WARNED)
def test_is_warned_of(tmp_path: Path, case: str) -> None:
    text, sentence = WARNED[case]
    loaded = read(tmp_path, GOOD + text)
    assert loaded.faults == ()
    assert [str(warning).partition(": ")[2] for warning in loaded.warnings] == [sentence]


def test_what_hangs_on_a_bad_key_is_not_told_as_well(tmp_path: Path) -> None:
    """The port that couldn't be read is not the default one that the other pool has."""
    text = 'gpus = "none"\n[pools.q]\nprofile = "standard"\ngpus = "none"\nport = "x"\n'
    assert said(tmp_path, text) == ['5: pools.q.port: must be a whole number, not the text "x"']


def test_a_fault_that_is_inherited_is_told_once(tmp_path: Path) -> None:
    text = '[profiles.a]\nextends = "standard"\nargs = { port = 1 }\n[profiles.b]\nextends = "a"\n'
    assert len(said(tmp_path, text)) == 1


def test_a_base_may_leave_gaps(tmp_path: Path) -> None:
    config = config_of(tmp_path, GOOD + '[profiles.base]\nenv = { A = "1" }\n[profiles.x]\nextends = "base"\n'
                       'engine = "sim"\nmodel = "m"\n')  # fmt: skip
    assert sorted(config.profiles) == ["standard", "x"]
    assert config.profiles["x"].env == {"A": "1"}


def test_defaults(tmp_path: Path) -> None:
    config = config_of(tmp_path, GOOD)
    pool = config.pools["p"]
    assert (pool.gpus, pool.host, pool.port, pool.autostart, pool.api_key_file) == ("all", "127.0.0.1", 8000, True, "")
    assert pool.policy == Policy()
    assert (config.supervisor.gpus, config.supervisor.auto_apply, config.supervisor.on_stop) == ("nvml", True, "stop")


def test_values_are_understood(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        GOOD
        + """\
gpus = ["GPU-1", 3]
restart = { mode = "on-failure", backoff = "250ms", causes = { hang = "never" } }
stop.drain = "1h30m"
logs.max_size = "1GiB"
[profiles.standard.args]
flag = true
off = false
n = 1
f = 1.0
many = [1, "a", 2.5]
json = { a = { b = [1, { c = true }] } }
""",
    )
    pool = config.pools["p"]
    assert pool.gpus == ["GPU-1", 3]
    assert pool.policy.restart.mode is RestartMode.ON_FAILURE
    assert pool.policy.restart.backoff == 0.25
    assert pool.policy.restart.causes == {"hang": Way.NEVER}
    assert pool.policy.stop.drain == 5400
    assert pool.policy.logs.max_size == 1 << 30
    args = config.profiles["standard"].args
    assert args["f"] == 1.0
    assert isinstance(args["f"], float)
    assert args["json"] == {"a": {"b": [1, {"c": True}]}}
    assert args["off"] is False


def test_a_config_survives_its_way_through_json(tmp_path: Path) -> None:
    config = config_of(tmp_path, GOOD + 'gpus = [0, "GPU-1"]\n[profiles.standard.args]\nx = [1, 2.0]\ny = { z = 1 }\n')
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config


def test_messages_stay_on_their_line_and_obey_no_terminal(tmp_path: Path) -> None:
    loaded = read(tmp_path, GOOD + 'host = "a\\n\\u001b[31mb"\n"k\\ney" = 1\n' + f'gpus = "{"x" * 1000}"\n')
    for fault in loaded.faults:
        assert str(fault).isprintable()
        assert len(str(fault)) < 700


def test_the_revision_is_that_of_the_bytes_of_all_files(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    first = load(path).revision
    assert len(first) == 12
    assert load(path).revision == first
    drop_in = write(tmp_path, "# nothing\n", "qvl.d/10.toml")
    second = load(path).revision
    assert second != first
    drop_in.rename(drop_in.with_name("20.toml"))
    assert load(path).revision not in (first, second)
