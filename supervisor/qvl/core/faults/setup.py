"""What a retry can't mend: what is installed, the model, the arguments. Words of these come from a request once the
engine has been ready (`BEFORE_READY`)."""

from qvl.core.faults.rule import ERROR, Weight, rule
from qvl.model.worker import Cause

ARGUMENTS_HINT = "mend the profile's args: `qvlctl check` names flags that the installed engine does not have"
ENVIRONMENT_HINT = "mend the engine's environment (`qvlctl doctor`), then `qvlctl start`"
_HUB_HINT = "check the profile's model: its path, or its name on the hub and HF_HOME"
_DRIVER_HINT = "install a driver that is new enough for the engine's CUDA, or restart the machine after an update of it"
_COMPILER_HINT = (
    "the engine compiles kernels on this host: install nvcc of the CUDA that its torch is built for, ninja and a C++ "
    "compiler where its PATH and CUDA_HOME lead, then `qvlctl start`"
)

_TRANSFORMERS_HINT = (
    "the engine's transformers doesn't know this kind of model: install a newer engine, or serve another model"
)

_DRIVER = (
    r"driver version is insufficient|NVIDIA driver on your system is too old|Found no NVIDIA driver"
    r"|unsupported display driver / cuda driver combination|forward compatibility was attempted"
    r"|[Dd]river/library version mismatch|PTX was compiled with an unsupported toolchain"
    r"|couldn't communicate with the NVIDIA driver"
)

ENVIRONMENT = (
    # torch warns of it, and what fails later is that there is no card: sglang issues 11395, 27487.
    rule(Cause.ENVIRONMENT, rf"CUDA initialization: .*(?:{_DRIVER})", hint=_DRIVER_HINT, aside=True),
    rule(Cause.ENVIRONMENT, rf"(?:{_DRIVER})", hint=_DRIVER_HINT),
    rule(
        Cause.ENVIRONMENT,
        # A wheel beside another torch, glibc or CUDA than it was built for: sglang issues 5100, 8131, 18203.
        r"undefined symbol: |version `(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+' not found",
        r"Could not load any common_ops library",
        r"'_OpNamespace' '\w+' object has no attribute|\boperator \w+::\w+ does not exist",
        rf"{ERROR}module '(?:sgl_kernel|flashinfer|triton|torch|transformers|deep_gemm|vllm)[\w.]*' has no attribute",
        # SGLang and FlashInfer look at the versions of their parts: sglang issues 10891, 18729.
        r"is installed with version \S+, which is less than|with minimum required version \S+ is not installed",
        r"flashinfer\S* version \(?\S+\)? does not match|You need to reinstall",
        hint="the engine's packages don't fit together: reinstall it into a new environment, then `qvlctl start`",
    ),
    rule(
        Cause.ENVIRONMENT,
        r"no kernel image is available|device kernel image is invalid",
        r"SGLang only supports sm\d+|requires GPUs with sm\d",
        r"No supported CUDA architectures found|Unsupported gpu architecture|is not defined for option 'gpu-name'",
        r"^Fatal Python error: Illegal instruction|\(exit code: -4\)",
        hint="the installed engine has no code for this processor or GPU: install a build that does",
    ),
    rule(
        Cause.ENVIRONMENT,
        r"Failed to infer device type",
        hint="vLLM finds no device that the installed build is for: look at `nvidia-smi`, or install another build",
    ),
    rule(
        Cause.ENVIRONMENT,
        r"but Transformers does not recognize this architecture",
        hint=_TRANSFORMERS_HINT,
    ),
    rule(
        Cause.ENVIRONMENT,
        r"^KeyError: '[\w.-]+'$",
        frames=r"configuration_auto\.py",
        hint=_TRANSFORMERS_HINT,
        weight=Weight.LACK,
    ),
    rule(
        Cause.ENVIRONMENT,
        r"^(?:\w+\.)*(?:ModuleNotFoundError|ImportError)\b|Failed to import transformers\.",
        r"PackageNotFoundError: |Torch not compiled with CUDA enabled|nvidia-smi not found",
        r"^\S*python[\d.]*: (?:No module named|can't open file|Error while finding module)",
        r"lib[\w.+-]+\.so[\w.]*: cannot open shared object file",
        r"^PermissionError: |^OSError: \[Errno (?:13|30)\]",
        # A container that can't be made as it is asked for.
        r"nvidia-container-cli: |could not select device driver|OCI runtime (?:create|exec) failed",
        hint=ENVIRONMENT_HINT,
        weight=Weight.LACK,
    ),
    rule(
        Cause.ENVIRONMENT,
        r"Failed to find C compiler|[Cc]ould not find nvcc",
        r"No such file or directory: '(?:nvcc|ninja|gcc|cc|c\+\+|g\+\+)'",
        r"/bin/(?:sh|bash): .*\b(?:nvcc|ninja|g\+\+|gcc)\b.*not found|Ninja is required to load C\+\+ extensions",
        r"Ninja build failed|Error building extension|^ninja: build stopped|Command '\['ninja'",
        r"CUDA_HOME environment variable is not set|fatal error: \S+\.(?:h|hpp|cuh): No such file",
        hint=_COMPILER_HINT,
        weight=Weight.LACK,
    ),
)

MODEL = (
    rule(
        Cause.MODEL_MISSING,
        r"GatedRepo|gated repo(?:sitory)?\b|40[13] Client Error",
        hint="the hub wants a token that may read this model: put HF_TOKEN into the engine's env_file",
    ),
    rule(
        Cause.MODEL_MISSING,
        r"couldn't connect to 'https?://|LocalEntryNotFound|OfflineModeIsEnabled|offline mode is enabled",
        r"outgoing traffic has been disabled",
        r"HTTPSConnectionPool\(host='(?:huggingface\.co|hf\.co|(?:www\.)?modelscope)",
        r"There was a specific connection error when trying to load",
        hint="the model is not in HF_HOME and the hub is out of reach: download it first, or name a local directory",
    ),
    rule(
        Cause.MODEL_MISSING,
        r"references \d+ shard file\(s\) missing|Error while deserializing header|safetensors_rust\.SafetensorError",
        r"does not appear to have (?:a file|files) named|Could not locate \S+ inside|is not a valid JSON file",
        hint="the model's directory is not complete: download it again",
    ),
    rule(
        Cause.MODEL_MISSING,
        r"RepositoryNotFound|RevisionNotFound|EntryNotFoundError|HFValidationError|Repo id must ",
        r"404 Client Error.* for url: https?://\S*(?:huggingface|hf\.co|modelscope|hf-mirror)",
        r"is not a local folder (?:and is not a valid model identifier|or a valid repository)",
        r"Incorrect path_or_model_id",
        r"Unrecognized model in |is not a valid git identifier",
        r"Cannot find any (?:of the )?model weights|Can't find a checkpoint index|Cannot find the config file for",
        r"Can't load (?:the |tokenizer|feature extractor|image processor|config)",
        r"FileNotFoundError: .*(?:config\.json|\.safetensors|\.gguf|tokenizer|model)",
        r"modelscope\.hub\.errors\.NotExistError|The request model: .* does not exist",
        hint=_HUB_HINT,
    ),
)

ARGUMENTS = (
    rule(
        Cause.BAD_ARGUMENTS,
        r"trust_remote_code=True|execute the \w+ file in that repo on your local machine",
        hint="the model brings code of its own: set trust-remote-code = true if you trust it",
    ),
    rule(
        Cause.BAD_ARGUMENTS,
        r"while attempting to bind on address .*(?:cannot assign requested address|[Pp]ermission denied)",
        r"^ERROR: +\[Errno (?:99|13|-2)\]|Errno 99\] Cannot assign requested address",
        hint="the pool's host must be an address of this host, and its port one that the engine's user may take",
        aside=True,
    ),
    rule(
        Cause.ENVIRONMENT,
        r"Model architectures? .*failed to be inspected",
        hint="the engine's code for this model can't be imported, most often because a package is missing: its log says"
        " why before (`qvlctl logs WORKER --grep Error`)",
    ),
    rule(
        Cause.BAD_ARGUMENTS,
        r"Model architectures? .*not supported|Cannot find model module\. ",
        hint="the installed engine doesn't know this kind of model: install a newer one, or serve another model",
    ),
    rule(
        Cause.BAD_ARGUMENTS,
        r"tokenizer\.chat_template is not set",
        hint="the model's tokenizer brings no chat template, or is not there: name one with chat-template",
    ),
    rule(
        Cause.BAD_ARGUMENTS,
        rf"{ERROR}.*\b(?:not|be) divisible by\b",
        hint="the model's sizes can't be split so: another tp-size, ep-size or quantization",
    ),
    rule(
        Cause.BAD_ARGUMENTS,
        r"is not supported for (?:the current GPU|quantization method)|FlashAttention only supports Ampere",
        r"Bfloat16 is only supported on GPUs with compute capability",
        hint="this GPU can't do that: another quantization, dtype or attention-backend",
    ),
    rule(
        Cause.BAD_ARGUMENTS,
        # argparse: SGLang's own refusals of flags that are gone name them too.
        r"^\S*(?: \w+)?: error: (?:argument |.*--[a-z])",
        r"Unsupported config option|Config file (?:not found|must)",
        r"User-specified (?:context_length|max_model_len) .*is greater than",
        r"is not a built-in template name or a valid chat template file path",
        rf"{ERROR}(?:Unknown|Unsupported|Invalid) (?:quantization|load_format|kv_cache_dtype|attention backend)\b",
        r"pydantic_core\._pydantic_core\.ValidationError",
        # An exception that names a flag is about that flag.
        r"^(?:\w+\.)*(?:ValueError|AssertionError|NotImplementedError|TypeError): .*--[a-z][a-z0-9]+(?:-[a-z0-9]+)+",
        hint=ARGUMENTS_HINT,
    ),
)

RULES = (*ENVIRONMENT, *MODEL, *ARGUMENTS)

RESOLVING = r", in (?:prepare_server_args|from_cli_args|check_server_args|create_engine_config)\b"
"""Frames of the code that resolves the arguments: what fails in it is about them, whatever it says."""

BEFORE_READY = frozenset({Cause.BAD_ARGUMENTS, Cause.ENVIRONMENT, Cause.MODEL_MISSING, Cause.PORT_IN_USE})
"""What an engine that got ready had: words of these come from a request then."""
