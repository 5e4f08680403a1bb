"""Where a request head ends, and what can never become one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.transport.request_head import HeadVerdict, RequestHead, find_head, path_of, query_of

HEAD = b"GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nUPGRADE : websocket\r\n\r\n"


def test_a_whole_head() -> None:
    """With its path, and whether an upgrade is asked for."""
    expected = RequestHead(len(HEAD), b"GET", "/a/b", wants_upgrade=True)
    assert find_head(bytearray(HEAD), 0, 1000) == expected
    assert find_head(bytearray(HEAD + b"body\r\n\r\n"), 0, 1000) == expected


def test_an_upgrade_is_a_header_not_a_word() -> None:
    """Neither a value, nor the body, nor a name that ends alike counts."""
    head = b"POST /upgrade: HTTP/1.0\r\nX: upgrade: no\r\nX-Upgrade: no\r\n\r\n"
    found = find_head(bytearray(head + b"\r\nupgrade: websocket\r\n"), 0, 1000)
    assert found == RequestHead(len(head), b"POST", "/upgrade:", wants_upgrade=False)


def test_a_head_without_headers() -> None:
    """Its end overlaps the end of its first line."""
    assert find_head(bytearray(b"GET / HTTP/1.1\r\n\r\n"), 0, 1000) == RequestHead(18, b"GET", "/", False)


@pytest.mark.parametrize("length", range(1, len(HEAD)))
def test_every_beginning_asks_for_more(length: int) -> None:
    """Searching again only what is new finds the same end."""
    assert find_head(bytearray(HEAD[:length]), 0, 1000) is HeadVerdict.NEED_MORE
    assert isinstance(find_head(bytearray(HEAD), length, 1000), RequestHead)


@pytest.mark.parametrize(
    "received",
    [
        b"\x16\x03\x01\x02\x00",
        b"get / HTTP/1.1",
        b"\x00",
        b"GET\t/",
        b"GET / HTTP/2.0\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET  / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"A" * 21,
        b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    ],
)
def test_what_is_not_http_is_told_early(received: bytes) -> None:
    """Before the whole head is there."""
    assert find_head(bytearray(received), 0, 1000) is HeadVerdict.NOT_HTTP


def test_the_limit_is_inclusive() -> None:
    """A head of exactly the limit passes, one byte less of limit does not."""
    assert isinstance(find_head(bytearray(HEAD), 0, len(HEAD)), RequestHead)
    assert find_head(bytearray(HEAD), 0, len(HEAD) - 1) is HeadVerdict.TOO_LARGE
    assert find_head(bytearray(b"GET /" + b"x" * 95), 0, 100) is HeadVerdict.TOO_LARGE


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a?b=c", "/a", "b=c"),
        ("/a", "/a", ""),
        ("http://host/a?b", "/a", "b"),
        ("http://host", "/", ""),
        ("*", "*", ""),
        ("host:443", "host:443", ""),
    ],
)
def test_targets(target: str, path: str, query: str) -> None:
    """In origin form and absolute form (RFC 9112, 3.2)."""
    assert (path_of(target), query_of(target)) == (path, query)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 200), st.integers(1, 200))
def test_never_raises(received: bytes, searched: int, limit: int) -> None:
    """And never finds a head longer than the limit."""
    found = find_head(bytearray(received), searched, limit)
    assert not isinstance(found, RequestHead) or found.length <= limit
