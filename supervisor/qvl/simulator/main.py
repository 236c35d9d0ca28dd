"""The start of the simulated engine: arguments, the first log lines, the children; then the server takes over.

The event loop is imported only after the first log line: it takes longer than everything before it, and the time counts
as the start's longest step, importing, as in SGLang.
"""

import os
import signal
import sys
import time

from qvl.simulator import arguments, processes
from qvl.simulator.arguments import Settings
from qvl.simulator.console import Console


def main() -> None:
    began = time.monotonic()
    settings = arguments.parse(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the web server runs there is no orderly way out
    signal.signal(signal.SIGTERM, signal.SIG_IGN if settings.ignore_sigterm else signal.SIG_DFL)
    excluded = settings.server_args["uvicorn_access_log_exclude_prefixes"]
    quiet = tuple(excluded) if isinstance(excluded, list) else ()
    console = Console(settings.text("log_level"), settings.text("log_level_http"), quiet)
    if settings.fail:
        _refuse(settings, console)
    console.log("Attention backend not specified. Use fa3 backend by default.")
    fields = ", ".join(f"{name}={value!r}" for name, value in settings.server_args.items())
    console.log(f"server_args=ServerArgs({fields})")
    children = processes.spawn_children(int(settings.number("tp_size", 1)))
    processes.spawn_strays(settings.children)

    sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio does without: a third less memory, 6 ms less to import
    from qvl.simulator import server

    server.serve(settings, console, children, began)


def _refuse(settings: Settings, console: Console) -> None:
    """End here if the wanted failure is one that SGLang finds before it starts anything."""
    from qvl.simulator.failures import FAILURES, written

    failure = FAILURES.get(settings.fail or "")
    if failure is not None and failure.step == "arguments":
        for stamped, text in written(failure.lines, pid=os.getpid(), model=settings.text("model_path")):
            console.log(text, "error") if stamped else console.raw(f"{text}\n")
        sys.exit(failure.code)
