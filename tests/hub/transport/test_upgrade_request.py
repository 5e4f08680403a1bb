"""Reading and agreeing to an upgrade request: the short way says what the library says."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from hub.transport.upgrade_request import Agreed, NotAgreed, agree, parse_request
from tests.support.raw_client import ACCEPT, KEY, upgrade_request

HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Connection": st.sampled_from(
            [None, "Upgrade", "upgrade", "keep-alive, Upgrade", "keep-alive", "", "Upgrade;", "close,upgrade"]
        ),
        "Upgrade": st.sampled_from([None, "websocket", "WebSocket", "h2c", "websocket, h2c", ""]),
        "Sec-WebSocket-Key": st.sampled_from(
            [None, KEY, KEY[:-1], KEY + "=", KEY + "\r\nSec-WebSocket-Key: " + KEY]
        )
        | st.text("ABab01+/=-_!", min_size=22, max_size=25),
        "Sec-WebSocket-Version": st.sampled_from([None, "13", "12", "13, 8", ""]),
        "Sec-WebSocket-Extensions": st.sampled_from([None, "permessage-deflate", ";;", "x-other"]),
    },
)


@given(HEADERS, st.sampled_from(["GET", "POST"]), st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]), st.booleans())
def test_it_agrees_where_the_library_agrees(
    headers: dict[str, str | None], method: str, version: bytes, compression: bool
) -> None:
    """And with the same key in the answer; the status of a refusal is the library's too."""
    head = upgrade_request(headers=headers, method=method).replace(b"HTTP/1.1", version, 1)
    request = parse_request(head)
    known = Headers()
    for name, values in request.fields.items():
        for value in values:
            known.set_insecure(name, value)
    response = ServerProtocol().accept(Request(request.target, known, request.method, request.version))
    try:
        agreed = agree(request, compression=compression)
    except NotAgreed as refusal:
        assert response.status_code == refusal.status or (compression and refusal.status == 400)
    else:
        assert response.status_code == 101
        assert response.headers["Sec-WebSocket-Accept"] == agreed.accept


def test_the_usual_request_is_agreed_to() -> None:
    """With the key of RFC 6455, section 1.3, and no extension unasked."""
    assert agree(parse_request(upgrade_request()), compression=True) == Agreed(ACCEPT)


def test_fields_are_read_without_their_blanks() -> None:
    """Names in any case, values without the blanks around them, the others passed over (RFC 9112, 5)."""
    request = parse_request(
        b"GET /path?a=b HTTP/1.1\r\nHOST:\t a \r\nAccept: x\r\nX-Forwarded-For:1\r\nx-forwarded-for:2\r\n\r\n"
    )
    assert request == ("GET", "/path?a=b", "HTTP/1.1", {"host": ["a"], "x-forwarded-for": ["1", "2"]})
    assert request.only("host") == "a"
    assert request.only("origin") is None
    assert request.all("x-forwarded-for") == ["1", "2"]
    with pytest.raises(ValueError, match="several"):
        request.only("x-forwarded-for")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/2\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 129 + b"\r\n",
    ],
)
def test_a_malformed_head_is_refused(head: bytes) -> None:
    """By its request line, a field, or their number."""
    with pytest.raises(ValueError, match=r"malformed|too many|unpack"):
        parse_request(head)


def test_an_incomplete_head_is_refused() -> None:
    """Callers bring whole heads only."""
    with pytest.raises(EOFError):
        parse_request(upgrade_request()[:-4])


def test_tokens_never_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at debug level, and not from the library either."""
    caplog.set_level(logging.DEBUG)
    request = parse_request(upgrade_request(headers={"Authorization": "Bearer secret", "Upgrade": "h2c"}))
    with pytest.raises(NotAgreed):
        agree(request, compression=False)
    assert "secret" not in caplog.text
