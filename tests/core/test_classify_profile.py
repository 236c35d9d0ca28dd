"""What a profile says and a retry can't mend: a model that is not there, arguments that the engine won't have."""

import pytest
from qvl.core.faults.setup import BEFORE_READY
from qvl.model.worker import Cause

from tests.core.spoken import End, check, found, in_main, serving, starting, timed

MODEL = Cause.MODEL_MISSING
ARGS = Cause.BAD_ARGUMENTS
CHAINED = (
    "The above exception was the direct cause of the following exception:",
    "Traceback (most recent call last):",
    '  File "transformers/utils/hub.py", line 470, in cached_files',
    "    raise OSError(",
)
RESOLVING = (
    '  File "sglang/srt/server_args.py", line 4495, in prepare_server_args',
    '  File "sglang/srt/server_args.py", line 4033, in from_cli_args',
)
LOGGED = timed("server_args=ServerArgs(model_path='acme/secret-8b', tokenizer_path='acme/secret-8b', host='::1')")

MODELS = [
    End(
        "no such name on the hub",
        in_main(
            "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: "
            "https://huggingface.co/acme/nope/resolve/main/config.json",
            *CHAINED,
            "OSError: acme/nope is not a local folder and is not a valid model identifier listed on "
            "'https://huggingface.co/models'",
        ),
        MODEL,
        "acme/nope",
        "HF_HOME",
        code=1,
    ),
    End(
        "a name that is none",  # sglang 302
        in_main(
            "huggingface_hub.errors.HFValidationError: Repo id must use alphanumeric chars or '-', '_', '.', '--' and "
            "'..' are forbidden: 'acme/model:gptq-4bit'."
        ),
        MODEL,
        "acme/model:gptq-4bit",
        code=1,
    ),
    End(
        "a gated model, named by the address",
        in_main(
            "OSError: You are trying to access a gated repo.",
            "Make sure to have access to it at https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct.",
            "401 Client Error. (Request ID: Root=1-67)",
        ),
        MODEL,
        "gated repo",
        "meta-llama/Llama-3.1-8B-Instruct: the hub wants a token",
        code=1,
    ),
    End(
        "a hub out of reach, and the model named by the arguments",
        [
            LOGGED,
            *in_main(
                "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in "
                "the cached files.",
                "Check your internet connection or see how to run the library in offline mode at "
                "'https://huggingface.co/docs/transformers/installation#offline-mode'.",
            ),
        ],
        MODEL,
        "couldn't connect",
        "acme/secret-8b: the model is not in HF_HOME",
        code=1,
    ),
    End(
        "offline, and not in the cache",
        in_main(
            "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the "
            "specified revision on the local disk and outgoing traffic has been disabled."
        ),
        MODEL,
        "outgoing traffic",
        "download it first",
        code=1,
    ),
    End(
        "a directory without a file",
        in_main("OSError: /models/qwen3 does not appear to have a file named preprocessor_config.json. Checkout '/m'"),
        MODEL,
        "/models/qwen3",
        "download it again",
        code=1,
    ),
    End(
        "weights cut short",
        starting("safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer"),
        MODEL,
        "MetadataIncompleteBuffer",
        "download it again",
    ),
    End(
        "weights of which some are missing",  # sglang 0.5.18
        starting(
            "RuntimeError: model.safetensors.index.json references 2 shard file(s) missing from /models/q (incomplete "
            "download?): ['model-00003-of-00004.safetensors', 'model-00004-of-00004.safetensors']"
        ),
        MODEL,
        "/models/q",
        "download it again",
    ),
    End(
        "no weights at all",
        starting("RuntimeError: Cannot find any model weights with `/models/q`"),
        MODEL,
        "/models/q",
    ),
    End(
        "ModelScope",
        in_main("modelscope.hub.errors.NotExistError: The request model: acme/nope does not exist!"),
        MODEL,
        "acme/nope",
        code=1,
    ),
]

ARGUMENTS = [
    End(
        "a flag that this version lacks",  # sglang 4116, 5032
        [
            "usage: launch_server.py [-h] --model-path P",
            "launch_server.py: error: unrecognized arguments: --enable_metrics",
        ],
        ARGS,
        "--enable_metrics",
        code=2,
    ),
    End(
        "a value that is no choice",
        ["launch_server.py: error: argument --attention-backend: invalid choice: 'fa9' (choose from 'fa3', 'triton')"],
        ARGS,
        "'fa9'",
        code=2,
    ),
    End(
        "a flag that is gone, with its successor",
        ["sglang serve: error: --enable-ep-moe is deprecated. Please set `--ep-size` to the value of `--tp-size`."],
        ARGS,
        "--ep-size",
        code=2,
    ),
    End(
        "heads that can't be split",
        starting("AssertionError: 28 is not divisible by 8"),
        ARGS,
        "28 is not divisible by 8",
        "another tp-size",
    ),
    End(
        "blocks that can't be split",
        starting(
            "ValueError: Weight output_partition_size = 2368 is not divisible by weight quantization block_n = 128."
        ),
        ARGS,
        "not divisible",
    ),
    End(
        "a quantization that the card can't do",
        starting(
            "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 80. "
            "Current capability: 75."
        ),
        ARGS,
        "Minimum capability",
        "another quantization",
    ),
    End(
        "code of the model's own",
        in_main(
            "ValueError: The repository acme/m contains custom code which must be executed to correctly load the "
            "model. Please pass the argument `trust_remote_code=True` to allow custom code to be run."
        ),
        ARGS,
        "trust_remote_code",
        "trust-remote-code = true",
        code=1,
    ),
    End(
        "an address that is not this host's",
        [
            timed(
                "ERROR:    [Errno 99] error while attempting to bind on address ('10.9.9.9', 8000): cannot assign "
                "requested address"
            ),
            timed("INFO:     Waiting for application shutdown."),
        ],
        ARGS,
        "10.9.9.9",
        "the pool's host",
        code=3,
    ),
    End(
        "arguments that contradict each other",
        in_main(*RESOLVING, '  File "sglang/srt/server_args.py", line 2605, in __post_init__', "AssertionError"),
        ARGS,
        "AssertionError",
        code=1,
    ),
    End(
        "an architecture that it doesn't know",
        starting("ValueError: Model architectures ['FooForCausalLM'] are not supported for now."),
        ARGS,
        "FooForCausalLM",
        "install a newer one",
    ),
    End(
        "a context that is too long, in vLLM",
        in_main("ValueError: User-specified max_model_len (65536) is greater than the derived max_model_len (32768)."),
        ARGS,
        "max_model_len",
        code=1,
    ),
]


@pytest.mark.parametrize("end", [*MODELS, *ARGUMENTS], ids=str)
def test_what_the_profile_has_to_say_otherwise(end: End) -> None:
    check(end)


@pytest.mark.parametrize("end", [*MODELS, *ARGUMENTS], ids=str)
def test_an_engine_that_served_had_all_of_it(end: End) -> None:
    """Whatever ends it later, it is started again: that a request met a gap is no reason to stay down."""
    words = next((line for line in reversed(end.log) if not line.startswith("[")), end.log[-1])
    assert found(End("", serving(words), end.cause, "", was_ready=True)).cause not in BEFORE_READY
