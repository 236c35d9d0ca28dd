"""What a file can say that each key allows and that makes no sense as a whole.

A model, an interpreter or a card that isn't there is a worker's reason to wait, never a fault.
"""

import grp
import re
from collections.abc import Iterable, Sequence
from typing import Final

from qvl.config.draft import Draft
from qvl.config.fault import join, nearest
from qvl.config.gateway import check_gateway
from qvl.config.inherit import cycles
from qvl.config.origins import names_a_secret
from qvl.config.ours import ours, secret_hint, secrets
from qvl.config.paths import check_socket_path
from qvl.config.settings import Supervisor
from qvl.engines.command import PLACEHOLDERS
from qvl.model.aliases import PLACEMENT_ALIASES
from qvl.model.spec import Engine, EngineKind

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]+)\}")
_INSTALLED: Final = {EngineKind.SGLANG: "SGLang", EngineKind.VLLM: "vLLM"}
"""Kinds that an interpreter has installed."""
_DEFAULT_ENGINE: Final = Engine("", EngineKind.COMMAND)


def check(draft: Draft) -> None:
    """Everything but placement and the flags of installed engines."""
    _supervisor(draft)
    for name, engine in draft.engines.items():
        if engine is not None:
            _engine(draft, name, engine)
    _inheritance(draft)
    for name in draft.tables:
        _own_table(draft, name)
        _whole_profile(draft, name)
    for name in draft.pools:
        _pool(draft, name)


def _supervisor(draft: Draft) -> None:
    settings, defaults = draft.supervisor, Supervisor()
    if settings.metrics_listen:
        draft.fault(("supervisor", "metrics_listen"), "not supported yet", 'leave it out, or ""')
    if settings.socket and (sentence := check_socket_path(settings.socket)):
        draft.fault(("supervisor", "socket"), sentence)
    for key in ("operator_group", "viewer_group"):
        group: str = getattr(settings, key)
        # The default names are allowed to be missing: then only the owner and root may act.
        if group and group != getattr(defaults, key) and not _group_exists(group):
            near = nearest(group, (entry.gr_name for entry in grp.getgrall()))
            draft.fault(("supervisor", key), f'there is no group "{group}" on this host', near or f"groupadd {group}")


def _group_exists(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _engine(draft: Draft, name: str, engine: Engine) -> None:
    at = ("engines", name)
    if engine.kind in _INSTALLED and not engine.python and draft.sound(*at, "python"):
        draft.fault(
            at, f"kind {engine.kind} needs python", f"the interpreter that has {_INSTALLED[engine.kind]} installed"
        )
    if engine.kind is EngineKind.COMMAND:
        if draft.sound(*at, "command") and not any(engine.command[:1]):
            draft.fault((*at, "command"), "kind command needs a command that is not empty", '["/usr/local/bin/serve"]')
        if engine.python:
            draft.fault((*at, "python"), 'is for kinds "sglang" and "vllm"', "name the interpreter in command")
    else:
        for key in ("command", "ready", "smoke"):
            if getattr(engine, key) != getattr(_DEFAULT_ENGINE, key):
                draft.fault((*at, key), 'is for kind "command"')
    for word in engine.command:
        for used in _PLACEHOLDER.findall(word):
            if used not in PLACEHOLDERS:
                known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                draft.fault((*at, "command"), f"unknown placeholder {{{used}}}", nearest(used, PLACEHOLDERS) or known)
    _shown_secret(draft, (*at, "command"), engine.command, EngineKind.COMMAND)
    _secret_env(draft, at, engine.env, engine.kind)


def _inheritance(draft: Draft) -> None:
    for name, table in draft.tables.items():
        if table.extends is not None and table.extends not in draft.tables:
            _unknown(draft, ("profiles", name, "extends"), "profile", table.extends, draft.tables.keys() - {name})
    for ring in cycles(draft.tables):
        shown = " -> ".join((*ring, ring[0]))
        for name in ring:
            draft.report.refused.add(join("profiles", name, "extends"))
        draft.fault(("profiles", ring[0], "extends"), f"is a cycle: {shown}")


def _own_table(draft: Draft, name: str) -> None:
    """What a profile's own lines say, whoever inherits them."""
    table, at, kind = draft.tables[name], ("profiles", name), _engine_kind(draft, name)
    spelled: dict[str, str] = {}
    for key in table.args:
        flag = PLACEMENT_ALIASES.get(key, key)
        first = spelled.setdefault(flag, key)
        if first != key:
            draft.fault((*at, "args", key), f"is {first} by another name", "keep one of them")
        if flag in PLACEMENT_ALIASES and not _positive(table.args[key]):
            draft.fault((*at, "args", key), "must be a whole number from 1")
        if not _shown_secret(draft, (*at, "args", key), (f"--{key}",), kind) and key in ours(kind):
            draft.fault((*at, "args", key), "is set by qvl itself", ours(kind)[key])
    for entry in table.unset:
        part, _, rest = entry.partition(".")
        if part not in ("args", "env") or not rest:
            draft.fault((*at, "unset"), f'"{entry}" names nothing that is inherited', '"args.NAME" or "env.NAME"')
    raw = table.raw_args or ()
    _shown_secret(draft, (*at, "raw_args"), raw, kind)
    for word in raw:
        flag = word.lstrip("-").partition("=")[0]
        if word.startswith("--") and flag in PLACEMENT_ALIASES:
            draft.warn((*at, "raw_args"), f"--{flag} is not seen when GPUs are given out", f"write it as args.{flag}")
    _secret_env(draft, at, table.env, kind)


def _whole_profile(draft: Draft, name: str) -> None:
    """What a profile comes to with all that it inherits."""
    whole, at = draft.profiles[name], ("profiles", name)
    for missing in whole.missing:
        if missing.profile == name and draft.sound(*at, "unset") and draft.sound(*at, "extends"):
            text = f'"{missing.entry}" is not inherited, so there is nothing to remove'
            draft.warn((*at, "unset"), text, nearest(missing.entry, missing.known))
    if whole.engine is None:
        if not _is_base(draft, name) and draft.sound(*at):
            draft.fault(at, "has no engine", _listed("engine", draft.engines))
        return
    origin = whole.origins["engine"]
    if whole.engine not in draft.engines:
        _unknown(draft, ("profiles", origin, "engine"), "engine", whole.engine, draft.engines)
        return
    kind = _engine_kind(draft, name)
    if kind in (EngineKind.SGLANG, EngineKind.VLLM, EngineKind.SIMULATED):
        if not whole.model and not _is_base(draft, name) and draft.sound(*at, "model"):
            draft.fault(at, "has no model", 'model = "Qwen/Qwen3-VL-8B-Instruct"')
    elif kind is EngineKind.COMMAND:
        for key in whole.args:
            if key not in PLACEMENT_ALIASES and whole.origins[f"args.{key}"] == name:
                text = "is not handed over: an engine of kind command has its arguments in command and raw_args"
                draft.warn((*at, "args", key), text)


def _is_base(draft: Draft, name: str) -> bool:
    """Extended by others and run by no pool: it may leave gaps for them to fill."""
    extended = any(table.extends == name for table in draft.tables.values())
    return extended and all(pool.profile != name for pool in draft.pools.values())


def _engine_kind(draft: Draft, profile: str) -> EngineKind | None:
    engine = draft.engines.get(draft.profiles[profile].engine or "")
    return engine.kind if engine else None


def _pool(draft: Draft, name: str) -> None:
    pool, at, reserved = draft.pools[name], ("pools", name), draft.reserved[name]
    if pool.profile and pool.profile not in draft.tables:
        _unknown(draft, (*at, "profile"), "profile", pool.profile, draft.tables)
    stem, dash, index = name.rpartition("-")
    if dash and index.isdecimal() and stem in draft.pools:
        draft.fault(at, f'"{name}" is the name of a worker of pool {stem}', "rename one of the two")
    if pool.gpus != "none" and "workers" in draft.written(*at) and draft.sound(*at, "gpus"):
        draft.fault((*at, "workers"), 'is for gpus = "none"', "with GPUs there is a worker for each group of them")
    if reserved.get("standby") and draft.sound(*at, "standby"):
        draft.fault((*at, "standby"), "not supported yet", "leave it out, or []")
    check_gateway(draft, pool)
    restart = pool.policy.restart
    if restart.backoff_max < restart.backoff and draft.sound(*at, "restart"):
        draft.fault((*at, "restart", "backoff_max"), "is shorter than backoff")
    if pool.host not in ("127.0.0.1", "::1", "localhost") and not pool.api_key_file:
        text = f"{pool.host} serves everyone who reaches this host, without a key"
        draft.warn((*at, "host"), text, "api_key_file")


def _unknown(draft: Draft, path: tuple[str, ...], what: str, name: str, known: Iterable[str]) -> None:
    names = sorted(known)
    draft.fault(path, f'there is no {what} "{name}"', nearest(name, names) or _listed(what, names))


def _listed(what: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return f"no {what} is configured"
    return f"known: {', '.join(names[:8])}" + (", …" if len(names) > 8 else "")


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _shown_secret(draft: Draft, path: tuple[str, ...], words: Sequence[str], kind: EngineKind | None) -> bool:
    """Refuse a flag that would show a secret; whether there was one."""
    secret = _secret_word(words, kind)
    if secret is not None:
        draft.fault(path, f"--{secret} on a command line shows the key to everyone", secret_hint(secret))
    return secret is not None


def _secret_word(words: Sequence[str], kind: EngineKind | None) -> str | None:
    """The secret flag among these words. A placeholder for the file's path as its value is no secret; and a command
    may have flags of its own that begin alike, while engines take any beginning that only one of their flags has."""
    for index, word in enumerate(words):
        if not word.startswith("--"):
            continue
        flag, equals, value = word[2:].partition("=")
        flag = flag.replace("_", "-")
        value = value if equals else next(iter(words[index + 1 : index + 2]), "")
        for secret, stem in secrets(kind).items():
            meant = flag == secret or (
                kind is not EngineKind.COMMAND and flag.startswith(stem) and secret.startswith(flag)
            )
            if meant and value != "{api_key_file}":
                return secret
    return None


def _secret_env(draft: Draft, at: tuple[str, ...], env: dict[str, str], kind: EngineKind | None) -> None:
    for key, value in env.items():
        if key == "VLLM_API_KEY" and kind is EngineKind.VLLM:
            draft.fault((*at, "env", key), "an environment shows the key as long as it runs", secret_hint("api-key"))
        elif value and names_a_secret(key):
            draft.warn(
                (*at, "env", key), "looks like a secret, and this file holds it in the clear", "the engine's env_file"
            )
