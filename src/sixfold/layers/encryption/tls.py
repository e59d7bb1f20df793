"""TLS contexts for the faces: 1.3 by default, AEAD only, no tickets, no renegotiation (TLS-01 to TLS-04, TLS-11)."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from sixfold.policy.document import Encryption

_TLS12_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)


def server_context(table: Encryption, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a listener.

    Raises:
        OSError, ssl.SSLError: files that cannot be read, or that do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if table.min_version == "1.2" else ssl.TLSVersion.TLSv1_3
    context.set_ciphers(_TLS12_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def client_context(authority: Path | None) -> ssl.SSLContext:
    """Return the context for upstreams: name and chain verified, no way to switch that off."""
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def certificate_names(path: Path) -> frozenset[str]:
    """Return the DNS names and addresses a certificate stands for, lower case; wildcards left out.

    Raises:
        OSError, ValueError: a file that cannot be read as a certificate.
    """
    from cryptography import x509

    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    found = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    found += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return frozenset(name for name in found if not name.startswith("*"))
