"""The gateway's verbs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sixfold.decision import Refusal, Reply
from sixfold.identity import Identity
from sixfold.layers.gateway.cors import CorsRules
from sixfold.layers.gateway.hygiene import NEVER_UPSTREAM, PROTECTED, SECURITY, Shape, is_ours, named_by_connection
from sixfold.layers.gateway.identity_header import Signer
from sixfold.layers.gateway.rules import Door, compile_door, compile_router, judged_headers, listed_hosts
from sixfold.policy.model import Operation, Policy
from sixfold.request import Pair, Request, encode

__all__ = ["Door", "Gateway"]

_MAX_SHAPES: Final = 512
_CREDENTIALS: Final = frozenset((b"authorization", b"dpop"))


class Gateway:
    """Which door.

    Arguments:
        policy: the compiled policy.
        hosts: hosts that are served when the policy names none; None for any.
        signer: signs `Sixfold-Identity`; None sends none.
        replies: documents that Sixfold serves itself, by path (GET).
    """

    def __init__(
        self,
        policy: Policy,
        *,
        hosts: frozenset[str] | None = None,
        signer: Signer | None = None,
        replies: Mapping[str, Reply] | None = None,
    ) -> None:
        table = policy.document.gateway
        self._mode = table.mode
        self._hosts = listed_hosts(policy, hosts)
        self._host_rule = policy.rule("gateway.hosts", "gateway.hosts")
        self._rule = policy.rule("routes", "routes")
        self._body_rule = policy.rule("gateway.max_body")
        self._cors = CorsRules(table.cors, policy.rule("gateway.cors"))
        listed = [operation for operation in policy.operations if operation.operation_id != UNLISTED]
        doors = [compile_door(policy, operation) for operation in listed]
        self._router = compile_router(doors)
        for path, reply in (replies or {}).items():
            self._router.add("GET", path, reply)
            self._router.add("HEAD", path, reply)
        self._signer = signer if table.identity else None
        dropped = NEVER_UPSTREAM
        if not table.forward_credentials:
            keys = policy.document.authentication.api_keys
            dropped |= _CREDENTIALS | (frozenset((keys.header.lower().encode(),)) if keys else frozenset())
        self._dropped = dropped
        self._protected = PROTECTED | judged_headers(policy)
        self._security = SECURITY if table.security_headers else ()
        self._varies = self._cors.varies
        self._served: set[str] = set()  # hosts as clients wrote them that are served
        self._known: dict[bytes, bool] = {}  # header names of clients, and whether they pass
        self._shapes: dict[tuple[bytes, ...], Shape] = {}
        self.unlisted = compile_door(policy, unlisted_operation(policy))

    # ------------------------------------------------------------------ route

    def route(self, request: Request) -> Door | Refusal | Reply:
        """Return the door of a request, or an answer of our own, or the refusal (404, 405, 413, 421)."""
        if request.host not in self._served:
            refusal = self._host(request)
            if refusal is not None:
                return refusal
        found = self._router.static(request.path)
        door = found.get(request.method) if found is not None else None
        if door is None:
            place = self._router.find(request.path, request.method)
            if isinstance(place, frozenset):
                return self._nowhere(request, place)
            door, parameters = place
            if parameters and type(door) is Door:
                door = door.at(parameters)
        if type(door) is Reply:
            return door
        if request.length is not None and request.length > door.max_body:
            return self._too_large(door)
        origin = request.fields.first.get(b"origin")
        if origin is not None:
            refusal = self._cors.foreign(request, origin)
            if refusal is not None:
                refusal.mode = self._mode
                return refusal
        return door

    def beyond(self, request: Request) -> Door:
        """Return the door behind a refusal of `route` that does not count: the operation, or else `unlisted`."""
        place = self._router.find(request.path, request.method)
        if isinstance(place, frozenset) or type(place[0]) is not Door:
            return self.unlisted
        return place[0].at(place[1])

    def too_large(self, door: Door) -> Refusal:
        """Return the refusal of a streamed body that goes beyond the cap (SLOW-07)."""
        return self._too_large(door)

    def _too_large(self, door: Door) -> Refusal:
        rule = self._body_rule if door.operation.max_body is None else door.operation.rule
        return Refusal(
            "body-too-large",
            rule,
            reason=f"more than {door.max_body} bytes",
            remedy="send less, or raise `max_body` for this route",
            close=True,
        )

    def _host(self, request: Request) -> Refusal | None:
        """Look at a host that was not seen yet, with or without a port (PATH-03)."""
        if self._hosts is None or _bare(request.host) in self._hosts:
            if len(self._served) < _MAX_SHAPES:
                self._served.add(request.host)
            return None
        return Refusal(
            "unknown-host",
            self._host_rule,
            reason=f"`Host` is `{request.host[:100]}`, which is not on the list",
            remedy="add the host to `[gateway] hosts`",
            mode=self._mode,
        )

    def _nowhere(self, request: Request, allowed: frozenset[str]) -> Refusal | Reply:
        origin = request.fields.get(b"origin")
        if (
            request.method == "OPTIONS"
            and origin is not None
            and request.fields.get(b"access-control-request-method") is not None
        ):
            return self._cors.preflight(request, origin)
        if allowed:
            return Refusal(
                "method-not-allowed",
                self._rule,
                reason=f"the path has only {', '.join(sorted(allowed))}, not {request.method}",
                remedy=f"declare `{request.method}` for this path in OpenAPI or `[[routes]]`",
                headers=((b"allow", ", ".join(sorted(allowed)).encode()),),
                mode=self._mode,
            )
        return Refusal(
            "unknown-operation",
            self._rule,
            reason="no operation of the policy has this path",
            remedy="declare the path in OpenAPI or `[[routes]]`; what is not declared is not served",
            mode=self._mode,
        )

    # ------------------------------------------------------------------ what the upstream gets

    def forward(self, request: Request, door: Door, identity: Identity) -> list[Pair]:
        """Return the headers for the upstream, without `Host` and framing: cleaned, edited, signed."""
        headers = list(self.kept(request))
        if door.request_edits is not None:
            headers = door.request_edits.apply(headers, request, identity)
        if identity and self._signer is not None:
            headers.append((b"sixfold-identity", self._signer.value(identity, request.now)))
        return headers

    def kept(self, request: Request) -> tuple[Pair, ...]:
        """Return what passes of the client's headers, and the forwarding headers that we write ourselves.

        Derived once per header section: clients repeat theirs on a connection.
        """
        fields = request.fields
        memo = fields.memo.get("kept")
        if memo is not None and memo[0] is self and memo[1] is request.peer:
            return memo[2]  # type: ignore[no-any-return]
        named = named_by_connection(fields, self._protected)
        result = (
            *[pair for pair in fields.pairs if self._passes(pair[0]) and pair[0] not in named],
            *self._forwarding(request),
        )
        fields.memo["kept"] = (self, request.peer, result)
        return result

    def _passes(self, name: bytes) -> bool:
        """Return whether a header of the client goes on to the upstream."""
        passes = self._known.get(name)
        if passes is None:
            passes = name not in self._dropped and not is_ours(name)
            if len(self._known) < _MAX_SHAPES:
                self._known[name] = passes
        return passes

    def _forwarding(self, request: Request) -> tuple[Pair, ...]:
        """Return the forwarding headers, which are ours alone to write (HDR-04); the same for all of a connection."""
        address, host, scheme = request.address, request.host, request.scheme
        memo = request.peer.memo.get("forwarding")
        if memo is not None and memo[0] == (address, host, scheme):
            return memo[1]  # type: ignore[no-any-return]
        pairs: list[Pair] = []
        if address:
            quoted = f'"[{address}]"' if ":" in address else address
            pairs.append((b"x-forwarded-for", address.encode()))
            pairs.append((b"forwarded", f'for={quoted};proto={scheme};host="{host}"'.encode()))
        pairs.append((b"x-forwarded-proto", scheme.encode()))
        pairs.append((b"x-forwarded-host", host.encode()))
        request.peer.memo["forwarding"] = ((address, host, scheme), tuple(pairs))
        return tuple(pairs)

    def identity_value(self, identity: Identity, now: int) -> bytes | None:
        """Return the signed identity of a known caller, or None."""
        return self._signer.value(identity, now) if self._signer is not None and identity else None

    # ------------------------------------------------------------------ what the client gets

    def answer(self, request: Request | None, door: Door | None, identity: Identity, headers: list[Pair]) -> list[Pair]:
        """Return the headers for the client: cleaned, edited, with the security headers and CORS.

        Arguments:
            request, door: None when the request could not even be read.
            headers: of the upstream, or of our own answer; names in lower case.
        """
        shape = self._shape(headers)
        kept = [headers[index] for index in shape.kept]
        missing = shape.missing
        if door is not None and door.response_edits is not None and request is not None:
            kept = door.response_edits.apply(kept, request, identity)
            said = {name for name, _ in kept}  # the policy's own word beats the default
            missing = tuple([pair for pair in missing if pair[0] not in said])
        kept += missing
        if request is not None and self._cors.varies:
            self._cors.headers(request.fields.first.get(b"origin"), kept)
        return kept

    def answer_lines(
        self, request: Request, door: Door, identity: Identity, headers: list[Pair], memo: dict[str, Any]
    ) -> bytes:
        """Return the same as `answer`, as header lines.

        Arguments:
            memo: of these headers; keeps the lines where they depend on nothing else.
        """
        if door.response_edits is not None or self._varies:
            return encode(self.answer(request, door, identity, headers))
        known = memo.get("lines")
        if known is not None and known[0] is self:
            return known[1]  # type: ignore[no-any-return]
        shape = self._shape(headers)
        lines = b"".join([b"%b: %b\r\n" % headers[index] for index in shape.kept]) + shape.lines
        memo["lines"] = (self, lines)
        return lines

    def _shape(self, headers: list[Pair]) -> Shape:
        """Return what becomes of a header section; an upstream sends the same names again and again."""
        names = tuple([pair[0] for pair in headers])
        shape = self._shapes.get(names)
        if shape is None:
            connection = [value for name, value in headers if name == b"connection"]
            shape = Shape(names, connection, self._security)
            if not connection and len(self._shapes) < _MAX_SHAPES:
                self._shapes[names] = shape
        return shape


def _bare(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def unlisted_operation(policy: Policy) -> Operation:
    """Return the operation that stands for "none of them" while the gateway is in shadow mode."""
    for operation in policy.operations:
        if operation.operation_id == UNLISTED:
            return operation
    rule = policy.rule("gateway.mode")
    return Operation(
        index=len(policy.operations), method="*", path="/**", rule=rule, contract_rule=rule, operation_id=UNLISTED
    )


UNLISTED: Final = "sixfold:unlisted"
