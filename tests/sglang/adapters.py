"""What it takes for the real SGLang to load LoRA adapters without a GPU. Standard library only.

Its LoRA code copies through pinned memory, which a CPU's torch doesn't have, and reads adapters by the model's
`load_format`, which can't be `dummy` then: so a model with (random) weights, and a torch that pins nothing. SGLang
itself is not changed; what is proven is how it answers, never what an adapter does.
"""

import json
import math
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.sglang_cpu import make_model

MODULES = {"q_proj": 64, "v_proj": 32}
"""What adapters are for, with the width of its output in `model`."""

UNPINNED = """
import importlib.abc, importlib.util, sys

class AfterTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), unpin(module))
        return spec

def unpin(torch):
    torch.Tensor.pin_memory = lambda self, *_, **__: self
    for name in ("tensor", "zeros", "ones", "empty", "arange", "full"):
        def make(*args, make=getattr(torch, name), **more):
            more.pop("pin_memory", None)
            return make(*args, **more)
        setattr(torch, name, make)

sys.meta_path.insert(0, AfterTorch())
"""


def unpinned(directory: Path) -> str:
    """A value of PYTHONPATH under which torch pins no memory."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(UNPINNED)
    return str(directory)


def model(directory: Path) -> Path:
    """A text model with weights."""
    make_model.make(directory, "text")
    config = json.loads((directory / "config.json").read_text())
    hidden, inner, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    tensors = {"model.embed_tokens.weight": (config["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for layer in range(config["num_hidden_layers"]):
        shapes = {
            "input_layernorm": (hidden,),
            "post_attention_layernorm": (hidden,),
            "self_attn.q_proj": (queries, hidden),
            "self_attn.k_proj": (keys, hidden),
            "self_attn.v_proj": (keys, hidden),
            "self_attn.o_proj": (hidden, queries),
            "self_attn.q_norm": (head,),
            "self_attn.k_norm": (head,),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }
        tensors |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in shapes.items()}
    _write(directory / "model.safetensors", tensors)
    return directory


def adapter(directory: Path, rank: int) -> Path:
    """One for `model`, in PEFT's form. SGLang takes q_proj and v_proj together only."""
    directory.mkdir()
    about = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": [*MODULES], "bias": "none"}
    (directory / "adapter_config.json").write_text(json.dumps(about))
    tensors = {
        f"base_model.model.model.layers.{layer}.self_attn.{module}.lora_{side}.weight": shape
        for layer in range(2)
        for module, width in MODULES.items()
        for side, shape in (("A", (rank, make_model.HIDDEN)), ("B", (width, rank)))
    }
    _write(directory / "adapter_model.safetensors", tensors)
    return directory


def _write(file: Path, tensors: Mapping[str, Sequence[int]]) -> None:
    """Random tensors as a safetensors file: the length of a JSON header, the header, the data."""
    draw = random.Random(file.name)
    header, data = {}, bytearray()
    for name, shape in tensors.items():
        count = math.prod(shape)
        values = [1.0 if "norm" in name else draw.gauss(0, 0.05) for _ in range(count)]
        start = len(data)
        data += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
