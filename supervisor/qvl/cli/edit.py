"""edit: the live configuration in the user's editor. A draft that would be refused never takes the file's place.

The draft lies in a directory of its own beside the file, under the file's name and with its drop-ins, so that what is
checked and planned is just what saving it would make. Taking its place is one rename, which keeps owner and mode.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qvl.cli import check
from qvl.cli.context import Context
from qvl.cli.render_plan import plan_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qvl.config.load import Loaded
    from qvl.model.error import QvlError

EXAMPLES = """examples:
  qvlctl edit
  EDITOR='code --wait' qvlctl edit"""
EDITORS = ("editor", "nano", "vim", "vi")
"""Looked for in this order where neither VISUAL nor EDITOR is set."""
REJECTED = ".rejected"


def configure(parser: argparse.ArgumentParser, verb: str) -> Callable[[Context, argparse.Namespace], int]:
    parser.epilog = EXAMPLES
    return edit


def edit(context: Context, args: argparse.Namespace) -> int:
    path = live_path(context, named=args.config)
    command = editor()
    try:
        before = path.read_bytes() if path.exists() else b""
        folder = draft_folder(path)
    except OSError as error:
        raise cannot_edit(path, error) from error
    draft = folder / path.name
    try:
        draft.write_bytes(before)
        keep_owner(path, draft)
        loaded = edited(context, command, draft, path)
        after = draft.read_bytes()
        if after == before:
            print("nothing was changed", file=sys.stderr)
            return 0
        if loaded.faults:
            return reject(draft, path, loaded)
        planned = plan_of(context, draft)
        if (path.read_bytes() if path.exists() else b"") != before:
            return reject(draft, path, None)
        keep_owner(path, draft)
        os.replace(draft, path)
    except OSError as error:
        raise cannot_edit(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report(context, path, loaded, planned)


def live_path(context: Context, *, named: str | None) -> Path:
    """The file that the daemon reads, where one answers; a link is followed, so that it stays one."""
    from qvl.model.error import QvlError

    path = context.places.paths.config
    if named is None:
        with suppress(QvlError):  # without a daemon the usual place is as good
            path = Path(context.client.status()["supervisor"]["config"]["path"])
    return path.resolve()


def editor() -> list[str]:
    from qvl.model.error import ErrorCode, QvlError

    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR") or next(filter(shutil.which, EDITORS), "")
    command = shlex.split(chosen)
    if not command or not shutil.which(command[0]):
        message = f"there is no editor {command[0]}" if command else "no editor is set"
        raise QvlError(ErrorCode.BAD_REQUEST, message, "set one: EDITOR=nano qvlctl edit")
    return command


def draft_folder(path: Path) -> Path:
    """Readable as the file's own directory is: the daemon plans with the draft."""
    from qvl.config.paths import drop_ins_of

    folder = Path(tempfile.mkdtemp(prefix=".qvl-edit-", dir=path.parent))
    folder.chmod(path.parent.stat().st_mode & 0o755)
    if drop_ins_of(path).is_dir():
        (folder / drop_ins_of(path).name).symlink_to(drop_ins_of(path))
    return folder


def keep_owner(path: Path, draft: Path) -> None:
    """The draft gets the file's mode and, where we may give it, its owner. Some editors write a new file."""
    if not path.exists():
        return
    kept = path.stat()
    draft.chmod(kept.st_mode & 0o7777)
    if (kept.st_uid, kept.st_gid) != (draft.stat().st_uid, draft.stat().st_gid):
        os.chown(draft, kept.st_uid, kept.st_gid)


def edited(context: Context, command: list[str], draft: Path, path: Path) -> Loaded:
    """Runs the editor until the draft is right or the user has had enough."""
    while True:
        code = subprocess.run([*command, str(draft)], check=False).returncode
        if code:
            raise editor_failed(code)
        loaded = check.load_with_flags(draft)
        # What is said about the draft is meant of the file.
        check.print_faults(
            loaded, context.paint, lambda text: text.replace(f"{draft.parent}{os.sep}", f"{path.parent}{os.sep}")
        )
        if not loaded.faults or not again():
            return loaded


def editor_failed(code: int) -> QvlError:
    from qvl.model.error import ErrorCode, QvlError

    return QvlError(ErrorCode.REFUSED, f"the editor ended with exit code {code}: nothing was saved", "qvlctl edit")


def again() -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print("this would be refused. Edit it again? [Y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def reject(draft: Path, path: Path, loaded: Loaded | None) -> int:
    """The file stays as it is, and the work isn't lost."""
    from qvl.model.error import ErrorCode, QvlError

    kept = path.with_name(path.name + REJECTED)
    os.replace(draft, kept)
    if loaded is None:
        message = f"{path} was changed by somebody else meanwhile, so it was left alone"
        raise QvlError(ErrorCode.CONFLICT, message, f"your draft is kept: diff {path} {kept}")
    message = f"{path} was left as it is: the draft would be refused"
    raise QvlError(ErrorCode.REFUSED, message, f"your draft is kept in {kept}")


def plan_of(context: Context, draft: Path) -> list[str] | None:
    """What saving the draft would do, None where no daemon answers. It is asked before, since the daemon may well be
    done with it right after."""
    from qvl.model.error import ErrorCode, QvlError

    try:
        return plan_lines(context.client.plan(str(draft)), width=context.width, paint=context.paint)
    except QvlError as error:
        if error.code is ErrorCode.UNREACHABLE:
            return None
        return [f"no plan: {error.message}"]


def report(context: Context, path: Path, loaded: Loaded, planned: list[str] | None) -> int:
    if planned is not None and not context.json:
        print("\n".join(planned))
    auto = loaded.config.supervisor.auto_apply if loaded.config else True
    if planned is None:
        then = "no daemon is running; the next one starts with it"
    elif auto is True:
        then = "the daemon applies it now: qvlctl status"
    elif auto == "safe":
        then = "what interrupts nobody is applied now; for the rest: qvlctl apply"
    else:
        then = "apply it: qvlctl apply"
    if context.json:
        context.print_json({"version": 1, "path": str(path), "revision": loaded.revision, "plan": planned})
    print(f"saved {path}; {then}", file=sys.stderr)
    return 0


def cannot_edit(path: Path, error: OSError) -> QvlError:
    from qvl.model.error import ErrorCode, QvlError

    hint = "as root: sudo qvlctl edit" if isinstance(error, PermissionError) else "see what would help: qvlctl doctor"
    return QvlError(ErrorCode.REFUSED, f"{path} can't be edited: {error.strerror or error}", hint)
