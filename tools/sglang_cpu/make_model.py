"""Make a model directory of 50 kB that the real SGLang serves with `--load-format dummy`.

    python make_model.py DIR [vl|text]

`vl` is a Qwen3-VL of two layers (text, images, video), `text` a Qwen3 of two layers. There are no
weights: they are random at each start, so this shows how an engine behaves, never what a model answers. It takes the
standard library only and downloads nothing.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

Kind = Literal["vl", "text"]

CONTEXT = 4096
HIDDEN = 64
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Whole words among the tokens, so that what random weights say streams as text rather than as broken UTF-8.
WORDS = (
    "a about after all and any are as at be been before but by can could day did do down even first for from get "
    "give go good had has have he her here him his how if image in into is it its just know like little long "
    "look made make man many may me more most much must my new no not now of on one only or other our out over "
    "people picture said see she should so some such than that the their them then there these they this time to "
    "two up very was way we well were what when where which who will with word would you your"
)
CHAT_TEMPLATE = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content %}
            {%- if part.type in ['image', 'image_url'] %}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' }}
            {%- elif part.type in ['video', 'video_url'] %}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' }}
            {%- elif 'text' in part %}
                {{- part.text }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""".strip()


def make(directory: Path, kind: Kind = "vl") -> None:
    """Write the model into `directory`, over what an earlier call left there. OSError where it can't be written."""
    directory.mkdir(parents=True, exist_ok=True)
    files = _tokenizer()
    vocabulary = len(files["vocab.json"]) + len(SPECIAL)
    if kind == "vl":
        files |= {"config.json": _vision_language(vocabulary)} | _processors()
    else:
        files |= {"config.json": _text(vocabulary) | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}}
    files["generation_config.json"] = {
        "bos_token_id": _id("<|endoftext|>"),
        "eos_token_id": [_id("<|im_end|>"), _id("<|endoftext|>")],
        "pad_token_id": _id("<|endoftext|>"),
        "do_sample": True,
        "temperature": 0.7,
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in _merges())
    (directory / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")


def _id(special: str) -> int:
    return SPECIAL.index(special)


def _byte_characters() -> list[str]:
    """What byte-level BPE writes for each byte: the character of that code where it prints, else one from U+0100 on."""
    prints = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in prints else next(others)) for byte in range(256)]


def _merges() -> list[tuple[str, str]]:
    """Each word grows from its leading space, a letter at a time: no two words can compete for a letter."""
    space = _byte_characters()[ord(" ")]
    pairs = ((space + word[:end], word[end]) for word in WORDS.split() for end in range(len(word)))
    return list(dict.fromkeys(pairs))


def _tokenizer() -> dict[str, Mapping[str, object]]:
    tokens = [*_byte_characters(), *(left + right for left, right in _merges())]
    vocabulary = {token: number for number, token in enumerate(tokens, start=len(SPECIAL))}
    added = [{"id": _id(token), "content": token, "special": True} | _PLAIN for token in SPECIAL]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "vocab.json": vocabulary,
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {token: _id(token) for token in SPECIAL} | vocabulary,
                "merges": _merges(),
            },
        },
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": {
                str(_id(token)): {"content": token, "special": True} | _PLAIN for token in SPECIAL
            },
            "additional_special_tokens": SPECIAL[1:],
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT,
            "chat_template": CHAT_TEMPLATE,
        },
    }


_PLAIN: dict[str, object] = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}


def _text(vocabulary: int) -> dict[str, object]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000,
        "max_position_embeddings": CONTEXT,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "tie_word_embeddings": True,
        "bos_token_id": _id("<|endoftext|>"),
        "eos_token_id": _id("<|im_end|>"),
        "dtype": "bfloat16",
    }


def _vision_language(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"],
        "model_type": "qwen3_vl",
        "dtype": "bfloat16",
        "tie_word_embeddings": True,
        "image_token_id": _id("<|image_pad|>"),
        "video_token_id": _id("<|video_pad|>"),
        "vision_start_token_id": _id("<|vision_start|>"),
        "vision_end_token_id": _id("<|vision_end|>"),
        "text_config": _text(vocabulary)
        | {
            "model_type": "qwen3_vl_text",
            # Sections for time, height and width; together half of head_dim.
            "rope_scaling": {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [4, 2, 2]},
        },
        "vision_config": {
            "model_type": "qwen3_vl",
            "depth": 2,
            "hidden_size": HIDDEN,
            "out_hidden_size": HIDDEN,
            "intermediate_size": 2 * HIDDEN,
            "num_heads": 4,
            "in_channels": 3,
            "patch_size": 16,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "num_position_embeddings": 256,
            "deepstack_visual_indexes": [0],
            "hidden_act": "gelu_pytorch_tanh",
            "initializer_range": 0.02,
        },
    }


def _processors() -> dict[str, Mapping[str, object]]:
    common: dict[str, object] = {
        "processor_class": "Qwen3VLProcessor",
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        # Pixels of the whole picture, whatever the names say.
        "size": {"shortest_edge": 32 * 32, "longest_edge": 256 * 256},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    return {
        "preprocessor_config.json": common | {"image_processor_type": "Qwen2VLImageProcessorFast"},
        "video_preprocessor_config.json": common | {"video_processor_type": "Qwen3VLVideoProcessor"},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("kind", nargs="?", choices=("vl", "text"), default="vl")
    given = parser.parse_args(arguments)
    make(given.directory, given.kind)


if __name__ == "__main__":
    main()
