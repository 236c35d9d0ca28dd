"""The flags that the simulated engine takes: those of SGLang 0.5.18, and its own `sim-` ones.

They are data, so that the supervisor can refuse a misspelt flag of a simulated profile without starting anything.
Parsing a command line is left to `arguments.py`; this is read before the first log line and imports nothing slow.
The table follows the argparse declarations of sglang 0.5.18; a deprecated spelling is an alias of its successor.
"""

from typing import NamedTuple


class Flag(NamedTuple):
    """One flag; `name` and `aliases` are without the leading dashes."""

    name: str
    aliases: tuple[str, ...] = ()
    type: str = "str"
    """`str`, `int`, `float`, `size` (an int that may end in k, Ki, m, Mi …), `json`, `bool` (no value), or
    `bool-optional` (no value, with a `no-` form)."""
    nargs: str = ""
    """`+`, `*` or `?` for a flag with several values or an optional one, as argparse has them."""
    choices: tuple[str, ...] = ()
    """As they are typed, whatever the type."""
    default: object = None

    @property
    def field(self) -> str:
        """Its name in `ServerArgs` and in `/server_info`."""
        return _FIELDS.get(self.name, self.name.replace("-", "_"))


# Fields that are called otherwise than their flag.
_FIELDS = {
    "fp8-gemm-backend": "fp8_gemm_runner_backend",
    "fp4-gemm-backend": "fp4_gemm_runner_backend",
    "elastic-ep-join-mode": "ep_join_mode",
    "elastic-ep-join-rank-offset": "ep_join_rank_offset",
}

# Lists of choices too long for a row of the table, which names them by `@`.
_CHOICES = {
    "load-format": (
        "auto pt safetensors npcache dummy sharded_state presharded gguf bitsandbytes mistral layered "
        "flash_rl remote remote_instance fastsafetensors private runai_streamer"
    ),
    "quantization": (
        "awq fp8 mxfp8 gptq marlin gptq_marlin awq_marlin bitsandbytes gguf modelopt modelopt_fp8 "
        "modelopt_fp4 nvfp4_online modelopt_mixed petit_nvfp4 w8a8_int8 w8a8_fp8 moe_wna16 w4afp8 mxfp4 "
        "auto-round auto-round-int8 compressed-tensors modelslim mxfp_w4a8 quark quark_int4fp8_moe "
        "quark_mxfp4 mlx_q4 mlx_q8 unquant humming"
    ),
    "kv-cache-dtype": "auto fp8_e5m2 fp8_e4m3 mxfp8 bf16 bfloat16 nvfp4 fp4_mx_block16 fp4_e2m1",
    "load-balance-method": "auto round_robin follow_bootstrap_room total_requests total_tokens",
    "reasoning-parser": (
        "auto apertus2509 deepseek-r1 deepseek-v3 deepseek-v4 glm45 hunyuan gpt-oss kimi kimi_k2 kimi_k3 "
        "mimo muse poolside_v1 qwen3 qwen3-thinking minimax minimax-append-think minimax-m3 step3 step3p5 "
        "mistral nemotron_3 interns1 gemma4 inkling cohere_command4"
    ),
    "tool-call-parser": (
        "auto apertus2509 cohere_command4 deepseekv3 deepseekv31 deepseekv32 deepseekv4 glm glm45 glm47 "
        "gpt-oss kimi_k2 kimi_k3 lfm2 llama3 mimo minicpm5 mistral muse poolside_v1 pythonic qwen qwen25 "
        "qwen3_coder step3 step3p5 minimax-m2 minimax-m3 trinity interns1 hermes hunyuan gigachat3 gemma4 "
        "inkling"
    ),
    "attention-backend": (
        "triton torch_native flex_attention dsa nsa dsv4 compressed cutlass_mla fa3 fa4 flashinfer "
        "flashmla trtllm_mla cutedsl_mla tokenspeed_mla trtllm_mha dual_chunk_flash_attn hpc_ops aiter "
        "wave intel_amx ascend intel_xpu"
    ),
    "mm-attention-backend": "sdpa fa3 fa4 triton_attn ascend_attn aiter_attn flashinfer_cudnn amx_attn xpu_attn",
    "fp8-gemm-backend": (
        "auto deep_gemm flashinfer_trtllm flashinfer_cutlass flashinfer_deepgemm flashinfer_cutedsl "
        "cutlass triton aiter"
    ),
    "fp4-gemm-backend": "auto flashinfer_cudnn flashinfer_cutedsl flashinfer_cutlass flashinfer_trtllm marlin",
    "dsa-prefill-backend": (
        "flashmla_sparse flashmla_sparse_q8 flashmla_kv flashmla_auto flashinfer_sparse_mla fa3 tilelang aiter trtllm"
    ),
    "speculative-moe-runner-backend": (
        "auto deep_gemm triton triton_kernel flashinfer_trtllm experimental_sgl_trtllm "
        "flashinfer_trtllm_routed flashinfer_cutlass flashinfer_mxfp4 flashinfer_cutedsl cutlass aiter "
        "marlin humming experimental_sgl_marlin hpc_ops megamoe"
    ),
    "speculative-moe-a2a-backend": "none deepep mooncake nixl mori ascend_fuseep flashinfer megamoe pplx ascend_tp",
    "linear-attn-verify-backend": "triton cutedsl flashinfer flashkda nvidia_kda ptx_kda helion nv_cutedsl",
    "hicache-mem-layout": "layer_first page_first page_first_direct page_first_kv_split page_head",
    "lora-target-modules": (
        "q_proj k_proj v_proj o_proj q_a_proj kv_a_proj_with_mqa q_b_proj kv_b_proj wq_b wk weights_proj "
        "gate_proj up_proj down_proj qkv_proj gate_up_proj embed_tokens lm_head qkvr wo_ud all"
    ),
    "sim-fail": (
        "bad-arguments model-missing port-in-use out-of-gpu-memory out-of-host-memory gpu-fault collective-fault "
        "engine-crash hang start-stalled environment shm-full disk-full killed exited unknown"
    ),
}

_SGLANG = """
[str]
model-path|model tokenizer-path tokenizer-mode{auto,slow}=auto tokenizer-backend{huggingface,fastokens}=huggingface
load-format{@load-format}=auto model-loader-extra-config={} revision model-impl=auto model-config-parser=auto
json-model-override-args={} dtype{auto,half,float16,bfloat16,float,float32}=auto quantization{@quantization}
quantization-param-path kv-cache-dtype{@kv-cache-dtype}=auto modelopt-quant modelopt-checkpoint-restore-path
modelopt-checkpoint-save-path modelopt-export-path rl-quant-profile
schedule-policy{lpm,random,fcfs,dfs-weight,lof,priority,routing-key}=fcfs retraction-policy{length,priority}=length
radix-eviction-policy{lru,lfu,slru,priority}=lru dist-init-addr|nccl-init-addr
load-balance-method{@load-balance-method}=auto dcp-comm-backend{ag_rs,a2a,fi_a2a}=ag_rs cp-strategy{zigzag,interleave}
dsa-prefill-cp-mode|nsa-prefill-cp-mode{in-seq-split,round-robin-split}=round-robin-split
prefill-cp-mode{in-seq-split}=in-seq-split device host=127.0.0.1 fastapi-root-path= sidecar warmups ssl-keyfile
ssl-certfile ssl-ca-certs ssl-keyfile-password api-key admin-api-key served-model-name weight-version=default
chat-template hf-chat-template-name completion-template file-storage-path=sglang_storage
reasoning-parser{@reasoning-parser} tool-call-parser{@tool-call-parser} tool-server
sampling-defaults{openai,model}=model log-level=info log-level-http log-requests-format{text,json}=text
crash-dump-folder tokenizer-metrics-custom-labels-header=x-custom-labels kv-events-config
forward-pass-metrics-worker-id= forward-pass-metrics-ipc-name trace-modules=request
otlp-traces-endpoint=localhost:4317 export-metrics-to-file-dir constrained-json-whitespace-pattern
attention-backend{@attention-backend} decode-attention-backend{@attention-backend}
prefill-attention-backend{@attention-backend} sampling-backend{pytorch,flashinfer,ascend}
grammar-backend{xgrammar,outlines,llguidance,none} radix-cache-backend mm-attention-backend{@mm-attention-backend}
fp8-gemm-backend{@fp8-gemm-backend}=auto fp4-gemm-backend{@fp4-gemm-backend}=auto
bf16-gemm-backend{auto,cutedsl,torch}=auto dsa-prefill-backend|nsa-prefill-backend{@dsa-prefill-backend}
dsa-decode-backend|nsa-decode-backend{@dsa-prefill-backend}
dsa-paged-mqa-logits-backend{auto,deepgemm,cutedsl,aiter}=auto
dsa-topk-backend{sgl-kernel,torch,flashinfer}=sgl-kernel mamba-backend{triton,flashinfer}=triton cuda-graph-config
cuda-graph-backend-decode{full,breakable,tc_piecewise,disabled}
cuda-graph-backend-prefill{full,breakable,tc_piecewise,disabled}
cuda-graph-tc-compiler|piecewise-cuda-graph-compiler{eager,inductor}
flashinfer-allreduce-fusion-backend{auto,trtllm,mnnvl} speculative-algorithm
speculative-draft-model-path|speculative-draft-model speculative-draft-model-revision
speculative-draft-load-format{@load-format} speculative-dspark-sps-table-path speculative-dspark-confidence-sts-path
speculative-token-map speculative-attention-mode{prefill,decode}=prefill speculative-draft-attention-backend
speculative-draft-kv-cache-dtype{auto,fp8_e5m2,fp8_e4m3,bf16,bfloat16}
speculative-moe-runner-backend{@speculative-moe-runner-backend}
speculative-moe-a2a-backend{@speculative-moe-a2a-backend} speculative-draft-model-quantization{@quantization}
speculative-adaptive-config decoupled-spec-bind-endpoint decoupled-spec-role{null,verifier,drafter}=null
spec-trace-dir speculative-ngram-match-type{BFS,PROB}=BFS speculative-ngram-external-corpus-path
moe-a2a-backend{@speculative-moe-a2a-backend}=none moe-runner-backend{@speculative-moe-runner-backend}=auto
flashinfer-mxfp4-moe-precision{default,bf16}=default deepep-mode{auto,normal,low_latency}=auto
deepep-dispatcher-output-dtype{auto,bf16,fp8,int8,nvfp4}=auto ep-dispatch-algorithm{static,dynamic,fake,lp}
init-expert-location=trivial eplb-algorithm=auto
expert-distribution-recorder-mode{stat,stat_approx,per_pass,per_token}
expert-balancedness-report-mode{off,server_log,prometheus,both}=off deepep-config
elastic-ep-backend{none,mooncake,nixl} mooncake-ib-device elastic-ep-join-mode{scale,recover}
mamba-ssm-dtype{float32,bfloat16,float16}
mamba-radix-cache-strategy|mamba-scheduler-strategy{auto,no_buffer,extra_buffer,extra_buffer_lazy}=auto
linear-attn-backend{triton,cutedsl,flashinfer,flashkda,nvidia_kda,ptx_kda,helion}=triton
linear-attn-decode-backend{triton,cutedsl,flashinfer,flashkda,nvidia_kda,ptx_kda,helion}
linear-attn-prefill-backend{triton,cutedsl,flashinfer,flashkda,nvidia_kda,ptx_kda,helion}
linear-attn-verify-backend{@linear-attn-verify-backend}
hicache-write-policy{write_back,write_through,write_through_selective}=write_through
hicache-io-backend{direct,kernel,kernel_ascend}=kernel hicache-mem-layout{@hicache-mem-layout}=page_first
hicache-storage-backend{file,mooncake,hf3fs,nixl,aibrix,dynamic,eic,simm,mori,shm}
hicache-storage-prefetch-policy{best_effort,wait_complete,timeout}=timeout hicache-storage-backend-extra-config
hisparse-config|hierarchical-sparse-attention-extra-config image-processor-backend{auto,torchvision,pil}=auto
mm-global-cache-backend{mooncake}=mooncake mm-feature-transport{cpu,cuda_ipc,cuda_vmm}
lora-eviction-policy{lru,fifo}=lru lora-backend{triton,csgmv,ascend,torch_native}=csgmv offload-mode=cpu
lmcache-config-file flexkv-config-file kt-weight-path kt-method=AMXINT4 dllm-algorithm dllm-algorithm-config
disaggregation-mode{null,prefill,decode}=null
disaggregation-transfer-backend{mooncake,nixl,ascend,fake,mori,mooncake_tcp}=mooncake disaggregation-ib-device
disaggregation-decode-retraction-backup{cpu_tensor,host_pool}
encoder-transfer-backend{auto,zmq_to_scheduler,zmq_to_tokenizer,mooncake}=auto pdmux-config-path
startup-weight-load-mode{serial,overlap}=serial remote-instance-weight-loader-seed-instance-ip
remote-instance-weight-loader-backend{transfer_engine,nccl,modelexpress}=nccl modelexpress-config download-dir
decrypted-config-file decrypted-draft-config-file rl-on-policy-target{fsdp} kv-canary{none,log,raise}=none
kv-canary-real-data{none,partial,all}=none debug-tensor-dump-output-folder debug-tensor-dump-input-file
return-hidden-states-mode{last,full} weight-cache-mode{off,daemon,client}=off weight-cache-socket msprobe-dump-config
config
[int]
tokenizer-worker-num=1 detokenizer-worker-num=1 max-running-requests max-queued-requests chunked-prefill-size
prefill-max-requests default-priority-value priority-scheduling-preemption-threshold=10 page-size c128-page-size=16
num-continuous-decode-steps=1 scheduler-recv-interval=1 nccl-port dist-timeout nnodes=1 node-rank=0
tp-size|tensor-parallel-size=1 dcp-size|decode-context-parallel-size=1 pp-size|pipeline-parallel-size=1
pp-max-micro-batch-size pp-async-batch-depth=0 dp-size|data-parallel-size=1
attn-cp-size|attention-context-parallel-size=1 moe-dp-size|moe-data-parallel-size=1 dwdp-size=1 base-gpu-id=0
gpu-id-step=1 random-seed port=30000 grpc-port http2-max-concurrent-streams=200 asr-max-buffer-seconds=60
asr-max-concurrent-sessions=32 stream-interval=1 batch-notify-size=16 log-requests-level{0,1,2,3}=2
smg-http-sidecar-port|grpc-http-sidecar-port load-snapshot-publish-interval=15 decode-log-interval=40
cuda-graph-max-bs-decode|cuda-graph-max-bs cuda-graph-max-bs-prefill|piecewise-cuda-graph-max-tokens
triton-attention-num-kv-splits=8 triton-attention-split-tile-size torch-compile-max-bs=32 speculative-num-steps
speculative-eagle-topk speculative-num-draft-tokens speculative-dflash-block-size speculative-dspark-block-size
speculative-draft-window-size|speculative-dflash-draft-window-size decoupled-spec-rank
speculative-ngram-min-bfs-breadth=1 speculative-ngram-max-bfs-breadth=10 speculative-ngram-max-trie-depth=18
speculative-ngram-capacity=10000000 speculative-ngram-external-sam-budget=0
speculative-ngram-external-corpus-max-tokens=10000000 ep-size|expert-parallel-size|ep=1 fuseep-mode{1,2}=2
ep-num-redundant-experts=0 eplb-rebalance-num-iterations=1000 eplb-rebalance-layers-per-chunk
expert-distribution-recorder-buffer-size moe-dense-tp-size elastic-ep-join-rank-offset=0 elastic-ep-initial-size
max-ep-size max-mamba-cache-size mamba-max-states-per-path=-1 mamba-cache-philox-rounds=0 mamba-track-interval=256
int8-mamba-ckpt-size linear-replayssm-cache-len=16 hicache-size=0 mm-processor-worker-num=0 mm-io-worker-num=0
media-url-max-file-size-mb=64 mm-preprocess-cache-size-mb max-lora-rank max-loaded-loras max-loras-per-batch=8
max-lora-chunk-size{16,32,64,128}=16 cpu-offload-gb=0 offload-group-size=-1 offload-num-in-group=1
offload-prefetch-step=1 kt-cpuinfer kt-threadpool-count=2 kt-num-gpu-experts kt-max-deferred-experts-per-token
disaggregation-bootstrap-port=8998 num-reserved-decode-tokens=512 disaggregation-decode-extra-slots
disaggregation-decode-polling-interval=1 optimistic-prefill-attempts=0 encoder-bootstrap-port=8997 sm-group-num=8
weight-loader-prefetch-num-threads=4 remote-instance-weight-loader-seed-instance-service-port
engine-info-bootstrap-port=6789 prefill-delayer-max-delay-passes=30 min-free-slots-delay kv-canary-sweep-interval=0
dynamic-batch-tokenizer-batch-size=32 weight-cache-timeout=1800
[float]
mem-fraction-static schedule-conservativeness=1.0 swa-full-tokens-ratio=0.8 watchdog-timeout=300 soft-watchdog-timeout
gc-warning-threshold-secs=0.0 speculative-accept-threshold-single=1.0 speculative-accept-threshold-acc=1.0
eplb-min-rebalancing-utilization-threshold=1.0 elastic-ep-scale-timeout=600 mamba-full-memory-ratio=0.9 hicache-ratio
lora-drain-wait-threshold=0.0 tbo-token-distribution-threshold=0.48 prefill-delayer-token-usage-low-watermark
prefill-delayer-queue-min-ratio prefill-delayer-max-delay-ms dynamic-batch-tokenizer-batch-timeout=0.002
[bool]
skip-tokenizer-init trust-remote-code is-embedding enable-multimodal enable-fp32-lm-head quantize-and-serve
enable-tf32-matmul enable-dynamic-chunking enable-priority-scheduling disable-priority-preemption
abort-on-priority-when-disabled schedule-low-priority-values-first disable-hybrid-swa-memory
prefill-only-disable-kv-cache disable-radix-cache enable-page-major-kv-layout enable-unified-memory
disable-chunked-prefix-cache disable-overlap-schedule enable-mixed-chunk enable-prefill-cp
enable-dsa-cache-layer-split enable-dsa-prefill-context-parallel enable-nsa-prefill-context-parallel
enable-prefill-context-parallel enable-cp-decode-attn-tp enable-dp-attention
enable-dp-attention-local-control-broadcast enable-dp-lm-head enable-attn-tp-input-scattered disable-attn-tp-gather
enable-p2p-check mlx-enable-sampling sleep-on-idle use-ray smg-grpc-mode grpc-mode skip-server-warmup enable-http2
enable-ssl-refresh enable-cache-report strip-thinking-cache enable-strict-thinking allow-auto-truncate
stream-response-default-include-usage incremental-streaming-output stream-output enable-streaming-session
enable-session-radix-cache log-requests show-time-cost enable-metrics enable-mfu-metrics
enable-metrics-for-all-schedulers enable-request-time-stats-logging enable-forward-pass-metrics enable-trace
export-metrics-to-file constrained-json-disable-any-whitespace disable-flashinfer-autotune enable-breakable-cuda-graph
disable-piecewise-cuda-graph enforce-piecewise-cuda-graph disable-prefill-cuda-graph disable-decode-cuda-graph
disable-cuda-graph disable-cuda-graph-padding enable-profile-cuda-graph enable-cudagraph-gc debug-cuda-graph
enable-layerwise-nvtx-marker enable-nccl-nvls enable-symm-mem triton-attention-reduce-in-fp32
flashinfer-mla-disable-ragged enable-fused-qk-norm-rope enable-precise-embedding-interpolation
enable-fused-moe-sum-all-reduce enable-deepseek-v4-fp4-indexer disable-custom-all-reduce enable-mscclpp
enable-torch-symm-mem enable-scattered-sconv pre-warm-nccl enable-quant-communications
enable-flashinfer-allreduce-fusion enforce-disable-flashinfer-allreduce-fusion enable-aiter-allreduce-fusion
enable-torch-compile enable-torch-compile-debug-mode speculative-dspark-align-verify-tokens-to-graph-tier
speculative-use-rejection-sampling speculative-skip-dp-mlp-sync enable-multi-layer-eagle speculative-adaptive
enable-eplb enable-elastic-expert-backup enable-waterfill elastic-ep-rejoin
disable-flashinfer-cutlass-moe-fp4-allgather disable-shared-experts-fusion enforce-shared-experts-fusion
enable-mamba-cache-stochastic-rounding enable-int8-mamba-checkpoint enable-linear-replayssm
enable-linear-replayssm-spec enable-gdn-replayssm-spec enable-hierarchical-cache enable-hisparse
enable-broadcast-mm-inputs-process enable-prefix-mm-cache mm-enable-dp-encoder trust-mm-content-hashes
enable-mm-global-cache disable-fast-image-processor keep-mm-feature-on-device enable-lora enable-lora-overlap-loading
lora-use-virtual-experts enable-two-batch-overlap enable-single-batch-overlap enable-lmcache enable-flexkv
disaggregation-decode-enable-radix-cache disaggregation-decode-enable-offload-kvcache encoder-only language-only
language-model-only enable-adaptive-dispatch-to-encoder enable-pdmux weight-loader-disable-mmap
weight-loader-prefetch-checkpoints weight-loader-drop-cache-after-load
remote-instance-weight-loader-start-seed-via-transfer-engine delete-ckpt-after-loading
checkpoint-engine-wait-weights-before-ready enable-prefill-delayer enable-deterministic-inference
enable-dynamic-batch-tokenizer enable-tokenizer-batch-encode disable-tokenizer-batch-decode enable-memory-saver
enable-weights-cpu-backup enable-draft-weights-cpu-backup enable-custom-logit-processor enable-return-hidden-states
enable-return-routed-experts enable-return-indexer-topk disable-outlines-disk-cache enable-mis
enable-expert-distribution-metrics prefill-round-robin-balance collect-tokens-histogram
[bool-optional]
dcp-replicate-q-proj enable-tp-lm-head-all-to-all experts-shared-outer-loras lora-strict-loading dllm-fdfo=true
[size]
context-length max-total-tokens max-prefill-tokens=16384
[json]
sidecar-args default-chat-template-kwargs preferred-sampling-params extra-metric-labels
decoupled-spec-connect-endpoints mm-process-config limit-mm-data-per-request
remote-instance-weight-loader-send-weights-group-ports forward-hooks
[str +]
log-requests-target tokenizer-metrics-allowed-custom-labels prompt-tokens-buckets generation-tokens-buckets
flashinfer-autotune-skip-ops allowed-media-domains encoder-urls encoder-register-urls
[str *]
uvicorn-access-log-exclude-prefixes lora-target-modules{@lora-target-modules} lora-paths custom-weight-loader
[str ?]
model-checksum
[int +]
numa-node gc-threshold cuda-graph-bs-decode|cuda-graph-bs cuda-graph-bs-prefill|piecewise-cuda-graph-tokens
debug-tensor-dump-layers
[float +]
bucket-time-to-first-token bucket-inter-token-latency bucket-e2e-request-latency
prefill-delayer-forward-passes-buckets prefill-delayer-wait-seconds-buckets
"""

_SIMULATED = """
[float]
sim-load-seconds=2 sim-exit-after sim-hang-after sim-log-rate=0 sim-token-seconds=0.02 sim-prefill-seconds=0
[int]
sim-exit-code=0 sim-children=0
[str]
sim-stall-at{import,weights,kv-cache,graphs,warm-up} sim-fail{@sim-fail}
[bool]
sim-ignore-sigterm
"""


def _default(text: str, kind: str) -> object:
    match kind:
        case "int" | "size":
            return int(text)
        case "float":
            return float(text)
        case "bool" | "bool-optional":
            return text == "true"
    return text


def _table(text: str) -> tuple[Flag, ...]:
    """Read rows of `name|alias…{choice,…}=default` under a `[type nargs]` heading."""
    flags = []
    kind = nargs = ""
    for line in text.split("\n"):
        if line.startswith("["):
            kind, _, nargs = line[1:-1].partition(" ")
            continue
        for row in line.split():
            spelling, equals, default = row.partition("=")
            spelling, _, listed = spelling.partition("{")
            choices: tuple[str, ...] = ()
            if listed.startswith("@"):
                choices = tuple(_CHOICES[listed[1:-1]].split())
            elif listed:
                choices = tuple(listed[:-1].split(","))
            name, *aliases = spelling.split("|")
            unset: object = False if kind == "bool" else None
            flags.append(Flag(name, tuple(aliases), kind, nargs, choices, _default(default, kind) if equals else unset))
    return tuple(flags)


SGLANG_FLAGS = _table(_SGLANG)
SIMULATED_FLAGS = _table(_SIMULATED)
FLAGS = SGLANG_FLAGS + SIMULATED_FLAGS
