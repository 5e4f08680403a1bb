"""How what an app registered lies in its row. The token lies beside it, since it may go alone."""

from __future__ import annotations

import orjson

from hub.delivery.model import DeviceRecord

_FIELDS = ("platform", "provider", "app", "environment", "locale", "timezone", "app_version")


def encode_record(record: DeviceRecord) -> bytes:
    """Everything but the token, as JSON."""
    return orjson.dumps({name: getattr(record, name) for name in _FIELDS})


def decode_record(packed: bytes, token: str) -> DeviceRecord:
    """What :func:`encode_record` was given, with ``token``; fields of a later version are passed over.

    Raises:
        ValueError: it is no record.
    """
    fields = orjson.loads(packed)
    return DeviceRecord(token=token, **{name: fields.get(name, "") for name in _FIELDS})
