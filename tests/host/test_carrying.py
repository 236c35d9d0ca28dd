"""What is said of a profile on this host: its model on the disk, the memory of its cards, shared memory."""

import os
from pathlib import Path

from qvl.core.capacity import GIB, Room
from qvl.host.carrying import Concern, Look, disk, environment_of, look, shared_memory
from qvl.model.spec import ArgValue, Engine, EngineKind, Launch
from qvl.model.worker import Cause

from tests.models import TEXT, model, names, shard

CARD = Room(80 * GIB, 80 * GIB)


def launch(
    path: str | Path, kind: EngineKind = EngineKind.SGLANG, env: dict[str, str] | None = None, **args: ArgValue
) -> Launch:
    words = {name.replace("_", "-"): value for name, value in args.items()}
    return Launch(engine=Engine("e", kind, env={"HF_HOME": "/nowhere"}), model=str(path), args=words, env=env or {})


def seen(asked: Launch, *rooms: Room) -> Look:
    return look(asked, rooms, {"HOME": "/nowhere", **asked.engine.env, **asked.env})


def only(asked: Launch, *rooms: Room) -> Concern:
    (concern,) = [c for c in seen(asked, *rooms).concerns if not c.message.startswith("/dev/shm")]
    return concern


def silent(asked: Launch, *rooms: Room) -> bool:
    return not [c for c in seen(asked, *rooms).concerns if not c.message.startswith("/dev/shm")]


def test_a_model_that_fits(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB, 4)
    found = seen(launch(path, mem_fraction_static=0.85), CARD)
    assert silent(launch(path, mem_fraction_static=0.85), CARD)
    assert found.estimate is not None
    assert found.estimate.weights == 16 * GIB
    assert found.estimate.per_token == 131072


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000, 4, leave_out=(2, 4))
    concern = only(launch(path), CARD)
    assert concern.error
    assert concern.cause is Cause.MODEL_MISSING
    assert concern.message == f"model {path}: {names(4)[1]} is missing, and 1 more file of it is not whole"
    assert concern.missing == str(path / names(4)[3])
    assert seen(launch(path), CARD).estimate is None


def test_a_directory_that_is_not_there_and_one_without_weights(tmp_path: Path) -> None:
    concern = only(launch(tmp_path / "m"))
    assert (concern.error, concern.missing) == (True, str(tmp_path / "m"))
    path = model(tmp_path / "m")
    (path / "model.safetensors").unlink()
    assert only(launch(path)).message == f"model {path}: its weights are missing: no file of weights is there"
    assert silent(launch(path, load_format="dummy"))
    (path / "config.json").unlink()
    assert "config.json is missing" in only(launch(path, load_format="dummy")).message


def test_a_tokenizer_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    path = model(tmp_path / "m")
    (path / "tokenizer.json").unlink()
    concern = only(launch(path))
    assert not concern.error
    assert "tokenizer" in concern.message
    assert silent(launch(path, tokenizer_path="/elsewhere"))


def test_a_draft_model_is_looked_at_too(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB)
    draft = tmp_path / "draft"
    asked = launch(path, speculative_draft_model_path=str(draft), mem_fraction_static=0.85)
    concern = only(asked, CARD)
    assert concern.error
    assert str(draft) in concern.message
    model(draft, 2 * GIB, config={**TEXT, "num_hidden_layers": 1})
    (draft / "tokenizer.json").unlink()
    found = seen(asked, CARD).estimate
    assert found is not None
    assert (found.weights, found.per_token) == (18 * GIB, 131072 + 4096)
    assert silent(asked, CARD)


def test_a_draft_that_is_still_to_come_leaves_nothing_to_say_of_memory(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 16 * GIB)
    assert seen(launch(path), CARD).estimate is not None
    assert seen(launch(path, speculative_draft_model_path="own/tiny-0.001B"), CARD).estimate is None


def test_weights_that_no_card_holds(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 200 * GIB, 4)
    concern = only(launch(path), CARD)
    assert concern.error
    assert concern.cause is Cause.OUT_OF_GPU_MEMORY
    assert concern.missing is None
    assert silent(launch(path)), "no card is known"
    assert silent(launch(path, tp_size=4), *[CARD] * 4)


def test_kinds_that_are_not_looked_at(tmp_path: Path) -> None:
    assert silent(launch("/does/not/exist", EngineKind.SIMULATED))
    assert silent(launch("/does/not/exist", EngineKind.COMMAND))
    broken = model(tmp_path / "m", 4000, 2, leave_out=(1,))
    assert silent(launch(broken, EngineKind.COMMAND))
    assert only(launch(broken, EngineKind.SIMULATED)).error
    assert only(launch(broken, EngineKind.VLLM)).error


def test_a_path_with_a_tilde_and_names_of_other_stores() -> None:
    assert "expand" in only(launch("~/m")).message
    assert silent(launch("s3://bucket/m"))
    assert silent(launch(""))


# ---- models of a hub


def test_a_model_of_a_hub_that_is_here(tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    folder = tmp_path / "hub" / "models--own--m"
    concern = only(launch("own/m", env=env))
    assert concern.error
    assert str(tmp_path / "hub") in concern.message
    assert concern.missing == f"{folder}/snapshots/*/config.json"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    snapshot = model(folder / "snapshots" / "c0ffee", 16 * GIB, 2)
    found = seen(launch("own/m", env=env), CARD)
    assert found.estimate is not None
    assert found.estimate.weights == 16 * GIB
    (snapshot / names(2)[1]).unlink()
    assert only(launch("own/m", env=env)).missing == str(snapshot / names(2)[1])
    assert silent(launch("own/m", env={**env, "HF_HUB_OFFLINE": "0"})), "it downloads what is missing"


def test_a_download_that_finds_no_room(tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path / "not" / "yet")}
    assert silent(launch("own/tiny-0.001B", env=env))
    concern = only(launch("own/huge-900000B", env=env))
    assert not concern.error
    assert "GiB free, and by its name it has some" in concern.message
    assert silent(launch("own/huge-900000B", env={**env, "SGLANG_USE_MODELSCOPE": "1"}))


def test_the_environment_is_that_of_the_engine(tmp_path: Path) -> None:
    asked = launch("own/m", env={"HF_HOME": "/profile"})
    assert environment_of(asked)["HF_HOME"] == "/profile"
    assert environment_of(asked)["PATH"] == os.environ["PATH"]
    assert environment_of(launch("own/m"))["HF_HOME"] == "/nowhere"
    secret = tmp_path / "secret.env"
    secret.write_text("# of ours\nHF_TOKEN=hf_1\nexport HF_HOME='/secret'\n")
    engine = Engine("e", EngineKind.SGLANG, env={"HF_HOME": "/nowhere"}, env_file=str(secret))
    read = environment_of(Launch(engine=engine, model="own/m"))
    assert (read["HF_HOME"], "HF_TOKEN" in read) == ("/secret", False)


# ---- the host


def test_shared_memory(tmp_path: Path) -> None:
    gone = shared_memory(str(tmp_path / "none"))
    assert gone is not None
    assert (gone.error, gone.cause) == (True, Cause.SHM_FULL)
    full = shared_memory("/proc")  # a file system without any room
    assert full is not None
    assert full.error


def test_disks(tmp_path: Path) -> None:
    full = disk("logs", Path("/proc/self"))
    assert full is not None
    assert "0 MiB free" in full.message
    assert not full.error


def test_the_type_of_weights_decides_what_they_take(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 100 * GIB)
    assert only(launch(path), CARD).error
    shard(path / "model.safetensors", 100 * GIB, "F32")
    assert silent(launch(path, mem_fraction_static=0.9), CARD)
