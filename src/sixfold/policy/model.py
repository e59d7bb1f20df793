"""The compiled policy: one immutable value. Layers build their checks from it; faces never read it on the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sixfold.decision import LayerName, Mode, Rule
from sixfold.policy.document import Document, HeaderEdits, Limit

Schema = Mapping[str, Any] | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an operation (OpenAPI Parameter Object), its schema in JSON Schema 2020-12.

    Arguments:
        location: where it stands.
        style, explode: serialisation, defaults of the location already filled in.
        media_type: set if the parameter is serialised by `content` (usually JSON), then style does not count.
    """

    name: str
    location: Literal["path", "query", "header", "cookie"]
    required: bool
    schema: Schema
    style: str
    explode: bool
    media_type: str = ""
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What one media type of a body must look like; `encoding` as in OpenAPI for forms and multipart."""

    schema: Schema
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyContract:
    """The request body: media type (lower case, without parameters; may be a range like `image/*`) to contract."""

    required: bool
    content: Mapping[str, Media]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What OpenAPI says about input and output of an operation.

    Arguments:
        body: None if the operation takes no body.
        responses: status ("200", "4XX", "default") to media types.
    """

    parameters: tuple[Parameter, ...]
    body: BodyContract | None
    responses: Mapping[str, Mapping[str, Media]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method on one path template, with everything the policy says about it.

    Arguments:
        index: its place in `Policy.operations`; layers keep what they compiled in tuples by this index.
        path: template in OpenAPI form, base path included: `/v1/orders/{id}`; a final `/**` matches any rest.
        access: "public" (nobody need be known), "authenticated", "require" (see `require`), "deny" (said so),
            "default" (no rule: `[authorization] default` decides).
        require: alternatives, each a set of names that must all be granted; `@name` is a role.
        when: conditions that must all hold, as written.
        acr: how the user must have signed in, one of these; none: in any way.
        max_age: seconds since the user signed in; None: however long.
        limits: of this route only.
        limit_rule: where they stand; None if that is where access is decided.
        modes: layers whose mode differs on this route; a layer's effective mode is the *weaker* of the two.
        contract: None if no OpenAPI document describes the operation.
        rule: where access is decided (file, line).
        contract_rule: where the contract stands.
    """

    index: int
    method: str
    path: str
    rule: Rule
    contract_rule: Rule
    operation_id: str = ""
    access: Literal["public", "authenticated", "require", "deny", "default"] = "default"
    require: tuple[frozenset[str], ...] = ()
    when: tuple[str, ...] = ()
    acr: tuple[str, ...] = ()
    max_age: float | None = None
    limits: tuple[Limit, ...] = ()
    limit_rule: Rule | None = None
    cost: int = 1
    modes: Mapping[LayerName, Mode] = field(default_factory=dict)
    contract: Contract | None = None
    max_body: int | None = None
    content_types: tuple[str, ...] | None = None
    timeout: float | None = None
    upstream: str | None = None
    request_headers: HeaderEdits | None = None
    response_headers: HeaderEdits | None = None
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What `sixfold check` says about a policy that can be loaded."""

    severity: Literal["warning", "note"]
    code: str
    rule: Rule
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is allowed.

    Arguments:
        version: hash over everything that decides (file, OpenAPI documents, resolved values), 12 hex digits.
        file: path of `sixfold.toml` as given, or a name like "(protect)" when it was made in memory.
        folder: absolute folder that relative file names in the document start from.
        lines: dotted key ("rate_limiting.default", "routes.2.match") to line in the file.
        schemas: registry for `$ref`: URI to JSON Schema 2020-12 document.
        titles: OpenAPI documents read: file name to (title, version, number of operations).
    """

    version: str
    file: str
    folder: str
    document: Document
    lines: Mapping[str, int]
    operations: tuple[Operation, ...]
    schemas: Mapping[str, Any]
    titles: Mapping[str, tuple[str, str, int]]
    findings: tuple[Finding, ...] = ()

    def rule(self, key: str, name: str = "") -> Rule:
        """Return the Rule of a dotted key; a key that is not in the file points at its table, then at the file."""
        probe = key
        while probe:
            if line := self.lines.get(probe):
                return Rule(name or key, self.file, line)
            probe = probe.rpartition(".")[0]
        return Rule(name or key, self.file, 0)


def weaker(one: Mode, other: Mode) -> Mode:
    """Return the weaker of two modes: off < shadow < enforce."""
    order = ("off", "shadow", "enforce")
    return one if order.index(one) <= order.index(other) else other
