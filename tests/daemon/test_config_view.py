"""The configuration as it is handed out: bounded, and free of what is secret in its faults and its plan as well."""

from pathlib import Path

from qvl.config.fault import Fault
from qvl.config.load import Loaded
from qvl.daemon.config_view import MOST_FAULTS, MOST_FILES, MOST_TEXT, known_secrets, view
from qvl.model.plan import Action, KeyChange, Plan, PlanStep
from qvl.model.spec import Engine, EngineKind, Launch
from qvl.model.status import ConfigStatus

MAIN = Path("/etc/qvl/qvl.toml")
STATUS = ConfigStatus(str(MAIN), "a1", "a1")
SECRET = "sk-3c9f0e7d-quite-unmistakable"


def loaded(*files: bytes, faults: tuple[Fault, ...] = (), warnings: tuple[Fault, ...] = ()) -> Loaded:
    paths = (MAIN, *(MAIN.parent / f"qvl.d/{n:03}.toml" for n in range(1, len(files))))
    return Loaded(None, faults, warnings, "a1", paths, dict(zip(paths, files, strict=True)))


def fault(line: int, message: str = "unknown key", key: str = "a") -> Fault:
    return Fault(MAIN, line, key, message)


def test_there_is_an_end_to_faults_and_they_are_counted() -> None:
    many = tuple(fault(line) for line in range(1, MOST_FAULTS + 51))
    seen = view(loaded(b"a = 1\n", faults=many, warnings=many[:7]), STATUS, None, ())
    assert len(seen.faults) == MOST_FAULTS
    assert len(seen.warnings) == 7
    assert seen.left_out == 50


def test_there_is_an_end_to_text_and_to_files() -> None:
    half = b"#" * (MOST_TEXT // 2 - 10)
    seen = view(loaded(half, half, b"#" * 30, b"# small"), STATUS, None, ())
    assert [file.text is not None for file in seen.files] == [True, True, False, True]
    assert seen.files[2].problem == "is not shown: with it the answer would be larger than 2 MiB"
    crowd = view(loaded(*([b"# x"] * (MOST_FILES + 5))), STATUS, None, ())
    assert len(crowd.files) == MOST_FILES + 1
    assert crowd.files[-1].path == "/etc/qvl/qvl.d"
    assert crowd.files[-1].problem == "5 more files in it are not shown"


def test_messages_that_quote_a_secret_do_not_tell_it() -> None:
    text = f'[engines.a.env]\nHF_TOKEN = "{SECRET}"\n'.encode()
    quoting = (fault(2, f'"{SECRET}" is no path', "engines.a.env.X"), fault(2, '"ab" is too short', "a.env.HF_TOKEN"))
    status = ConfigStatus(str(MAIN), "a1", "a1", f'qvl.toml:2: "{SECRET}" is no path')
    seen = view(loaded(text, faults=quoting), status, None, ())
    assert [each.message for each in seen.faults] == ['"[redacted]" is no path', '"[redacted]" is too short']
    assert seen.status.error == 'qvl.toml:2: "[redacted]" is no path'


def test_a_plan_tells_what_is_no_secret() -> None:
    keys = (
        KeyChange("engine.env.HF_TOKEN", "old-one", "new-one"),
        KeyChange("engine.env", None, {"API_KEY": "x", "HOME": "/root", "HF_TOKEN": ""}),
        KeyChange("engine.command", ["serve", "--port", "1"], ["sh", "-c", "MY_TOKEN=abc serve"]),
        KeyChange("engine.command", ["serve", "--api-key", "old-one", "--port", "1"], ["--api-key-file", "new-one"]),
        KeyChange("engine.env.HF_TOKEN_FILE", "hf_old", "/run/token"),
        KeyChange("args.mem-fraction-static", 0.8, 0.9),
        KeyChange("api_key_file", None, "/etc/qvl/key"),
    )
    plan = Plan("a1", (PlanStep("w-0", Action.RESTART, keys),), id="a1-7")
    seen = view(loaded(b""), STATUS, plan, ()).plan
    assert seen is not None
    assert seen.id == "", "only one that an operator asked for can be applied"
    assert [(key.old, key.new) for key in seen.steps[0].keys] == [
        ("[redacted]", "[redacted]"),
        (None, {"API_KEY": "[redacted]", "HOME": "/root", "HF_TOKEN": ""}),
        (["serve", "--port", "1"], ["sh", "-c", "MY_TOKEN=[redacted]"]),
        (["serve", "--api-key", "[redacted]", "--port", "1"], ["--api-key-file", "[redacted]"]),
        ("[redacted]", "/run/token"),
        (0.8, 0.9),
        (None, "/etc/qvl/key"),
    ]


def test_what_workers_keep_secret_is_secret_in_the_file_too(tmp_path: Path) -> None:
    key, env = tmp_path / "key", tmp_path / "env"
    key.write_text(f"{SECRET}\n")
    env.write_text("HF_TOKEN=hf_of_a_file\n")
    launch = Launch(engine=Engine("a", EngineKind.SIMULATED, env_file=str(env)), api_key_file=str(key))
    gone = Launch(engine=Engine("b", EngineKind.SIMULATED), api_key_file=str(tmp_path / "gone"))
    assert known_secrets((launch, gone)) == {SECRET, "hf_of_a_file"}
    seen = view(loaded(f'model = "{SECRET}" # hf_of_a_file\n'.encode()), STATUS, None, (gone, launch))
    assert seen.files[0].text == 'model = "[redacted]" # [redacted]\n'
    assert seen.files[0].redacted == 2
