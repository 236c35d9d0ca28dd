"""Flags that vLLM had, and what to write instead.

From the declarations in 28 published packages of 0.8.5 to 0.32.0, and from vLLM's own notes; 0.15 and 0.21 were not
among them, so that the last version of a flag may be one of those where it says 0.14.1 or 0.20.2.
"""

from collections.abc import Mapping

from qvl.engines.flags.table import Retired

_NOTHING = ""
_STRUCTURED = '"structured-outputs-config"'

RETIRED: Mapping[str, Retired] = {
    name: Retired(last, instead)
    for last, instead, names in (
        (
            "0.9.2",
            _NOTHING,
            "use-v2-block-manager tokenizer-pool-size tokenizer-pool-type tokenizer-pool-extra-config device"
            " long-lora-scaling-factors max-prompt-adapters max-prompt-adapter-token prompt-adapters"
            " qlora-adapter-name-or-path expand-tools-even-if-tool-choice-none",
        ),
        ("0.9.2", '"reasoning-parser" alone', "enable-reasoning"),
        ("0.10.0", _NOTHING, "num-scheduler-steps multi-step-stream-outputs"),
        ("0.10.1.1", _NOTHING, "enable-prompt-adapter override-neuron-config"),
        ("0.10.2", _NOTHING, "disable-async-output-proc scheduler-delay-factor preemption-mode max-seq-len-to-capture"),
        (
            "0.10.2",
            _STRUCTURED,
            "guided-decoding-backend guided-decoding-disable-fallback guided-decoding-disable-any-whitespace"
            " guided-decoding-disable-additional-properties",
        ),
        ("0.11.0", '"hf-overrides"', "rope-scaling rope-theta"),
        ("0.11.0", _NOTHING, "enable-lora-bias"),
        ("0.11.2", _NOTHING, "lora-extra-vocab-size num-lookahead-slots"),
        ("0.11.2", '"pooler-config"', "override-pooler-config"),
        (
            "0.11.2",
            '"eplb-config"',
            "num-redundant-experts eplb-window-size eplb-step-interval eplb-log-balancedness",
        ),
        ("0.12.0", '"runner" or "convert"', "task"),
        ("0.12.0", '"mm-processor-cache-gb" = 0', "disable-mm-preprocessor-cache"),
        ("0.12.0", '"mm-encoder-tp-mode" = "data"', "enable-multimodal-encoder-data-parallel"),
        ("0.12.0", '"cudagraph-capture-sizes"', "cuda-graph-sizes"),
        ("0.16.0", '"logits-processors"', "logits-processor-pattern"),
        ("0.16.0", '"enable-log-requests" = false', "disable-log-requests"),
        ("0.17.1", _NOTHING, "swap-space use-gpu-for-pooling-score"),
        ("0.18.1", _NOTHING, "disable-frontend-multiprocessing"),
        ("0.26.0", _NOTHING, "max-num-partial-prefills max-long-partial-prefills"),
        ("0.27.1", _NOTHING, "calculate-kv-scales override-attention-dtype"),
        ("0.29.0", _NOTHING, "enable-bf16x3-router-gemm"),
        ("0.30.0", _NOTHING, "enable-mamba-fine-grained-prefix-cache"),
    )
    for name in names.split()
}
