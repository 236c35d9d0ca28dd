"""What is found of a model on a disk: real directories, whole and in each way broken."""

import json
import os
import shutil
from pathlib import Path

import pytest
from qvl.host.hub_cache import find, guessed_size, is_hub_name, offline
from qvl.host.model_files import Survey, flaw_of, has_come, survey

from tests.models import POINTER, TEXT, model, names, shard


def flaws(path: Path) -> dict[str, str]:
    """What is wrong by the file's name."""
    return {Path(flaw.path).name: flaw.what for flaw in survey(str(path)).flaws}


def test_a_whole_model(tmp_path: Path) -> None:
    found = survey(str(model(tmp_path / "m", 4000, 4)))
    assert found == Survey(str(tmp_path / "m"), config=TEXT, stored={"BF16": 4000}, shards=4)
    assert survey(str(model(tmp_path / "one", 4000))).stored["BF16"] == 4000


def test_bytes_are_counted_by_type(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000, 2)
    shard(path / names(2)[1], 500, "F8_E4M3")
    stored = survey(str(path)).stored
    assert (stored["BF16"], stored["F8_E4M3"]) == (2000, 500)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert not survey(str(tmp_path / "none")).there
    assert not survey(str(tmp_path / "none" / "deeper")).there


def test_shards_that_are_missing(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000, 4, leave_out=(2, 3))
    assert flaws(path) == {names(4)[1]: "is missing", names(4)[2]: "is missing"}
    assert survey(str(path)).shards == 4


def test_numbered_shards_without_an_index(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 3000, 3, leave_out=(1,))
    (path / "model.safetensors.index.json").unlink()
    assert flaws(path) == {names(3)[0]: "is missing"}


def test_a_shard_that_is_cut_short(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000, 2)
    file = path / names(2)[1]
    whole = file.stat().st_size
    assert flaws(path) == {}
    for size in (whole - 1, whole - 1999, 60, 9, 3):  # in its data, in its header, in the length of that
        os.truncate(file, size)
        (what,) = flaws(path).values()
        assert what.startswith("is cut short" if size > 8 else "is no safetensors file"), size
    os.truncate(file, 0)
    assert flaws(path) == {file.name: "is empty"}


def test_the_length_of_a_cut_shard_is_told(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 2_000_000)
    file = path / "model.safetensors"
    whole = file.stat().st_size
    os.truncate(file, 1_000_000)
    assert flaws(path) == {file.name: f"is cut short: 1,000,000 of {whole:,} bytes are there"}


def test_a_pointer_in_the_place_of_a_file(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000, 2)
    for name in (names(2)[0], "config.json"):
        (path / name).write_text(POINTER)
    assert all("git-lfs" in what for what in flaws(path).values())
    assert len(flaws(path)) == 2


def test_noise_in_the_place_of_weights(tmp_path: Path) -> None:
    path = model(tmp_path / "m")
    (path / "model.safetensors").write_bytes(b"<html>404 Not Found</html>" * 40)
    assert flaws(path) == {"model.safetensors": "is no safetensors file"}
    (path / "model.safetensors").write_bytes((20).to_bytes(8, "little") + b"{" * 40)
    assert flaws(path) == {"model.safetensors": "is no safetensors file"}


def test_a_link_without_an_end(tmp_path: Path) -> None:
    """As in a hub's cache whose blobs were taken away."""
    path = model(tmp_path / "m")
    (path / "model.safetensors").unlink()
    (path / "model.safetensors").symlink_to(tmp_path / "blobs" / "gone")
    assert flaws(path) == {"model.safetensors": "is missing"}


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000])
def test_a_config_that_says_nothing(tmp_path: Path, content: str) -> None:
    path = model(tmp_path / "m")
    (path / "config.json").write_text(content)
    assert list(flaws(path)) == ["config.json"]
    (path / "config.json").unlink()
    assert flaws(path) == {"config.json": "is missing"}


def test_an_index_that_says_nothing_is_no_index(tmp_path: Path) -> None:
    path = model(tmp_path / "m")
    (path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert flaws(path) == {}
    (path / "model.safetensors.index.json").write_text("")
    assert flaws(path) == {"model.safetensors.index.json": "is empty"}


def test_an_index_may_name_anything(tmp_path: Path) -> None:
    path = model(tmp_path / "m")
    (path / "deep").mkdir()
    shard(path / "deep" / "a.safetensors", 10)
    wild = {"weight_map": {"a": "deep/a.safetensors", "b": "no\0name", "c": "../gone", "d": "model.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(wild))
    assert set(flaws(path)) == {"no\0name", "gone"}
    assert not has_come(str(path / "no\0name"))


def test_a_directory_without_weights(tmp_path: Path) -> None:
    path = model(tmp_path / "m [old]")
    (path / "model.safetensors").unlink()
    (flaw,) = survey(str(path)).flaws
    assert not has_come(flaw.path)
    shard(path / "model.safetensors", 5)
    assert has_come(flaw.path)


def test_other_forms_of_models(tmp_path: Path) -> None:
    old = model(tmp_path / "old")
    (old / "model.safetensors").unlink()
    (old / "pytorch_model.bin").write_bytes(b"x" * 5000)
    (old / "training_args.bin").write_bytes(b"")
    assert flaws(old) == {}
    assert survey(str(old)).stored == {"": 5000}
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "m-Q4.gguf").write_bytes(b"GGUF" * 1000)
    assert flaws(packed) == {}
    assert survey(str(packed / "m-Q4.gguf")).stored == {"": 4000}
    (packed / "m-Q4.gguf").write_bytes(b"")
    assert flaws(packed / "m-Q4.gguf") == {"m-Q4.gguf": "is empty"}
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "model_index.json").write_text("{}")
    assert flaws(parts) == {}
    mistral = tmp_path / "mistral"
    mistral.mkdir()
    (mistral / "params.json").write_text("{}")
    shard(mistral / "consolidated.safetensors", 100)
    assert flaws(mistral) == {}
    assert survey(str(mistral)).stored["BF16"] == 100


def test_a_second_copy_of_the_weights_counts_once(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000)
    shard(path / "consolidated.safetensors", 4000)
    assert survey(str(path)).stored["BF16"] == 4000


def test_tokenizers(tmp_path: Path) -> None:
    path = model(tmp_path / "m")
    assert survey(str(path)).tokenizer
    (path / "tokenizer.json").rename(path / "notes.txt")
    assert not survey(str(path)).tokenizer
    (path / "vocab.json").write_text("{}")
    assert survey(str(path)).tokenizer


def test_what_changes_is_seen_and_what_doesn_t_is_not_read_again(tmp_path: Path) -> None:
    path = model(tmp_path / "m", 4000, 2)
    first = survey(str(path))
    assert survey(str(path)) is first
    file = path / names(2)[0]
    file.write_bytes(file.read_bytes()[:-1])
    assert survey(str(path)).flaws
    config = path / "config.json"
    config.write_text(config.read_text().replace("4096", "8192"))
    assert survey(str(path)).config["hidden_size"] == 8192, "as long as before, and another one"
    shutil.rmtree(path)
    assert not survey(str(path)).there


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_can_t_be_read_is_an_error(tmp_path: Path) -> None:
    path = model(tmp_path / "m")
    path.chmod(0)
    with pytest.raises(PermissionError):
        survey(str(path))


def test_a_file_has_come_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "model-00001-of-00002.safetensors"
    assert not has_come(str(file))
    shard(file, 4000)
    whole = file.stat().st_size
    os.truncate(file, whole - 1)
    assert not has_come(str(file))
    os.truncate(file, whole)
    assert has_come(str(file))
    (tmp_path / "config.json").write_text("")
    assert not has_come(str(tmp_path / "config.json"))
    assert has_come(str(tmp_path))
    assert flaw_of(str(tmp_path / "config.json")) == "is empty"
    (tmp_path / "m.gguf").write_bytes(b"")
    assert not has_come(str(tmp_path / "m.gguf"))
    assert not has_come(str(file / "below a file"))


# ---- models of a hub


def cached(root: Path, name: str = "Qwen/Qwen3-VL-8B-Instruct", commit: str = "abc123") -> Path:
    """A model in a hub's cache, as `huggingface_hub` lays it out."""
    folder = root / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    return model(folder / "snapshots" / commit)


@pytest.mark.parametrize(
    ("env", "root"),
    [
        ({"HF_HUB_CACHE": "{0}/x", "HF_HOME": "/no"}, "x"),
        ({"HF_HOME": "{0}/x"}, "x/hub"),
        ({"HF_HOME": "~/x", "HOME": "{0}"}, "x/hub"),
        ({"XDG_CACHE_HOME": "{0}/x", "HOME": "/no"}, "x/huggingface/hub"),
        ({"HOME": "{0}"}, ".cache/huggingface/hub"),
    ],
)
def test_where_a_hub_s_models_lie(tmp_path: Path, env: dict[str, str], root: str) -> None:
    here = {name: value.format(tmp_path) for name, value in env.items()}
    assert find("Qwen/Qwen3-VL-8B-Instruct", here).snapshot == ""
    snapshot = cached(tmp_path / root)
    found = find("Qwen/Qwen3-VL-8B-Instruct", here)
    assert (found.root, found.snapshot) == (str(tmp_path / root), str(snapshot))
    assert find("Qwen/Qwen3-VL-8B-Instruct", here, revision="other").snapshot == ""
    assert find("Qwen/Qwen3-VL-8B-Instruct", here, revision="abc123").snapshot == str(snapshot)


def test_a_download_directory_goes_first(tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "own")
    found = find("Qwen/Qwen3-VL-8B-Instruct", {"HF_HOME": "/no"}, download_dir=str(tmp_path / "own"))
    assert found.snapshot == str(snapshot)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", 16e9),
        ("Qwen/Qwen3-30B-A3B", 60e9),
        ("Qwen/Qwen3-235B-A22B-FP8", 235e9),
        ("Qwen/Qwen2.5-VL-32B-Instruct-AWQ", 17.6e9),
        ("Qwen/Qwen3-0.6B", 1.2e9),
        ("openai/gpt-oss-120b", 240e9),
        ("deepseek-ai/DeepSeek-V3", None),
    ],
)
def test_sizes_that_names_tell(name: str, size: float | None) -> None:
    assert guessed_size(name) == (None if size is None else int(size))


def test_names_of_hubs() -> None:
    assert is_hub_name("Qwen/Qwen3-VL-8B-Instruct")
    assert is_hub_name("gpt2")
    for name in ("s3://bucket/m", "./here", "a/b/c", "", "~/m"):
        assert not is_hub_name(name)
    assert offline({"HF_HUB_OFFLINE": "1"})
    assert offline({"HF_HUB_OFFLINE": "true"})
    assert not offline({"HF_HUB_OFFLINE": "0"})
