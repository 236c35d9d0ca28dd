"""Flags that SGLang had, and what to write instead.

Data for the hint of a refusal: the source of an installed version doesn't know what an older one had. Where a version
still declares a flag as deprecated, its source names the successor, and that goes first. From the declarations in the
published packages 0.4.9 to 0.5.23 and from their own deprecation notes.
"""

from collections.abc import Mapping

from qvl.engines.flags.table import Retired

_MOE_RUNNER = '"moe-runner-backend"'
_NOTHING = ""

RETIRED: Mapping[str, Retired] = {
    name: Retired(last, instead)
    for last, instead, names in (
        ("0.5.3", '"pp-max-micro-batch-size"', "max-micro-batch-size"),
        ("0.5.3", '"dsa-prefill-backend"', "nsa-prefill"),
        ("0.5.3", '"dsa-decode-backend"', "nsa-decode"),
        ("0.5.4", '"ep-size" with the value of "tp-size"', "enable-ep-moe"),
        ("0.5.4", '"moe-a2a-backend" = "deepep"', "enable-deepep-moe"),
        ("0.5.4", f'{_MOE_RUNNER} = "flashinfer_cutlass"', "enable-flashinfer-cutlass-moe"),
        ("0.5.4", f'{_MOE_RUNNER} = "flashinfer_cutedsl"', "enable-flashinfer-cutedsl-moe"),
        ("0.5.4", f'{_MOE_RUNNER} = "flashinfer_trtllm"', "enable-flashinfer-trtllm-moe"),
        ("0.5.4", f'{_MOE_RUNNER} = "flashinfer_mxfp4"', "enable-flashinfer-mxfp4-moe"),
        ("0.5.4", f'{_MOE_RUNNER} = "triton_kernel"', "enable-triton-kernel-moe"),
        ("0.5.4", '"otlp-traces-endpoint"', "oltp-traces-endpoint"),
        ("0.5.6", _NOTHING, "load-watch-interval"),
        ("0.5.9", _NOTHING, "mm-max-concurrent-calls mm-per-request-timeout"),
        (
            "0.5.10",
            _NOTHING,
            "enable-double-sparsity ds-channel-config-path ds-heavy-channel-num ds-heavy-channel-type"
            " ds-heavy-token-num ds-sparse-decode-threshold",
        ),
        ("0.5.12", "the variable SGLANG_ENABLE_NAN_LOGITS_CHECK, in the profile's env", "enable-nan-detection"),
        ("0.5.13", '"swa-full-tokens-ratio"', "hybrid-kvcache-ratio"),
        ("0.5.13", '"cuda-graph-backend-prefill" = "tc_piecewise"', "enable-piecewise-cuda-graph"),
        ("0.5.17", _NOTHING, "torchao-config"),
        ("0.5.19", '"cuda-graph-backend-prefill" = "disabled"', "disable-piecewise-cuda-graph"),
        ("0.5.19", '"cuda-graph-backend-prefill" = "tc_piecewise"', "enforce-piecewise-cuda-graph"),
        ("0.5.19", '"cuda-graph-backend-prefill" = "breakable"', "enable-breakable-cuda-graph"),
        ("0.5.19", '"cuda-graph-bs-prefill"', "piecewise-cuda-graph-tokens"),
        ("0.5.19", '"cuda-graph-max-bs-prefill"', "piecewise-cuda-graph-max-tokens"),
        ("0.5.19", _NOTHING, "piecewise-cuda-graph-compiler"),
        ("0.5.19", '"cuda-graph-bs-decode"', "cuda-graph-bs"),
        ("0.5.19", '"cuda-graph-max-bs-decode"', "cuda-graph-max-bs"),
        ("0.5.19", '"incremental-streaming-output"', "stream-output"),
        ("0.5.19", '"enable-metrics" alone', "collect-tokens-histogram"),
        ("0.5.19", '"dsa-prefill-backend"', "nsa-prefill-backend"),
        ("0.5.19", '"dsa-decode-backend"', "nsa-decode-backend"),
        ("0.5.19", '"cp-strategy"', "nsa-prefill-cp-mode dsa-prefill-cp-mode prefill-cp-mode"),
        (
            "0.5.19",
            '"enable-prefill-cp"',
            "enable-prefill-context-parallel enable-dsa-prefill-context-parallel enable-nsa-prefill-context-parallel",
        ),
        ("0.5.19", '"mamba-radix-cache-strategy"', "mamba-scheduler-strategy"),
        ("0.5.19", '"speculative-draft-window-size"', "speculative-dflash-draft-window-size"),
        ("0.5.20", '"mm-feature-transport"', "keep-mm-feature-on-device"),
    )
    for name in names.split()
}
