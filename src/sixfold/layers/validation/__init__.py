"""Validation: is it well formed. Input by positive schemas, parsed so that nobody behind reads it otherwise.

Verbs: `parameters` and `body` (of a request; `reads_body` says whether the body is needed), `answer` (does
the response keep its contract; `reads_answer`). It judges form, never meaning: a schema stops neither SQL in
free text nor a wrong id.
"""

from sixfold.layers.validation.check import Validation

__all__ = ["Validation"]
