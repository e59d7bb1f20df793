"""What validation compiles from the policy: parameters, accepted bodies and possible answers of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from jsonschema_rs import Draft202012Validator

from sixfold.decision import Mode, Rule
from sixfold.layers.validation.faults import Breach
from sixfold.layers.validation.fields import compile_fields
from sixfold.layers.validation.form_body import FormBody
from sixfold.layers.validation.json_body import JsonBody
from sixfold.layers.validation.media import MediaType, best_match, is_json, parse_media_type
from sixfold.layers.validation.multipart_body import MultipartBody
from sixfold.layers.validation.parameters import Declared, compile_parameters
from sixfold.layers.validation.schemas import ANY, Schemas
from sixfold.layers.validation.strict_json import Limits, Parser
from sixfold.layers.validation.text import reader
from sixfold.layers.validation.text_body import TextBody
from sixfold.policy.model import Media, Operation, Policy, weaker

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
_TEMPLATE_NAME: Final = re.compile(r"\{([^{}]+)\}")
_SPELLINGS: Final = ("", "; charset=utf-8", ";charset=utf-8", "; charset=UTF-8", ";charset=UTF-8")


class BodyCheck(Protocol):
    """What checks a whole body of one media type."""

    def check(self, raw: bytes, media: MediaType, /) -> bytes | Breach | None:
        """Return the bytes to forward, None to forward the original, or what is wrong."""


Choice = tuple[BodyCheck | None, MediaType]


class Accepts:
    """The media types an operation takes, and what checks a body of each.

    Arguments:
        checks: by media type or range, then by family of the type that came; None for one that is passed
            unread.
        narrowed: `content_types` of the route, or None.
    """

    __slots__ = ("_checks", "_known", "_narrowed", "listed")

    def __init__(
        self, checks: Mapping[str, Mapping[str, BodyCheck | None]], narrowed: tuple[str, ...] | None = None
    ) -> None:
        self._checks = checks
        self._narrowed = tuple(name.lower() for name in narrowed) if narrowed is not None else None
        self.listed = ", ".join(sorted(checks if self._narrowed is None else self._narrowed))
        # Nearly every request says its type in one of these spellings: one look-up instead of a parse.
        self._known: dict[bytes, Choice] = {}
        for name in checks:
            for spelling in _SPELLINGS if "*" not in name and name != MULTIPART else ():
                header = (name + spelling).encode()
                if (choice := self._parsed(header)) is not None:
                    self._known[header] = choice

    def choose(self, header: bytes | None) -> Choice | None:
        """Return check and media type for a `Content-Type`, or None if the operation does not take it.

        The check is None for a body that is passed on unread.
        """
        if header is None:
            return None  # no sniffing: what is not said is not accepted
        return self._known.get(header) or self._parsed(header)

    def _parsed(self, header: bytes) -> Choice | None:
        media = parse_media_type(header)
        if media is None or not media.in_utf8:
            return None
        if self._narrowed is not None and best_match(media.name, self._narrowed) is None:
            return None
        offer = best_match(media.name, self._checks)
        return (self._checks[offer].get(family(media.name)), media) if offer is not None else None


def family(name: str) -> str:
    """Return how bodies of a media type are read: "json", "form", "multipart", "text", or "" for unread."""
    if is_json(name):
        return "json"
    if name in (FORM, MULTIPART):
        return "form" if name == FORM else "multipart"
    return "text" if name.startswith("text/") else ""


@dataclass(frozen=True, slots=True)
class RequestRules:
    """What an operation asks of a request.

    Arguments:
        mode: enforce or shadow.
        rule: where the contract stands.
        declared: parameters.
        quiet: a request without query and body has nothing that could be wrong.
        accepts: media types of bodies; None if anything goes.
        takes_body: the operation has a body at all.
        body_required: and it must come.
        cap: largest body in bytes.
    """

    mode: Mode
    rule: Rule
    declared: Declared
    quiet: bool
    accepts: Accepts | None
    takes_body: bool
    body_required: bool
    cap: int


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What an operation may answer.

    Arguments:
        mode: enforce or shadow.
        rule: where the contract stands.
        answers: status as in OpenAPI ("200", "4XX", "default") to media type or range to validator; None for
            a type whose content is not checked.
    """

    mode: Mode
    rule: Rule
    answers: Mapping[str, Mapping[str, Draft202012Validator | None]]

    def declared(self, status: int) -> Mapping[str, Draft202012Validator | None] | None:
        """Return what is declared for a status: itself, its class, then the default (OpenAPI 3.1, 4.8.16)."""
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in self.answers:
                return self.answers[key]
        return None


class Compiler:
    """Compiles the operations of one policy.

    Arguments:
        policy: to compile.
    """

    def __init__(self, policy: Policy) -> None:
        table = policy.document.validation
        self._table = table
        self._gateway = policy.document.gateway
        self._parser = Parser(Limits(table.max_depth, table.max_members, table.max_items, table.max_string))
        self._canonical = table.forward == "canonical"
        self.schemas = Schemas(policy)

    def request(self, operation: Operation) -> RequestRules | None:
        """Return what an operation asks of a request; None if nothing is checked.

        Raises:
            ValueError: a schema that cannot be used, with file, line and remedy.
        """
        mode = weaker(weaker(self._table.mode, self._table.request), operation.modes.get("validation", "enforce"))
        contract = operation.contract
        path_names = frozenset(_TEMPLATE_NAME.findall(operation.path))
        if mode == "off" or (contract is None and not path_names and operation.content_types is None):
            return None
        declared = compile_parameters(
            contract.parameters if contract is not None else (),
            path_names,
            self.schemas,
            self._parser,
            operation.contract_rule,
            self._table.unknown_query if contract is not None else "pass",
        )
        body = contract.body if contract is not None else None
        required = body is not None and body.required
        return RequestRules(
            mode,
            operation.contract_rule if contract is not None else operation.rule,
            declared,
            quiet=not (declared.path or declared.headers or declared.cookies or declared.query.needed or required),
            accepts=self._accepts(operation),
            takes_body=contract is None or body is not None,
            body_required=required,
            cap=self._gateway.max_body if operation.max_body is None else operation.max_body,
        )

    def _accepts(self, operation: Operation) -> Accepts | None:
        contract, narrowed = operation.contract, operation.content_types
        if contract is None or contract.body is None:
            return Accepts({name.lower(): {} for name in narrowed}) if narrowed is not None else None
        rule = operation.contract_rule
        return Accepts(
            {name: self._checks(name, media, rule) for name, media in contract.body.content.items()}, narrowed
        )

    def _checks(self, name: str, media: Media, rule: Rule) -> Mapping[str, BodyCheck | None]:
        families = ("json", "form", "multipart", "text") if "*" in name else (family(name),)
        what = f"body of type `{name}`"
        return {kind: check for kind in families if (check := self._check(kind, media, rule, what)) is not None}

    def _check(self, kind: str, media: Media, rule: Rule, what: str) -> BodyCheck | None:
        if not kind:
            return None  # bytes: their number is the gateway's to limit
        table = self._table
        validator = self.schemas.validator(media.schema, rule, what)
        if kind == "json":
            return JsonBody(self._parser, validator, canonical=self._canonical)
        if kind == "form":
            fields = compile_fields(media, self.schemas, self._parser)
            return FormBody(fields, validator, table.max_fields, canonical=self._canonical)
        if validator is None:
            return None
        if kind == "multipart":
            fields = compile_fields(media, self.schemas, self._parser)
            return MultipartBody(fields, validator, table.max_parts, table.max_part)
        types = self.schemas.types(self.schemas.node(media.schema))
        return TextBody(reader(types if types != ANY else frozenset(("string",))), validator)

    def answer(self, operation: Operation) -> AnswerRules | None:
        """Return what an operation may answer; None if nothing is checked.

        Raises:
            ValueError: a schema that cannot be used, with file, line and remedy.
        """
        mode = weaker(weaker(self._table.mode, self._table.response), operation.modes.get("validation", "enforce"))
        if mode == "off" or operation.contract is None:
            return None
        answers = {
            status.upper() if status != "default" else status: self._answers(
                content.items(), status, operation.contract_rule
            )
            for status, content in operation.contract.responses.items()
            if content
        }
        return AnswerRules(mode, operation.contract_rule, answers) if answers else None

    def _answers(
        self, content: Iterable[tuple[str, Media]], status: str, rule: Rule
    ) -> Mapping[str, Draft202012Validator | None]:
        return {
            name: self.schemas.validator(media.schema, rule, f"answer {status} of type `{name}`")
            if is_json(name) or "*" in name
            else None
            for name, media in content
        }
