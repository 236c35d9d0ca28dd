"""Logs to look at, and what is pressed to see each state of their screen."""

from collections.abc import Callable
from typing import NamedTuple

from qvl.model.log import LogRun

from tests.tui.fleet import backoff, snapshot, starting, worker
from tests.tui.logs.link import LogLink

START = (
    "Attention backend not specified. Use fa3 backend by default.",
    "server_args=ServerArgs(model_path='Qwen/Qwen3-VL-8B-Instruct', tokenizer_path='Qwen/Qwen3-VL-8B-Instruct', "
    "host='127.0.0.1', port=8000, mem_fraction_static=0.85, tp_size=1, log_level='info')",
    "Init torch distributed begin.",
    "Load weight begin. avail mem=138.20 GB",
    "WARNING: the cuda graph padding of this size is off",
    "KV Cache is allocated. dtype: torch.bfloat16, #tokens: 356381, K size: 24.47 GB, V size: 24.47 GB",
    "The server is fired up and ready to roll!",
)
TRACEBACK = """\
Scheduler hit an exception: Traceback (most recent call last):
  File "/opt/qvl/lib/python3.12/site-packages/sglang/srt/managers/scheduler.py", line 2961, in run_scheduler_process
    scheduler.event_loop_overlap()
  File "/opt/qvl/lib/python3.12/site-packages/sglang/srt/managers/scheduler.py", line 918, in event_loop_overlap
    batch_result = self.run_batch(batch)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB"""


def run(at: int, batches: int, *, dies: bool = False) -> str:
    """What an engine writes from its start on; `at`: seconds after noon."""
    texts = [*START]
    texts += [
        f"Decode batch. #running-req: {n % 7}, #token: {1244 + 40 * n}, token usage: 0.{n % 60:02}, "
        f"cuda graph: True, gen throughput (token/s): {1180 + n % 90}.40, #queue-req: {n % 3}"
        for n in range(batches)
    ]
    if dies:
        texts.append(TRACEBACK)
    stamps = (f"[2026-03-04 12:{(at + n) // 60:02}:{(at + n) % 60:02} TP0] " for n in range(len(texts)))
    return "".join(f"{stamp}{text}\n" for stamp, text in zip(stamps, texts, strict=True))


def talking() -> LogLink:
    """Two that serve, one of which had died before; one that starts and one that is in backoff say little."""
    link = LogLink(snapshot(worker("qwen3-vl-0"), worker("qwen3-vl-1"), starting("qwen3-vl-2"), backoff("qwen3-vl-3")))
    died = run(0, 40, dies=True).encode()
    link.of("qwen3-vl-0").write(died + run(60, 90).encode())
    link.of("qwen3-vl-0").runs = [LogRun(6, 0), LogRun(7, len(died))]
    link.of("qwen3-vl-1").write(run(90, 60).encode())
    link.of("qwen3-vl-2").write(run(150, 0).encode()[:700] + b"\nLoading shards:  25%\rLoading shards:  50%")
    link.of("qwen3-vl-3").write(run(100, 0, dies=True).encode())
    return link


def silent() -> LogLink:
    return LogLink(snapshot(worker("qwen3-vl-0")))


class Scene(NamedTuple):
    link: Callable[[], LogLink]
    keys: tuple[str, ...]


SCENES = {
    "following": Scene(talking, ("l",)),
    "empty": Scene(silent, ("l",)),
    "held-at-an-error": Scene(talking, ("l", "e")),
    "unfolded": Scene(talking, ("l", "e", "t")),
    "search": Scene(talking, ("l", "slash", *"running-req: 5", "enter", "n")),
    "bad-pattern": Scene(talking, ("l", "slash", *"(batch")),
    "errors": Scene(talking, ("l", "l", "l")),
    "together": Scene(talking, ("l", "a", "pageup")),
    "wrapped-relative": Scene(talking, ("l", "w", "T", "g")),
    "marked": Scene(talking, ("l", "up", "m", "up", "up")),
    "save": Scene(talking, ("l", "g", "s")),
}
