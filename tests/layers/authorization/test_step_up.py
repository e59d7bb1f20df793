"""How and when the user signed in (RFC 9470)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sixfold.identity import Identity
from sixfold.layers.authorization.step_up import StepUp
from sixfold.policy import PolicyError

NOW = 1_800_000_000
POLICY = '[[routes]]\nmatch = "GET /a"\nrequire = "r"\nacr = "strong"\nmax_age = 300\n'


def caller(**claims: Any) -> Identity:
    return Identity("alice", scopes=frozenset({"r"}), claims=claims)


@pytest.fixture
def lacking(policy: Any) -> Any:
    step_up = StepUp(policy(POLICY).operations[0])
    return lambda **claims: step_up.lacking(caller(**claims), NOW * 1_000_000)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"acr": "strong", "auth_time": NOW}, ""),
        ({"acr": "strong", "auth_time": NOW - 300}, ""),
        ({"acr": "strong", "auth_time": NOW + 60}, ""),
        ({"acr": "strong", "auth_time": NOW - 301}, "301 s ago"),
        ({"acr": "strong", "auth_time": NOW + 61}, "future"),
        ({"acr": "strong"}, "missing"),
        ({"acr": "strong", "auth_time": str(NOW)}, "missing"),
        ({"acr": "strong", "auth_time": True}, "missing"),
        ({"acr": "weak", "auth_time": NOW}, "acr"),
        ({"acr": ["strong"], "auth_time": NOW}, "acr"),
        ({"auth_time": NOW}, "acr"),
    ],
)
def test_what_the_sign_in_lacks(claims: dict[str, Any], words: str, lacking: Any) -> None:
    """RS-23: `acr` and `auth_time` are checked where they are demanded, and a missing one does not pass."""
    found = lacking(**claims)
    assert words in found if words else found == ""


def test_the_challenge(policy: Any) -> None:
    """RS-23: RFC 9470 section 3: error, `acr_values` and `max_age` for the client to ask with."""
    assert StepUp(policy(POLICY).operations[0]).challenge == (
        (b"www-authenticate", b'Bearer error="insufficient_user_authentication", acr_values="strong", max_age="300"'),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [({"access": "public"}, "remove `public`"), ({"acr": ('a "b"',)}, "one word of printable ASCII")],
)
def test_what_cannot_be_demanded(change: dict[str, Any], words: str, policy: Any) -> None:
    """RS-23: a public operation has no sign-in, and a value that the challenge cannot name is refused at load."""
    with pytest.raises(ValueError, match=words):
        StepUp(replace(policy(POLICY).operations[0], **change))


def test_a_public_route_that_demands_a_sign_in(engine: Any) -> None:
    """RS-23: the refusal at load names file and line."""
    with pytest.raises(PolicyError, match=r"sixfold\.toml:\d+.*remove `public`"):
        engine('[[routes]]\nmatch = "GET /a"\npublic = true\nmax_age = "5m"\n')
