"""What dead processes of ours have left in shared memory goes; what is anybody else's stays."""

import os
import subprocess
from pathlib import Path

from qvl.daemon.leftovers import sweep


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_only_files_that_carry_a_dead_pid_of_ours_are_removed(tmp_path: Path) -> None:
    ours, theirs, alive = dead_pid(), dead_pid(), os.getpid()
    gone = [f"sgl_shm_mm_{ours}_3fa1", f"sgl_shm_mq_{ours}_12", f"sgl_shm_nodecheck_{ours}_x", f"sgl_shm_{ours}"]
    gone.append(f"multi_tokenizer_args_{ours}")
    stay = [
        f"sgl_shm_mm_{theirs}_{ours}",
        f"sgl_shm_mm_{alive}_1",
        f"multi_tokenizer_args_{theirs}",
        f"multi_tokenizer_args_{ours}0",
        f"nccl-{ours}",
        f"psm_{ours}",
        f"my_sgl_shm_mm_{ours}_1",
        "sgl_shm_mm_",
    ]
    for name in (*gone, *stay):
        (tmp_path / name).write_bytes(b"x" * 10)
    (tmp_path / f"sgl_shm_mm_{ours}_folder").mkdir()
    assert sweep({ours, alive}, tmp_path) == 10 * len(gone)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(stay)
    assert sweep({ours}, tmp_path / "nowhere") == 0
