"""Deltas that are computed once, however many want them."""

from __future__ import annotations

import pytest

from hub.fanout import PatchCache, patches
from hub.model import Publication
from hub.protocol import apply_delta, create_delta


def document(offset: int, *, delta: bool = True) -> Publication:
    """A publication that a patch is worth for."""
    return Publication(b'{"n":%d,"text":"%s"}' % (offset, b"x" * 200), offset=offset, delta=delta)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The documents a patch was computed for, by the real computation."""
    made: list[bytes] = []

    def counted(source: bytes, target: bytes) -> bytes:
        made.append(target)
        return create_delta(source, target)

    monkeypatch.setattr(patches, "create_delta", counted)
    return made


def test_a_patch_is_computed_once(computed: list[bytes]) -> None:
    """The live feed and everybody who recovers share it."""
    cache = PatchCache()
    first = cache.between("c", "e", document(1), document(2))
    assert cache.between("c", "e", document(1), document(2)) is first
    assert first is not None
    assert apply_delta(document(1).data, first) == document(2).data
    assert len(computed) == 1


def test_another_channel_or_stream_has_its_own(computed: list[bytes]) -> None:
    """Equal offsets mean nothing there."""
    cache = PatchCache()
    for channel, epoch in (("c", "e"), ("d", "e"), ("c", "f")):
        cache.between(channel, epoch, document(1), document(2))
    assert len(computed) == 3


@pytest.mark.parametrize(
    ("epoch", "base", "publication"),
    [("", document(1), document(2)), ("e", document(1), document(3)), ("e", document(0), document(0))],
    ids=["no epoch", "not the next", "never stored"],
)
def test_what_does_not_follow_is_not_remembered(
    computed: list[bytes], epoch: str, base: Publication, publication: Publication
) -> None:
    """Its base could be another one next time."""
    cache = PatchCache()
    cache.between("c", epoch, base, publication)
    cache.between("c", epoch, base, publication)
    assert len(computed) == 2


def test_without_leave_of_the_publisher_there_is_none(computed: list[bytes]) -> None:
    """Nor where the whole document is shorter."""
    cache = PatchCache()
    assert cache.between("c", "e", document(1), document(2, delta=False)) is None
    assert computed == []
    assert cache.between("c", "e", Publication(b"1", 1), Publication(b"2", 2, delta=True)) is None


def test_old_patches_leave(computed: list[bytes]) -> None:
    """The cache is bounded in entries and in bytes."""
    few, small = PatchCache(max_entries=2), PatchCache(max_bytes=30)
    for cache in (few, small):
        for offset in range(2, 6):
            cache.between("c", "e", document(offset - 1), document(offset))
        computed.clear()
        cache.between("c", "e", document(4), document(5))
        assert computed == []
        cache.between("c", "e", document(1), document(2))
        assert len(computed) == 1
