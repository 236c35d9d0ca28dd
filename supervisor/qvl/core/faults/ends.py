"""How an engine says that it, or a part of it, is at its end: hangs, kills, crashes."""

from qvl.core.faults.rule import Weight, rule
from qvl.model.worker import Cause

TERM = r"^(?:Signal )?SIGTERM received|^\[shutdown\] API server: shutdown triggered"
"""Someone wants it to end, so nothing that it says before or after is the reason."""

_TERM_HINT = "something other than qvl sent SIGTERM: look for a script or a service that ends engines by their name"

DYING = "|".join(
    (
        # SGLang: its processes since 0.4, and what came before.
        r"^[A-Z]\w+ hit an exception|^Exception in (?:run_tp_server|Model\w+|Controller\w+):",
        r"^Subprocess \S+ .*crashed with|^Received sigquit|^SIGQUIT received|^Received SIGQUIT|" + TERM,
        r"^(?:RuntimeError: )?Rank \d+ scheduler (?:died|is dead)|^(?:RuntimeError: )?Initialization failed\. ",
        r"^(?:\S+ )?[Ww]atchdog timeout(?!.*soft=True)|memory leak detected!",
        # vLLM
        r"^EngineCore (?:failed|encountered)|^WorkerProc failed to start|^(?:Engine core|Worker) proc \S+ died",
        r"^(?:\w+\.)*(?:Async)?EngineDeadError|^(?:Engine|Worker)\w* .*died unexpectedly",
        r"^\[shutdown\] MPClient: engine core exited unexpectedly|^AsyncLLM output_handler failed",
        # Python, C++ and torch
        r"^Process \S+:$|^Fatal Python error|^terminate called|^!+ Segfault encountered",
        r"(?:Process group|NCCL) watchdog thread terminated with exception|we are taking the entire process down",
    )
)
"""The first of these in a log is where the end begins."""

RULES = (
    rule(
        Cause.HANG,
        r"^(?:\S+ )?[Ww]atchdog timeout(?!.*soft=True)",
        r"TimeoutError: RPC call to \w+ timed out|Engine iteration timed out",
        r"ReadTimeout: HTTPConnectionPool\(host='(?:127\.|localhost|0\.0|\[?::)",
        weight=Weight.FIRST,
    ),
    rule(
        Cause.KILLED,
        r"Subprocess \S+ .*crashed with exit code -9\b|^Worker proc \S+ died unexpectedly \(exit code: -9\)",
        hint="something killed a process of its tree: `journalctl -k -g oom` tells whether the kernel did",
        weight=Weight.FIRST,
    ),
    rule(Cause.KILLED, r"exit code:? -15\b", TERM, hint=_TERM_HINT, weight=Weight.FIRST),
    rule(Cause.ENGINE_CRASH, r"^\[torch_memory_saver\.cpp\] Cannot ", weight=Weight.FIRST, aside=True),
    rule(
        # Without a word that says why: SGLang's own advice for the case is the best there is.
        Cause.ENGINE_CRASH,
        r"^(?:\w+\.)*\w+: Capture .*\bgraph failed",
        hint="if it comes again: lower mem-fraction-static or cuda-graph-max-bs, or disable-cuda-graph = true",
        weight=Weight.WARNING,
    ),
    rule(
        Cause.ENGINE_CRASH,
        r"engine core exited unexpectedly",
        hint="its engine's process is gone, and said nothing of it that is known: `journalctl -k -g oom` tells whether "
        "the kernel killed it",
        weight=Weight.CRASH,
    ),
    rule(
        Cause.ENGINE_CRASH,
        r"^[A-Z]\w+ hit an exception",
        r"Subprocess .* crashed with exit code|scheduler (?:died during initialization|is dead)",
        r"memory leak detected!|Initialization failed\. |^Received sigquit from a child|^EOFError$",
        r"^Fatal Python error|[Ss]egmentation fault|^!+ Segfault encountered|^terminate called after throwing",
        r"^(?:double free or corruption|free\(\): invalid|malloc\(\): |corrupted size vs\. prev_size)",
        r"EngineCore (?:failed to start|encountered a fatal error|hit an exception)|EngineDeadError",
        r"Engine core initialization failed|WorkerProc failed to start|died unexpectedly",
        r"initialization failed due to an exception in a background process",
        # A handler of a signal that logs, in the middle of another line.
        r"reentrant call inside",
        weight=Weight.CRASH,
    ),
    rule(
        Cause.KILLED,
        # A child that fails says so before it sends SIGQUIT; alone it came from outside.
        r"SIGQUIT received",
        hint="something other than qvl sent SIGQUIT to the engine",
        weight=Weight.SIGNAL,
    ),
)
