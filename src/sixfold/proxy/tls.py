"""The TLS context of a listener, from the policy: certificate files or the local CA, checked before it is taken."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import NamedTuple

from sixfold.layers.encryption.local_ca import local_files
from sixfold.layers.encryption.tls import certificate_names, server_context
from sixfold.policy.model import Policy

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


class Channel(NamedTuple):
    """How a listener speaks.

    Arguments:
        context: TLS, or None.
        hosts: names that may be asked for when the policy lists none; None for any.
        authority: file of the local CA, in mode "dev" with TLS.
        files: what to watch for changes.
    """

    context: ssl.SSLContext | None
    hosts: frozenset[str] | None
    authority: Path | None
    files: tuple[Path, ...]


def channel(policy: Policy, folder: Path) -> Channel:
    """Return how the policy's listener speaks.

    Arguments:
        folder: the user's state folder, for the local CA.

    Raises:
        ValueError: files that cannot be read or do not belong together, with the place in the policy.
    """
    table = policy.document.encryption
    if table.mode == "behind-proxy":
        return Channel(None, None, None, ())
    if table.mode == "dev":
        if not table.tls:
            return Channel(None, LOOPBACK, None, ())
        made = local_files(folder / "tls", datetime.datetime.now(datetime.UTC))
        context = server_context(table, made.certificate, made.key)
        return Channel(context, LOOPBACK, made.authority, ())
    assert table.certificate is not None  # noqa: S101 (the document's own validator says so)
    certificate = Path(policy.folder, table.certificate.file)
    key = Path(policy.folder, table.certificate.key)
    try:
        context = server_context(table, certificate, key)
        names = certificate_names(certificate)
    except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
        where = policy.rule("encryption.certificate")
        raise ValueError(f"{where}: certificate and key cannot be used together: {problem}") from None
    return Channel(context, names or None, None, (certificate, key))
