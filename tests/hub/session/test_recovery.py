"""What a resume may bring, by bytes; everything else about recovery is a property."""

from __future__ import annotations

import pytest

from hub.model import HistoryPage, Position, Publication
from hub.session import recover


@pytest.mark.parametrize(("max_bytes", "complete"), [(None, True), (20, True), (19, False)])
def test_a_resume_is_bounded_in_bytes(max_bytes: int | None, complete: bool) -> None:
    """One byte too many, and nothing is recovered: the client is told the top."""
    page = HistoryPage(tuple(Publication(b"x" * 10, offset) for offset in (1, 2)), Position(2, "e"))
    found = recover(Position(0, "e"), page, 10, max_bytes)
    assert found.complete is complete
    assert found.position.offset == (0 if complete else 2)
    assert len(found.publications) == (2 if complete else 0)
