"""The PROXY protocol header, versions 1 and 2, as a pure function of the bytes received so far.

Written after the specification at https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
(the sections cited below are its). Decides nothing about trust: the caller asks only for peers
it trusts, and only on plain TCP.
"""

from __future__ import annotations

import enum
import ipaddress
import re
import struct
from dataclasses import dataclass

MAX_V1_BYTES = 107
"""Longest version 1 line with its CRLF (section 2.1); what is longer is invalid."""

MAX_V2_BYTES = 4096
"""Longest version 2 header taken. Addresses need 232 bytes; the rest is room for extensions, and
the bound keeps a peer from making us hold 64 KiB before it has said anything."""

_V1_SIGNATURE = b"PROXY"
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED_BYTES = 16

_V1_ADDRESSES = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) "
    rb"(0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")

_LOCAL, _PROXY = 0x0, 0x1
_UNSPEC, _INET, _INET6, _UNIX = 0x0, 0x1, 0x2, 0x3
_STREAM, _DGRAM = 0x1, 0x2
_ADDRESS_BYTES = {_UNSPEC: 0, _INET: 12, _INET6: 36, _UNIX: 216}


class ProxyVerdict(enum.Enum):
    """What can be said when there is no whole header."""

    NEED_MORE = "need more"
    """So far a header may follow; ask again with more bytes."""
    ABSENT = "absent"
    """These bytes begin something else."""
    MALFORMED = "malformed"
    """It began as a header and breaks the rules; the connection must be dropped (section 2.1)."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header: its length on the wire, and the address and port that it vouches for.

    ``source`` is None where the TCP peer itself remains the source: LOCAL and UNKNOWN, and
    the families that have no IP address (sections 2.1, 2.2).
    """

    length: int
    source: tuple[str, int] | None


def read_proxy_header(received: bytes | bytearray) -> ProxyHeader | ProxyVerdict:
    """The header at the very start of ``received``, or why there is none. Never raises."""
    if received[:12] == _V2_SIGNATURE[: len(received)]:
        return _read_v2(received) if len(received) >= _V2_FIXED_BYTES else ProxyVerdict.NEED_MORE
    if received[:5] == _V1_SIGNATURE[: len(received)]:
        return _read_v1(received)
    return ProxyVerdict.ABSENT


def _read_v1(received: bytes | bytearray) -> ProxyHeader | ProxyVerdict:
    end = received.find(b"\r\n", 0, MAX_V1_BYTES)
    if end < 0:
        return ProxyVerdict.MALFORMED if len(received) >= MAX_V1_BYTES else ProxyVerdict.NEED_MORE
    line = bytes(received[: end + 2])
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(len(line), None)
    matched = _V1_ADDRESSES.fullmatch(line)
    if matched is None:
        return ProxyVerdict.MALFORMED
    family, source, destination, source_port, destination_port = (part.decode() for part in matched.groups())
    parse = ipaddress.IPv4Address if family == "TCP4" else ipaddress.IPv6Address
    try:
        parse(destination)
        address = str(parse(source))
    except ValueError:
        return ProxyVerdict.MALFORMED
    if max(int(source_port), int(destination_port)) > 0xFFFF:
        return ProxyVerdict.MALFORMED
    return ProxyHeader(len(line), (address, int(source_port)))


def _read_v2(received: bytes | bytearray) -> ProxyHeader | ProxyVerdict:
    version_command, family_transport, address_bytes = struct.unpack_from("!BBH", received, 12)
    command = version_command & 0x0F
    length = _V2_FIXED_BYTES + address_bytes
    if version_command >> 4 != 2 or command > _PROXY or length > MAX_V2_BYTES:
        return ProxyVerdict.MALFORMED
    family, transport = family_transport >> 4, family_transport & 0x0F
    # The family of a LOCAL header is to be ignored, even where it makes no sense (section 2.2).
    if command == _PROXY and (family > _UNIX or transport > _DGRAM or address_bytes < _ADDRESS_BYTES[family]):
        return ProxyVerdict.MALFORMED
    if len(received) < length:
        return ProxyVerdict.NEED_MORE
    if command == _LOCAL or transport != _STREAM or family not in (_INET, _INET6):
        return ProxyHeader(length, None)
    packed_bytes = 4 if family == _INET else 16
    source = ipaddress.ip_address(bytes(received[16 : 16 + packed_bytes]))
    (port,) = struct.unpack_from("!H", received, 16 + 2 * packed_bytes)
    return ProxyHeader(length, (str(source), port))
