"""A pytest fixture for the tests of an application: `from sixfold.middleware.testing import acting_as`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sixfold.identity import Identity
from sixfold.middleware.acting import acting_as as _acting_as


@pytest.fixture
def acting_as() -> Iterator[Callable[..., Identity]]:
    """Return a function that makes the rest of the test call as somebody; arguments as `sixfold.acting_as`."""
    with ExitStack() as stack:

        def begin(subject: str, **who: Any) -> Identity:
            return stack.enter_context(_acting_as(subject, **who))

        yield begin
