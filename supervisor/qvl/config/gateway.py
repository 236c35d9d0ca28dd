"""What a pool says of its gateway, and what of that makes no sense."""

from typing import Final
from urllib.parse import urlsplit

from qvl.config.draft import Draft
from qvl.config.fleet import gateway_name
from qvl.config.settings import Pool

GATEWAY_OURS: Final = {
    "host": "the pool's host says where it listens",
    "port": "the pool's port says where it listens",
    "worker-urls": "workers come and go by themselves; others are named by the pool's external_workers",
    "api-key": "the pool's api_key_file names a file with the key",
    "control-plane-api-keys": "who may add and remove workers is qvl alone",
    "prometheus-host": "its figures are read by qvl, on this host",
    "prometheus-port": "a free one outside every pool's range is chosen for each start",
    "health-check-endpoint": "qvl says which worker is ready",
    "mini-lb": "it has no way to add and remove workers",
    "service-discovery": "workers come and go by themselves",
}
"""Flags of the gateway that it gets from us, and where their values come from."""

_TLS: Final = ("tls-cert-path", "tls-key-path")
"""qvl asks a gateway by plain HTTP."""

_NEEDS: Final = 'add gateway = "sglang-router"'


def check_gateway(draft: Draft, pool: Pool) -> None:
    """Report the faults of one pool's gateway."""
    at = ("pools", pool.name)
    if not pool.has_gateway:
        for key in ("gateway_args", "external_workers"):
            if getattr(pool, key) and draft.sound(*at, "gateway"):
                draft.fault((*at, key), "is for pools with a gateway", _NEEDS)
        return
    for key in pool.gateway_args:
        if (hint := GATEWAY_OURS.get(key.replace("_", "-"))) is not None:
            draft.fault((*at, "gateway_args", key), "is set by qvl itself", hint)
        elif key.replace("_", "-") in _TLS:
            draft.fault((*at, "gateway_args", key), "is not supported", "something in front of it can speak TLS")
    for address in pool.external_workers:
        if (why := _wrong(address)) is not None:
            draft.fault((*at, "external_workers"), f'"{address}" {why}', '"http://10.0.0.2:8000"')
        elif _names_itself(address, pool):
            draft.fault((*at, "external_workers"), f'"{address}" is the gateway itself')
    if len(set(pool.external_workers)) != len(pool.external_workers):
        draft.fault((*at, "external_workers"), "names one server twice")
    if (name := gateway_name(pool.name)) in draft.pools:
        draft.fault(
            ("pools", name), f'"{name}" is the name of the gateway of pool {pool.name}', "rename one of the two"
        )


def _names_itself(address: str, pool: Pool) -> bool:
    parts = urlsplit(address)
    return parts.port == pool.port and parts.hostname in ("127.0.0.1", "localhost", "::1", pool.host)


def _wrong(address: str) -> str | None:
    """What is wrong with the address of a server, as a half sentence."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is no http:// or https:// URL"
    if parts.username or parts.password:
        return "carries a password, which everyone would see"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "is more than scheme, host and port"
    return "has no port that a server can have" if port == 0 else None
