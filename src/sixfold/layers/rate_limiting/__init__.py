"""Rate limiting: how often. Guards against brute force, exhaustion and scraping (OWASP API4, API6).

Verbs: `admit` (by address, before a credential is looked at), `spend` (by caller), `blame` (for a bad one).
"""

from sixfold.layers.rate_limiting.check import Ledger, RateLimiting

__all__ = ["Ledger", "RateLimiting"]
