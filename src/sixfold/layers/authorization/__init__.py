"""Authorization: may they. Guards against calls beyond one's rights (OWASP API1, API5). Its verb: `may`."""

from sixfold.layers.authorization.check import Authorization
from sixfold.layers.authorization.findings import unneeded_grants

__all__ = ["Authorization", "unneeded_grants"]
