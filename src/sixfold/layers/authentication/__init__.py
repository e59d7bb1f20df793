"""Authentication, the fourth layer: who calls.

Guards against callers who are not who they say. Its verb is `who`: request and operation to `Identity` or
`Refusal`; `known` is the same for a credential that was verified before. Bearer tokens as JWT (RFC 9068, RFC
6750, RFC 8725bis) of issuers whose keys are in `KeyRings`, and API keys of an `ApiKeyStore`. Rules RS-*,
JWKS-*, PRM-*, TOK-21 to TOK-23.
"""

from sixfold.layers.authentication.api_key import make_key
from sixfold.layers.authentication.challenge import resource_metadata
from sixfold.layers.authentication.check import Authentication
from sixfold.layers.authentication.dev import DevKeys
from sixfold.layers.authentication.jwks import KeyRings
from sixfold.layers.authentication.key_file import ApiKeyError, ApiKeyStore, KeyRecord, append
from sixfold.layers.authentication.key_ring import KeyRing
from sixfold.layers.authentication.rules import DEV_AUDIENCE, DEV_ISSUER, RuleError

__all__ = [
    "DEV_AUDIENCE",
    "DEV_ISSUER",
    "ApiKeyError",
    "ApiKeyStore",
    "Authentication",
    "DevKeys",
    "KeyRecord",
    "KeyRing",
    "KeyRings",
    "RuleError",
    "append",
    "make_key",
    "resource_metadata",
]
