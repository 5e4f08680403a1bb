"""The note beside an entry reads back as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.model import EntryTerms
from hub.delivery.note import MalformedNote, decode_note, encode_note

_TERMS = st.builds(
    EntryTerms,
    id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64),
    push=st.booleans(),
    expires_at_ms=st.integers(0, 2**45),
    full_trace=st.booleans(),
    thread=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=16),
    details=st.binary(max_size=50),
)


@given(_TERMS)
def test_a_note_reads_back_as_it_was_written(terms: EntryTerms) -> None:
    """Even where the details hold line ends and blanks."""
    assert decode_note(encode_note(terms)) == terms


def test_the_text_is_what_scripts_read() -> None:
    """The form is shared with scripts, so it may not change by accident."""
    terms = EntryTerms(id="n-1", push=True, expires_at_ms=17, thread="t", details=b'{"a":1}')
    assert encode_note(terms) == b'p 17 1 n-1\nt\n{"a":1}'


def test_a_withdrawn_entry_is_not_to_be_pushed() -> None:
    """Its kind has room for one of the two, and the withdrawal counts."""
    note = encode_note(EntryTerms(id="n", push=True, expires_at_ms=1, full_trace=False, withdrawn=True))
    assert note == b"w 1 0 n\n\n{}"
    assert decode_note(note).withdrawn
    assert not decode_note(note).push


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"p 1 1 n",
        b"p 1 1 n\n",
        b"x 1 1 n\n\n",
        b"p a 1 n\n\n",
        b"p 1 2 n\n\n",
        b"p 1 1 a b\n\n",
        b"\n\n",
    ],
)
def test_other_text_is_refused(note: bytes) -> None:
    """Whoever reads the log must be able to pass over what no hub wrote."""
    with pytest.raises(MalformedNote):
        decode_note(note)


@pytest.mark.parametrize(("name", "thread"), [("a b", ""), ("a\nb", ""), ("", ""), ("a", "t\nu")])
def test_what_could_not_be_read_back_is_not_written(name: str, thread: str) -> None:
    """A line end in the id would give the note another meaning."""
    with pytest.raises(ValueError, match="cannot be noted"):
        encode_note(EntryTerms(id=name, push=True, expires_at_ms=1, thread=thread))
