"""Receipts hold exactly what was signed, and nothing else passes for one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hub.delivery.receipts import MAX_RECEIPT_CHARS, Receipt, sign_receipt, verify_receipt
from hub.errors import RECEIPT_INVALID, HubError

SECRET = bytes(range(32))
NOW_MS = 1_800_000_000_000

receipts = st.builds(
    Receipt,
    user=st.text(min_size=1, max_size=60),
    device=st.from_regex(r"\A[A-Za-z0-9._-]{16,64}\Z"),
    epoch=st.from_regex(r"\A[A-Za-z0-9]{1,16}-[0-9]{1,6}\Z"),
    offset=st.integers(0, 2**63),
    acks=st.integers(0, 2**63),
    expires_at_ms=st.integers(NOW_MS + 1, NOW_MS + 10**12),
)
ONE = Receipt("alice", "a" * 16, "k3jd-1", 42, 41, NOW_MS + 60_000)


def refused(text: str, *, secret: bytes = SECRET, now_ms: int = NOW_MS) -> None:
    """Assert that ``text`` is no receipt."""
    with pytest.raises(HubError) as raised:
        verify_receipt(text, secret, now_ms)
    assert raised.value.error is RECEIPT_INVALID
    assert len(text) < 16 or text not in str(raised.value)


@given(receipts)
def test_what_was_signed_is_what_is_read(receipt: Receipt) -> None:
    """Any user, device and epoch survives the way to the phone and back."""
    assert verify_receipt(sign_receipt(receipt, SECRET), SECRET, NOW_MS) == receipt


@given(receipts, st.data())
def test_no_changed_bit_passes(receipt: Receipt, data: st.DataObject) -> None:
    """Wherever it is changed: user, device, offset, expiry or signature."""
    text = sign_receipt(receipt, SECRET)
    signed = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    bit = data.draw(st.integers(0, len(signed) * 8 - 1))
    signed[bit // 8] ^= 1 << bit % 8
    refused(base64.urlsafe_b64encode(bytes(signed)).rstrip(b"=").decode())


@given(receipts, receipts)
def test_a_signature_fits_its_own_receipt_only(one: Receipt, other: Receipt) -> None:
    """The signature of one device's receipt on another's body is worth nothing."""
    assume(one != other)
    one_signed = base64.urlsafe_b64decode(_padded(sign_receipt(one, SECRET)))
    other_signed = base64.urlsafe_b64decode(_padded(sign_receipt(other, SECRET)))
    crossed = one_signed[:-16] + other_signed[-16:]
    refused(base64.urlsafe_b64encode(crossed).rstrip(b"=").decode())


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever comes from outside is refused by the same error."""
    refused(text)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(raw: bytes) -> None:
    """Nor does well encoded nonsense, of any length."""
    refused(base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


def test_it_ends() -> None:
    """Valid up to the millisecond before its expiry."""
    text = sign_receipt(ONE, SECRET)
    assert verify_receipt(text, SECRET, ONE.expires_at_ms - 1) == ONE
    refused(text, now_ms=ONE.expires_at_ms)


def test_another_world_has_another_secret() -> None:
    """What one hub signed is nothing to a hub of another engine."""
    refused(sign_receipt(ONE, SECRET), secret=bytes(32))


@pytest.mark.parametrize("spoil", ["{}=", "{}\n", " {}", "{}.", "{}A"])
def test_there_is_one_spelling(spoil: str) -> None:
    """Padding, blanks and further characters make it another text."""
    refused(spoil.format(sign_receipt(ONE, SECRET)))


def test_spare_bits_are_no_second_spelling() -> None:
    """The last character of base64 may hold bits that mean nothing: they must be zero."""
    texts = [sign_receipt(Receipt("a" * n, "a" * 16, "e-1", 1, 1, NOW_MS + 1), SECRET) for n in (1, 2, 3)]
    text = next(t for t in texts if len(t) % 4 == 2)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    refused(text[:-1] + alphabet[alphabet.index(text[-1]) + 1])


def test_a_very_long_text_is_not_even_decoded() -> None:
    """Nobody makes the hub work by sending much."""
    refused("A" * (MAX_RECEIPT_CHARS + 1))


def test_it_is_short_enough_for_a_push() -> None:
    """Bodies of 4 KiB have to hold it beside everything else."""
    receipt = Receipt("u" * 40, "d" * 36, "abcdefgh-1", 10**9, 10**9, NOW_MS)
    assert len(sign_receipt(receipt, SECRET)) < 200


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
