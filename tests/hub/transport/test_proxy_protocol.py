"""The PROXY protocol header, by the letter of its specification and under garbage."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.transport.proxy_protocol import (
    MAX_V1_BYTES,
    MAX_V2_BYTES,
    ProxyHeader,
    ProxyVerdict,
    read_proxy_header,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4_LINE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
WORST_LINE = (
    b"PROXY UNKNOWN " + b":".join([b"ffff"] * 8) + b" " + b":".join([b"ffff"] * 8) + b" 65535 65535\r\n"
)


def version_2(command: int, family: int, body: bytes, version: int = 2) -> bytes:
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(body)) + body


def tcp4(source: str, port: int) -> bytes:
    packed = ipaddress.IPv4Address(source).packed
    return packed + ipaddress.IPv4Address("198.51.100.1").packed + struct.pack("!HH", port, 443)


def tcp6(source: str, port: int) -> bytes:
    packed = ipaddress.IPv6Address(source).packed
    return packed + ipaddress.IPv6Address("2001:db8::1").packed + struct.pack("!HH", port, 443)


WHOLE = {
    "v1 IPv4": (V4_LINE, ("192.0.2.7", 56324)),
    "v1 IPv6": (b"PROXY TCP6 2001:DB8::7 2001:db8::1 1 2\r\n", ("2001:db8::7", 1)),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1 unknown, longest": (WORST_LINE, None),
    "v2 IPv4": (version_2(1, 0x11, tcp4("192.0.2.7", 99)), ("192.0.2.7", 99)),
    "v2 IPv6": (version_2(1, 0x21, tcp6("2001:db8::7", 99)), ("2001:db8::7", 99)),
    "v2 IPv4 with extensions": (
        version_2(1, 0x11, tcp4("192.0.2.7", 99) + b"\x04\x00\x03abc"),
        ("192.0.2.7", 99),
    ),
    "v2 local": (version_2(0, 0x00, b""), None),
    "v2 local with a family that makes no sense": (version_2(0, 0xFF, b"xyz"), None),
    "v2 unspecified": (version_2(1, 0x00, b"ignored"), None),
    "v2 unix": (version_2(1, 0x31, b"\x00" * 216), None),
    "v2 datagram": (version_2(1, 0x12, tcp4("192.0.2.7", 99)), None),
}

MALFORMED = {
    "v1 no space": b"PROXYTCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "v1 family": b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "v1 address of another family": b"PROXY TCP4 ::1 ::1 1 2\r\n",
    "v1 leading zero in address": b"PROXY TCP4 192.0.02.7 198.51.100.1 1 2\r\n",
    "v1 leading zero in port": b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
    "v1 port too large": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
    "v1 destination port too large": b"PROXY TCP4 192.0.2.7 198.51.100.1 2 65536\r\n",
    "v1 two spaces": b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "v1 lone line feed": b"PROXY UNKNOWN\n" + b"x" * 100,
    "v1 too long": b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
    "v2 version": version_2(1, 0x11, tcp4("192.0.2.7", 99), version=1),
    "v2 command": version_2(2, 0x11, tcp4("192.0.2.7", 99)),
    "v2 family": version_2(1, 0x41, b"\x00" * 216),
    "v2 transport": version_2(1, 0x13, tcp4("192.0.2.7", 99)),
    "v2 IPv4 too short": version_2(1, 0x11, b"\x00" * 11),
    "v2 IPv6 too short": version_2(1, 0x21, b"\x00" * 35),
    "v2 too long": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_V2_BYTES),
}


@pytest.mark.parametrize(("header", "source"), WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_header_gives_its_source_and_length(header: bytes, source: tuple[str, int] | None) -> None:
    """What follows it is not looked at."""
    assert read_proxy_header(header) == ProxyHeader(len(header), source)
    assert read_proxy_header(header + b"GET / HTTP/1.1\r\n") == ProxyHeader(len(header), source)


@pytest.mark.parametrize("header", [pair[0] for pair in WHOLE.values()], ids=WHOLE.keys())
def test_every_beginning_of_a_header_asks_for_more(header: bytes) -> None:
    """TCP may cut it anywhere."""
    verdicts = {read_proxy_header(header[:length]) for length in range(len(header))}
    assert verdicts == {ProxyVerdict.NEED_MORE}


@pytest.mark.parametrize("header", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_broken_header_is_malformed(header: bytes) -> None:
    """The connection must be dropped (sections 2.1, 2.2)."""
    assert read_proxy_header(header) is ProxyVerdict.MALFORMED


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n", b"POST", b"PUT", b"PROPFIND", b"\r\nGET", b"\x16\x03\x01"]
)
def test_anything_else_is_no_header(first: bytes) -> None:
    """HTTP that shares its first letters with a header is told apart."""
    assert read_proxy_header(first) is ProxyVerdict.ABSENT


def test_an_endless_line_ends_at_107_bytes() -> None:
    """The longest line of section 2.1."""
    assert len(WORST_LINE) == MAX_V1_BYTES
    assert read_proxy_header(b"PROXY " + b"x" * 100) is ProxyVerdict.NEED_MORE
    assert read_proxy_header(b"PROXY " + b"x" * 101) is ProxyVerdict.MALFORMED


starts = st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21\x11"])


@given(starts, st.binary(max_size=300))
def test_never_raises_and_never_reads_beyond_what_it_got(start: bytes, rest: bytes) -> None:
    """Whatever a peer sends."""
    received = start + rest
    found = read_proxy_header(bytearray(received))
    assert not isinstance(found, ProxyHeader) or 0 < found.length <= len(received)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_both_versions_round_trip_every_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    """In canonical text."""
    source = (str(address), port)
    body = tcp4(str(address), port) if address.version == 4 else tcp6(str(address), port)
    line = f"PROXY TCP{address.version} {address} {address} {port} 1\r\n".encode()
    assert read_proxy_header(line) == ProxyHeader(len(line), source)
    found = read_proxy_header(version_2(1, 0x11 if address.version == 4 else 0x21, body))
    assert found == ProxyHeader(16 + len(body), source)
