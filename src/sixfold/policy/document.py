"""The grammar of `sixfold.toml`: one pydantic model per table. Unknown keys are refused everywhere.

What a table means belongs to its layer (`layers/<name>/rules.py` compiles it); here stands only what may be written.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from sixfold.policy.quantities import parse_duration, parse_size

Mode = Literal["enforce", "shadow", "off"]
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^`|~0-9A-Za-z-]{1,128}$")]
ADDITIONAL = Literal["refuse", "allow"]


class Table(BaseModel):
    """A table of the file: immutable, and a key nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HeaderEdits(Table):
    """What happens to headers on their way, in this order: remove, rename, set.

    A value of `set` may name facts of the call: `{claim:sub}`, `{claim:org.id}`, `{subject}`, `{client_id}`,
    `{tenant}`, `{address}`. Where the fact is missing the header is left out.
    """

    remove: list[HeaderName] = []
    rename: dict[HeaderName, HeaderName] = {}
    set: dict[HeaderName, str] = {}


class Cors(Table):
    """Cross-origin access for browsers. Exact origins only; it protects no API, it only lets browsers in."""

    origins: list[Annotated[str, StringConstraints(pattern=r"^https?://[a-z0-9.\-:\[\]]+$")]]
    methods: list[Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")]] = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
    ]
    headers: list[HeaderName] = ["authorization", "content-type"]
    expose: list[HeaderName] = ["ratelimit", "ratelimit-policy", "retry-after"]
    credentials: bool = False
    max_age: Seconds = 600


class Gateway(Table):
    """Which door: where Sixfold listens, what stands behind it, and how large a request may be."""

    mode: Mode = "enforce"
    listen: str = "127.0.0.1:8400"
    admin: str | None = "127.0.0.1:8401"  # health, metrics, decisions; loopback only
    upstream: str = "http://127.0.0.1:8000"
    upstream_ca: str | None = None  # PEM file that may sign the upstream's certificate
    openapi: str | list[str] | None = None
    base_path: str | None = None  # replaces the path of the document's `servers`
    hosts: list[Name] = []  # other hosts get 421; empty: names of the certificate, or loopback names in mode "dev"
    trusted_proxies: Literal["private"] | Annotated[int, Field(ge=0, le=16)] | list[str] = []
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    max_target: Bytes = 8 * 1024
    max_headers: Annotated[int, Field(ge=8, le=1000)] = 100
    max_header: Bytes = 8 * 1024
    max_header_section: Bytes = 32 * 1024
    max_body: Bytes = 1024 * 1024
    header_timeout: Seconds = 10
    body_timeout: Seconds = 60
    min_body_rate: Bytes = 500  # bytes per second, measured after the first five seconds
    write_timeout: Seconds = 30
    idle_timeout: Seconds = 75
    connect_timeout: Seconds = 5
    upstream_timeout: Seconds = 60
    drain_timeout: Seconds = 30
    max_connections: Annotated[int, Field(ge=1)] = 10_000
    max_connections_per_address: Annotated[int, Field(ge=1)] = 256
    upstream_connections: Annotated[int, Field(ge=1)] = 256
    forward_credentials: bool = False  # pass the caller's token or key on to the upstream
    identity: bool = True  # send `Sixfold-Identity`, a signed JWT, to the upstream
    security_headers: bool = True
    cors: Cors | None = None
    request_headers: HeaderEdits = HeaderEdits()
    response_headers: HeaderEdits = HeaderEdits()


class CertificateFiles(Table):
    """Certificate chain and key, PEM files; watched, and swapped without a lost handshake."""

    file: str
    key: str


class Hsts(Table):
    """Strict-Transport-Security (RFC 6797)."""

    max_age: Seconds = 31_536_000
    include_subdomains: bool = True
    preload: bool = False


class Encryption(Table):
    """By what channel."""

    mode: Literal["tls", "dev", "behind-proxy"] = "dev"
    tls: bool = False  # mode "dev": serve TLS with a local CA
    certificate: CertificateFiles | None = None
    min_version: Literal["1.3", "1.2"] = "1.3"
    hsts: Hsts | Literal[False] = Hsts()
    plain_listen: str | None = None  # a port that answers plain HTTP with 426, never with a redirect

    @model_validator(mode="after")
    def _certificate_for_tls(self) -> Encryption:
        if self.mode == "tls" and self.certificate is None:
            raise ValueError('mode "tls" needs `certificate = { file = "cert.pem", key = "key.pem" }`')
        return self


class ClaimMapping(Table):
    """Where a foreign issuer keeps roles, scopes, tenant, client. Dots walk into objects; the first found counts."""

    roles: str | list[str] = ["roles"]
    scopes: str | list[str] = ["scope", "scp"]
    tenant: str | list[str] = ["tenant"]
    client_id: str | list[str] = ["client_id", "azp"]
    subject: str = "sub"
    audience: Literal["aud", "client_id"] = "aud"  # "client_id" may stand in for a missing `aud` (Amazon Cognito)


class Issuer(Table):
    """One trusted issuer of access tokens.

    `jwks` is an https URL or a file; `secret` (HS256 only, at least 32 bytes) never stands beside it (RS-03).
    """

    issuer: Name
    jwks: str | None = None
    audience: Name | list[Name] | None = None  # None: `[authentication] audience`
    algorithms: list[
        Literal[
            "ES256",
            "ES384",
            "ES512",
            "Ed25519",
            "RS256",
            "RS384",
            "RS512",
            "PS256",
            "PS384",
            "PS512",
            "HS256",
        ]
    ] = ["ES256", "Ed25519", "RS256", "PS256"]
    typ: list[Name] = ["at+jwt"]
    claims: ClaimMapping = ClaimMapping()
    secret: str | None = None
    refresh: Seconds = 300
    max_stale: Seconds = 86_400


class ApiKeys(Table):
    """API keys: `sixfold api-keys` makes them; the file holds only hashes."""

    file: str
    header: HeaderName = "x-api-key"
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{2,12}$")] = "sxk"


class Authentication(Table):
    """Who."""

    mode: Mode = "enforce"
    audience: Name | list[Name] | None = None
    issuer: Literal["dev"] | None = None  # "dev": the developer keys of this user, loopback only
    issuers: list[Issuer] = []
    api_keys: ApiKeys | None = None
    leeway: Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=60)] = 30
    max_token: Bytes = 8 * 1024
    cache: Annotated[int, Field(ge=0)] = 10_000  # verified tokens kept
    resource: str | None = None  # the API's own URL, for `resource_metadata` (RFC 9728)


class Authorization(Table):
    """May they."""

    mode: Mode = "enforce"
    default: Literal["deny", "authenticated"] = "deny"
    roles: dict[Name, list[Name]] = {}
    combine: Literal["narrow", "union"] = "narrow"


class Limit(Table):
    """A limit with more than a rate: `{ rate = "60/minute per user", mode = "shadow" }`."""

    rate: str
    mode: Mode = "enforce"
    on_store_failure: Literal["local", "deny", "allow"] = "local"
    name: Name | None = None


LimitValue = str | Limit


class RateLimiting(Table):
    """How often."""

    mode: Mode = "enforce"
    store: str = "memory"
    default: LimitValue | None = None
    anonymous: LimitValue | None = None
    tiers: dict[Name, str] = {}
    tier: str | None = None  # where the tier stands: "claim:plan", "role", "client"; None: the tier named like a role
    clients: dict[Name, Name] = {}  # client id -> tier
    headers: Literal["draft-8", "draft-7", "draft-6", "x-ratelimit", "none"] = "draft-8"
    max_keys: Annotated[int, Field(ge=1000)] = 100_000
    ipv4_prefix: Annotated[int, Field(ge=8, le=32)] = 32
    ipv6_prefix: Annotated[int, Field(ge=16, le=128)] = 56


class Validation(Table):
    """Is it well formed; does the answer keep its contract."""

    mode: Mode = "enforce"
    request: Mode = "enforce"
    response: Mode = "off"
    additional_properties: ADDITIONAL = "refuse"
    unknown_query: Literal["refuse", "strip", "pass"] = "refuse"
    status: Literal[400, 422] = 400
    forward: Literal["canonical", "original"] = "canonical"
    max_depth: Annotated[int, Field(ge=1, le=512)] = 32
    max_members: Annotated[int, Field(ge=1)] = 1_000
    max_items: Annotated[int, Field(ge=1)] = 10_000
    max_string: Bytes = 256 * 1024
    max_parts: Annotated[int, Field(ge=1)] = 64
    max_part: Bytes = 1024 * 1024
    max_fields: Annotated[int, Field(ge=1)] = 500
    max_response: Bytes = 1024 * 1024


class Requirement(Table):
    """`require = { all = [...] }` or `{ any = [...] }`. A name is a scope or permission; `@name` is a role."""

    all: list[Name] = []
    any: list[Name] = []


class RouteModes(Table):
    """Modes of single layers on one route."""

    rate_limiting: Mode | None = None
    authentication: Mode | None = None
    authorization: Mode | None = None
    validation: Mode | None = None


class Route(Table):
    """One row of `[[routes]]`: `match = "POST /orders"`; `GET|HEAD /x`, `* /x` and a final `/**` are understood."""

    match: str
    require: Name | list[Name] | Requirement | None = None
    public: bool = False
    authenticated: bool = False  # any signed-in caller
    deny: bool = False
    when: list[str] = []
    acr: Name | list[Name] | None = None  # how the user must have signed in: one of these `acr` values
    max_age: Seconds | None = None  # how long ago the user may have signed in
    limit: LimitValue | list[LimitValue] | None = None
    cost: Annotated[int, Field(ge=1, le=10_000)] = 1
    mode: Mode | RouteModes | None = None
    max_body: Bytes | None = None
    content_types: list[str] | None = None
    timeout: Seconds | None = None
    upstream: str | None = None
    request_headers: HeaderEdits | None = None
    response_headers: HeaderEdits | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Route:
        said = [
            word
            for word, value in (
                ("public", self.public), ("authenticated", self.authenticated), ("deny", self.deny),
                ("require", self.require is not None),
            )
            if value
        ]  # fmt: skip
        if len(said) > 1:
            raise ValueError(f"{' and '.join(f'`{word}`' for word in said)} contradict each other; keep one")
        return self


class As(Table):
    """The caller an expectation imagines."""

    subject: str = "someone"
    client_id: str = "expect"
    scopes: list[str] | str = []
    roles: list[str] = []
    tenant: str = ""
    claims: dict[str, Any] = {}


class Expect(Table):
    """One row of `[[expect]]`: a test the policy carries with it."""

    request: str
    as_: As | Literal["anonymous"] = Field(default="anonymous", alias="as")
    result: Annotated[int, Field(ge=100, le=599)]
    body: Any = None
    headers: dict[str, str] = {}
    code: str | None = None  # the refusal's code


class Log(Table):
    """Settings of the access log. One JSON line per request, never a token."""

    access: str = "stdout"  # "stdout", "stderr", "off", or a file
    requests: Literal["all", "refused"] = "all"


class Document(Table):
    """The whole file."""

    gateway: Gateway = Gateway()
    encryption: Encryption = Encryption()
    authentication: Authentication = Authentication()
    authorization: Authorization = Authorization()
    rate_limiting: RateLimiting = RateLimiting()
    validation: Validation = Validation()
    routes: list[Route] = []
    expect: list[Expect] = []
    log: Log = Log()
