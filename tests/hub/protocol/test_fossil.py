"""Deltas: vectors, how small they get, and what is refused."""

from __future__ import annotations

import json
import random

import pytest
from centrifuge.fossil import apply_delta as apply_delta_of_the_sdk

from hub.protocol.fossil import apply_delta, create_delta

NOTE_1 = b'{"seq":1,"note":"the quick brown fox"}'
NOTE_2 = b'{"seq":2,"note":"the quick brown fox"}'
SAME = b"same-same-same-same"


def document(seed: int = 7) -> bytes:
    """About 2 KB of JSON that does not repeat itself."""
    numbers = random.Random(seed)
    items = [{"id": item, "word": f"{numbers.getrandbits(64):x}"} for item in range(50)]
    return json.dumps({"first": "a", "items": items, "last": "z"}).encode()


@pytest.mark.parametrize(
    ("source", "target", "delta"),
    [
        (b"abc", b"xyz", b"3\n3:xyz1tUNd0;"),
        (NOTE_1, NOTE_2, b'b\n8:{"seq":2U@8,3dS2DM;'),
        (SAME, SAME, b"J\nJ@0,3KqDIb;"),
    ],
)
def test_vectors_apply(source: bytes, target: bytes, delta: bytes) -> None:
    """Known patches make their targets, and ours are never longer."""
    assert apply_delta(source, delta) == target
    assert len(create_delta(source, target)) <= len(delta)


@pytest.mark.parametrize(
    ("source", "target", "delta"),
    [
        (b"abc", b"xyz", b"3\n3:xyz1tUNd0;"),
        (SAME, SAME, b"J\nJ@0,3KqDIb;"),
        (b"", b"", b"0\n0;"),
        (b"abc", b"", b"0\n0;"),
    ],
)
def test_vectors_are_written(source: bytes, target: bytes, delta: bytes) -> None:
    """Where only one patch is sensible, it is that one."""
    assert create_delta(source, target) == delta


PAIRS = [
    pytest.param(b"", b"a", id="from nothing"),
    pytest.param(b"a", b"a", id="one byte"),
    pytest.param(NOTE_1, NOTE_2, id="one digit"),
    pytest.param(document(), document().replace(b'"id": 25', b'"id": 9925'), id="change inside"),
    pytest.param(document(), document()[700:1500] + document()[:700], id="moved halves"),
    pytest.param(document(), document(seed=8), id="unrelated"),
    pytest.param(b"x" * 3000, b"x" * 2999 + b"y" + b"x" * 3000, id="repetitive"),
    pytest.param(b"ab" * 500, b"ba" * 700, id="periodic"),
    pytest.param(document(), document()[:-5], id="cut at the end"),
    pytest.param(b"\xff" * 64, b"\xff" * 67, id="high bytes"),
]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_sdk_applies_our_patches(source: bytes, target: bytes) -> None:
    """The decoder of the published SDK and our own make the same target."""
    delta = create_delta(source, target)
    assert bytes(apply_delta_of_the_sdk(source, delta)) == target
    assert apply_delta(source, delta) == target


def test_changes_at_both_ends_stay_small() -> None:
    """A change near the start and one at the very end leave the middle to one copy."""
    target = document().replace(b'"first": "a"', b'"first": "bbb"').replace(b'"last": "z"', b'"last": "yyy"')
    assert len(create_delta(document(), target)) < 60


def test_an_insertion_in_the_middle_stays_small() -> None:
    """What moved because something was put before it is still copied."""
    source = document()
    target = b'{"new": 1, ' + source[1:900] + b"surprise" + source[900:-1] + b', "end": 2}'
    assert len(create_delta(source, target)) < 80


def test_a_reordering_stays_small() -> None:
    """Blocks are found wherever they went."""
    source = document()
    assert len(create_delta(source, source[1000:] + source[:1000])) < 40


@pytest.mark.parametrize(
    "delta",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"3", id="size alone"),
        pytest.param(b"\n3:xyz1tUNd0;", id="no size"),
        pytest.param(b"3\n3:xyz", id="unterminated"),
        pytest.param(b"3\n3:xyz1tUNd1;", id="bad checksum"),
        pytest.param(b"4\n3:xyz1tUNd0;", id="bad size"),
        pytest.param(b"2\n3:xyz1tUNd0;", id="more than announced"),
        pytest.param(b"3\n9:xyz1tUNd0;", id="insert past the patch"),
        pytest.param(b"9\n9:xyz;", id="insert past the patch within its size"),
        pytest.param(b"3\n3@1,1tUNd0;", id="copy past the source"),
        pytest.param(b"3\n3@0;1tUNd0;", id="copy unterminated"),
        pytest.param(b"3\n3?xyz1tUNd0;", id="unknown operator"),
        pytest.param(b"3\n3:xyz1tUNd0;x", id="something behind"),
        pytest.param(b"~~~~~~\n3:xyz1tUNd0;", id="size out of range"),
        pytest.param(b"3\n:xyz1tUNd0;", id="count missing"),
        pytest.param(b"\xff\n", id="no digit"),
    ],
)
def test_bad_patches_are_refused(delta: bytes) -> None:
    """A patch that is broken, or of another source, never makes a wrong target."""
    with pytest.raises(ValueError):
        apply_delta(b"abc", delta)
