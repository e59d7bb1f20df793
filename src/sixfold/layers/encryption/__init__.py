"""Encryption: by what channel. TLS 1.3, HSTS, no plain HTTP, no redirect that would send a token again in clear.

Verbs: `channel` (may this request come by this channel), `headers` (HSTS). `tls` builds the contexts that faces use.
"""

from sixfold.layers.encryption.check import Encryption

__all__ = ["Encryption"]
