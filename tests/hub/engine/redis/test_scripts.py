"""Scripts as they are shipped."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import pytest

from hub.engine.redis.scripts import load_script


def test_parts_make_one_text() -> None:
    """Named after the last; known to servers by the hash of the whole."""
    made = load_script("clock", "adopt")
    assert made.name == "adopt"
    assert made.text.index(load_script("clock").text) < made.text.index(load_script("adopt").text)
    assert made.sha == hashlib.sha1(made.text.encode(), usedforsecurity=False).hexdigest()


def test_a_script_that_is_not_there_fails_at_once() -> None:
    """When its module is imported, not when it is first used."""
    with pytest.raises(FileNotFoundError):
        load_script("nowhere")


def test_every_script_says_what_it_does() -> None:
    """In its first line."""
    shipped = [file for file in files("hub.engine.redis.scripts").iterdir() if file.name.endswith(".lua")]
    assert shipped
    assert [file.name for file in shipped if not file.read_text("utf-8").startswith("-- ")] == []
