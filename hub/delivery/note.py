"""The note beside an entry of an inbox: what the ledger must know of it without reading its payload.

``<kind> <expires_at_ms> <full_trace> <id>\\n<thread>\\n<details>``, where the kind is ``p`` for an entry that
may be pushed, ``s`` for one that goes by the socket alone, ``w`` for a withdrawn one, and ``full_trace`` is 1
or 0. Scripts of the Redis engine read the same text.
"""

from __future__ import annotations

from hub.delivery.model import EntryTerms

PUSHED = b"p"
SOCKET_ONLY = b"s"
WITHDRAWN = b"w"


class MalformedNote(ValueError):
    """The text is no note."""


def encode_note(terms: EntryTerms) -> bytes:
    """The note of an entry.

    Raises:
        ValueError: when id or thread could not be read back: no blank and no line end may be in them.
    """
    if not terms.id or any(char <= " " for char in terms.id) or "\n" in terms.thread:
        raise ValueError("an id or a thread with a blank or a line end cannot be noted")
    kind = WITHDRAWN if terms.withdrawn else PUSHED if terms.push else SOCKET_ONLY
    head = f"{kind.decode()} {terms.expires_at_ms} {int(terms.full_trace)} {terms.id}\n{terms.thread}\n"
    return head.encode() + terms.details


def decode_note(note: bytes) -> EntryTerms:
    """What :func:`encode_note` was given; a withdrawn entry is never to be pushed.

    Raises:
        MalformedNote: when it is not the text of a note.
    """
    try:
        head, thread, details = note.split(b"\n", 2)
        kind, expires_at_ms, full_trace, notification = head.split(b" ")
        if kind not in (PUSHED, SOCKET_ONLY, WITHDRAWN) or full_trace not in (b"0", b"1"):
            raise ValueError
        return EntryTerms(
            id=notification.decode(),
            push=kind == PUSHED,
            expires_at_ms=int(expires_at_ms),
            full_trace=full_trace == b"1",
            thread=thread.decode(),
            details=details,
            withdrawn=kind == WITHDRAWN,
        )
    except ValueError:
        raise MalformedNote("not the note of an entry") from None
