"""A web server on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from local_site import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that runs for one test."""
    with serving() as running:
        yield running
