"""Reads OpenAPI 3.0, 3.1 and 3.2 documents (JSON or YAML) into operations and JSON Schema 2020-12.

Its verb is `read`. Nothing is ever fetched; a `$ref` may lead to other files of the document's folder.
"""

from sixfold.policy.openapi.document import Imported, read

__all__ = ["Imported", "read"]
