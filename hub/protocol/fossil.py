"""Patches in the fossil delta format: what a publication changed since the one before.

A patch copies ranges of the source and inserts what is new; it carries the size and a
checksum of its result. The format fixes how a patch is read; how small one gets is the
encoder's own doing. Works on bytes and knows no channel.
"""

from __future__ import annotations

import struct
from typing import Final

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_VALUE_OF: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_MAX_INTEGER: Final = 2**32 - 1
_BLOCK: Final = 16
"""Length in bytes of what is looked up in the source. Shorter moved pieces are not found."""
_MAX_CANDIDATES: Final = 4
"""Places remembered for one block; keeps a source that repeats itself from costing quadratic time."""


def create_delta(source: bytes, target: bytes) -> bytes:
    """A patch that makes ``target`` out of ``source``. May be larger than ``target``: the caller compares."""
    prefix = _common_prefix(source, 0, target, 0)
    if prefix <= len(_copy(prefix, 0)):
        prefix = 0
    suffix = _common_suffix(source, len(source), target, len(target), min(len(source), len(target)) - prefix)
    if suffix <= len(_copy(suffix, len(source) - suffix)):
        suffix = 0
    patch = bytearray(_integer(len(target)) + b"\n")
    if prefix:
        patch += _copy(prefix, 0)
    _append_middle(patch, source, target, prefix, len(target) - suffix)
    if suffix:
        patch += _copy(suffix, len(source) - suffix)
    patch += _integer(_checksum(target)) + b";"
    return bytes(patch)


def apply_delta(source: bytes, delta: bytes) -> bytes:
    """What ``delta`` makes out of ``source``.

    Raises:
        ValueError: when the patch is malformed or was not made for this source.
    """
    size, at = _read_integer(delta, 0)
    if delta[at : at + 1] != b"\n":
        raise ValueError("the patch does not begin with its target's size")
    at += 1
    target = bytearray()
    while True:
        number, at = _read_integer(delta, at)
        operator = delta[at : at + 1]
        at += 1
        if operator == b";":
            break
        if number > size - len(target):
            raise ValueError("the patch makes more than it announced")
        if operator == b"@":
            offset, at = _read_integer(delta, at)
            if delta[at : at + 1] != b"," or offset + number > len(source):
                raise ValueError("a copy is malformed or reaches past the source")
            at += 1
            target += source[offset : offset + number]
        elif operator == b":":
            if at + number > len(delta):
                raise ValueError("an insert reaches past the patch")
            target += delta[at : at + number]
            at += number
        else:
            raise ValueError("unknown operator")
    if at != len(delta):
        raise ValueError("something follows the checksum")
    if len(target) != size or number != _checksum(target):
        raise ValueError("the result is not what was announced")
    return bytes(target)


def _append_middle(patch: bytearray, source: bytes, target: bytes, start: int, end: int) -> None:
    """Commands for ``target[start:end]``, what lies between the common ends."""
    inserted_from = at = start
    places = _blocks_of(source) if end - start >= _BLOCK else {}
    while places and at + _BLOCK <= end:
        candidates = places.get(target[at : at + _BLOCK])
        if candidates is None:
            at += 1
            continue
        offset, copied_from, copied_to = _longest_match(source, target, candidates, inserted_from, at, end)
        _append_insert(patch, target[inserted_from:copied_from])
        patch += _copy(copied_to - copied_from, offset)
        inserted_from = at = copied_to
    _append_insert(patch, target[inserted_from:end])


def _blocks_of(source: bytes) -> dict[bytes, list[int]]:
    places: dict[bytes, list[int]] = {}
    for offset in range(0, len(source) - _BLOCK + 1, _BLOCK):
        known = places.setdefault(source[offset : offset + _BLOCK], [])
        if len(known) < _MAX_CANDIDATES:
            known.append(offset)
    return places


def _longest_match(
    source: bytes, target: bytes, candidates: list[int], start: int, at: int, end: int
) -> tuple[int, int, int]:
    """Source offset, target start and target end of the longest match around the block at ``at``."""
    best_offset, best_from, best_to = 0, at, at
    for candidate in candidates:
        ahead = _BLOCK + _common_prefix(source, candidate + _BLOCK, target, at + _BLOCK, end)
        behind = _common_suffix(source, candidate, target, at, min(candidate, at - start))
        if ahead + behind > best_to - best_from:
            best_offset, best_from, best_to = candidate - behind, at - behind, at + ahead
    return best_offset, best_from, best_to


def _common_prefix(
    source: bytes, source_at: int, target: bytes, target_at: int, end: int | None = None
) -> int:
    """How many bytes agree from the two places on. Compares in growing steps, so it is linear in C."""
    limit = min(len(source) - source_at, (len(target) if end is None else end) - target_at)
    count, step = 0, _BLOCK
    while step:
        step = min(step, limit - count)
        head, other = source_at + count, target_at + count
        if source[head : head + step] == target[other : other + step]:
            count += step
            step = min(2 * step, limit - count)
        else:
            step //= 2
    return count


def _common_suffix(source: bytes, source_end: int, target: bytes, target_end: int, limit: int) -> int:
    """How many bytes agree backwards from the two places, at most ``limit``."""
    count, step = 0, _BLOCK
    while step:
        step = min(step, limit - count)
        tail, other = source_end - count, target_end - count
        if source[tail - step : tail] == target[other - step : other]:
            count += step
            step = min(2 * step, limit - count)
        else:
            step //= 2
    return count


def _append_insert(patch: bytearray, inserted: bytes) -> None:
    if inserted:
        patch += _integer(len(inserted)) + b":" + inserted


def _copy(length: int, offset: int) -> bytes:
    return _integer(length) + b"@" + _integer(offset) + b","


def _integer(number: int) -> bytes:
    digits = bytearray((_DIGITS[number & 63],))
    while number := number >> 6:
        digits.append(_DIGITS[number & 63])
    digits.reverse()
    return bytes(digits)


def _read_integer(delta: bytes, at: int) -> tuple[int, int]:
    number, start = 0, at
    while at < len(delta) and (value := _VALUE_OF.get(delta[at])) is not None:
        number = number << 6 | value
        at += 1
        if number > _MAX_INTEGER:
            raise ValueError("an integer is out of range")
    if at == start:
        raise ValueError("an integer is missing")
    return number, at


def _checksum(target: bytes | bytearray) -> int:
    """The sum of the target's big-endian 32-bit words, zeros behind its end, modulo 2**32."""
    padded = bytes(target) + bytes(-len(target) % 4)
    words: tuple[int, ...] = struct.unpack(f">{len(padded) // 4}I", padded)
    return sum(words) & 0xFFFFFFFF
