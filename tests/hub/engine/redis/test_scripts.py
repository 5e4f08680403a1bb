"""Scripts as they are shipped."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import pytest

from hub.engine.redis.scripts import load_script


def test_parts_make_one_text() -> None:
    """Named after the last; known to servers by the hash of the whole."""
    made = load_script("clock", "lease", "lease_renew")
    assert made.name == "lease_renew"
    assert made.text.index("local function decimal") < made.text.index(load_script("lease_renew").text)
    assert made.sha == hashlib.sha1(made.text.encode(), usedforsecurity=False).hexdigest()


def test_functions_that_a_script_does_not_use_are_left_out() -> None:
    """Directly or by others; what is said in comments is no use."""
    text = load_script("clock", "stream", "history").text
    assert "local function drop_expired" in text
    assert "local function is_over" in text
    assert "local function append" not in text


def test_constants_stand_in_the_text() -> None:
    """As whole words alone."""
    text = load_script("clock", "stream", constants={"READ_BATCH": "7", "READ": "no"}).text
    assert "'COUNT', 7)" in text
    assert "READ_BATCH" not in text


def test_a_script_that_is_not_there_fails_at_once() -> None:
    """When its module is imported, not when it is first used."""
    with pytest.raises(FileNotFoundError):
        load_script("nowhere")


def test_every_script_says_what_it_does() -> None:
    """In its first line."""
    shipped = [file for file in files("hub.engine.redis.scripts").iterdir() if file.name.endswith(".lua")]
    assert shipped
    assert [file.name for file in shipped if not file.read_text("utf-8").startswith("-- ")] == []
