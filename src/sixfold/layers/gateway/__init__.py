"""Gateway: which door. Host, route, method, sizes, cross-origin rules, header hygiene in both directions.

Verbs: `route` (request -> Door), `forward` (what the upstream gets), `answer` (what the client gets).
"""

from sixfold.layers.gateway.check import Door, Gateway

__all__ = ["Door", "Gateway"]
