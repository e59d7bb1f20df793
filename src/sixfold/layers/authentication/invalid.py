"""How the parts of this layer say no to each other; `check` turns it into the Refusal."""

from __future__ import annotations

from sixfold.decision import Rule


class Invalid(Exception):
    """A credential that is refused.

    Arguments:
        code: of the refusal.
        reason: for the operator; no secret.
        remedy: what would have made it pass.
        rule: what it broke.
    """

    def __init__(self, code: str, reason: str, remedy: str, rule: Rule) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.remedy = remedy
        self.rule = rule
