"""Channel names: what they are made of and which are refused."""

from __future__ import annotations

import pytest

from hub.channels import parse_channel, personal_channel
from hub.errors import BAD_REQUEST, HubError


def test_the_namespace_is_what_stands_before_the_first_colon() -> None:
    """Further colons belong to the rest."""
    assert parse_channel("chat:room:1").namespace == "chat"


def test_a_name_without_colon_has_no_namespace() -> None:
    """It takes the options that hold without a namespace."""
    name = parse_channel("news")
    assert (name.namespace, name.users, name.private) == ("", None, False)


def test_users_follow_the_user_boundary() -> None:
    """Each listed user may join, whatever else the name says."""
    assert parse_channel("dialog#42,43").users == ("42", "43")


def test_a_colon_behind_the_user_boundary_is_part_of_a_user_id() -> None:
    """Personal channels of users such as ``org:42`` are not in a namespace ``#org``."""
    name = parse_channel("#org:42")
    assert (name.namespace, name.users) == ("", ("org:42",))


def test_a_private_name_has_the_namespace_behind_its_prefix() -> None:
    """``$chat:x`` takes the options of ``chat``."""
    name = parse_channel("$chat:x")
    assert (name.private, name.namespace) == (True, "chat")


def test_the_inbox_namespace_is_reserved() -> None:
    """Only the hub itself attaches anybody to an inbox, by any spelling of the name."""
    assert parse_channel("inbox:#42").reserved
    assert parse_channel("$inbox:#42").reserved
    assert not parse_channel("inbox").reserved


@pytest.mark.parametrize("channel", ["", "x" * 256, "grüße", "a b\n", "tab\t", "nul\0"])
def test_an_impossible_name_is_a_bad_request(channel: str) -> None:
    """Whatever cannot be a name is refused before anything is looked up."""
    with pytest.raises(HubError) as refused:
        parse_channel(channel)
    assert refused.value.error is BAD_REQUEST


def test_a_personal_channel_belongs_to_one_user() -> None:
    """Its name lists that user alone."""
    assert personal_channel("42") == "#42"
    assert personal_channel("42", "own") == "own:#42"


@pytest.mark.parametrize("user", ["", "a,b", "grüße", "x" * 255])
def test_a_user_whose_personal_channel_others_could_join_has_none(user: str) -> None:
    """``#a,b`` would let the users ``a`` and ``b`` in."""
    assert personal_channel(user) is None
