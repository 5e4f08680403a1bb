"""Names of keys, and which partition a text belongs to."""

from __future__ import annotations

import pytest

from hub.engine.redis.keys import Keys, partition_of
from hub.engine.redis.topology import slot_of


def test_the_partition_of_a_text_never_changes() -> None:
    """Other programs compute it too: crc32 of the UTF-8 bytes."""
    assert [partition_of(text, 64) for text in ("news:sport", "größe", "")] == [37, 9, 0]


def test_the_tag_names_the_partition() -> None:
    """The one rule in both forms."""
    keys = Keys("hub:", 64)
    assert keys.tag_of("news:sport") == f"p{partition_of('news:sport', 64)}"
    assert len(set(keys.partition_tags)) == 64


def test_keys_carry_the_tag_in_braces() -> None:
    """So that a Cluster keeps the keys of one partition together."""
    keys = Keys("app:", 64)
    assert keys.log("p3", "news") == "app:{p3}:log:news"
    assert keys.term("p3") == "app:{p3}:term"
    assert keys.fanout("p3", "news") == "app:{p3}:ch:news"


@pytest.mark.parametrize(("tag", "slot"), [("123456789", 12739), ("foo", 12182), ("hello", 866)])
def test_the_slot_is_that_of_the_cluster_specification(tag: str, slot: int) -> None:
    """CRC16 of the tag; the first value is from the specification."""
    assert slot_of(tag) == slot
