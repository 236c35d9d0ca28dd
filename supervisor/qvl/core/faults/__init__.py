"""The words by which engines and the libraries below them say why they can't go on, a row for each.

Texts: SGLang 0.4.9 to 0.5.23, vLLM, PyTorch, NCCL, Hugging Face's hub client, and the threads that are named at a row.
Nothing is decided here: `qvl.core.classify` says which of several rows that match a log is the root.

    rule      the form of a row
    memory    GPU memory: before the rows for CUDA and for arguments, since its texts name errors of CUDA and flags
    setup     the environment, the model, the arguments: what a retry can't mend
    host      ports, /dev/shm, disks, memory
    cards     GPUs and the links between them
    ends      hangs, kills, crashes
"""

from qvl.core.faults import cards, ends, host, memory, setup
from qvl.core.faults.rule import Rule, Weight

RULES: tuple[Rule, ...] = (*memory.RULES, *setup.RULES, *host.RULES, *cards.RULES, *ends.RULES)

__all__ = ["RULES", "Rule", "Weight"]
