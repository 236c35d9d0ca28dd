"""A gateway as people and scripts see it: its process as any worker's, and who is behind it."""

import msgspec

from qvl.daemon.gateways import LIST, Gateways
from qvl.daemon.report import worker_status
from qvl.daemon.worker import Worker
from qvl.model.status import GatewayStatus


def gateway_status(gateway: Worker, gateways: Gateways) -> GatewayStatus:
    """It is ready if a request that came now would reach a server."""
    pool = gateway.record.pool
    own = msgspec.structs.asdict(worker_status(gateway))
    routed, external = gateways.routed(pool), gateways.external(gateway)
    reachable = bool(routed) or any(server.healthy for server in external)
    own["ready"] = gateway.record.ready and reachable
    routes = gateways.routes(pool)
    figures = routes.figures if routes is not None else None
    if gateway.record.ready and not reachable:
        unknown = routes.errors.get(LIST) if routes is not None else None
        own["reason"] = own["reason"] or unknown or "it has no worker to send requests to"
    return GatewayStatus(
        **own,
        routed=routed,
        external=external,
        requests=figures.requests if figures is not None else None,
        failed=figures.failed if figures is not None else None,
        retried=figures.retried if figures is not None else None,
        broken=gateways.broken[pool],
        in_flight=sum(figures.active.values()) if figures is not None and figures.active else None,
        error=routes.error if routes is not None else None,
    )
