"""What each field of a message is, read once off the annotations in ``messages``.

One truth for both codecs: where payloads sit, which messages nest, how wide an integer is.
Knows no encoding and no field number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from msgspec import Raw, Struct, structs

from hub.protocol.messages import I32, I64, U32, U64


class Kind(Enum):
    """What a field holds. The ones that hold messages name them in ``Field.message``."""

    BOOL = auto()
    U32 = auto()
    U64 = auto()
    I32 = auto()
    I64 = auto()
    TEXT = auto()
    PAYLOAD = auto()
    MESSAGE = auto()
    TEXT_LIST = auto()
    MESSAGE_LIST = auto()
    TEXT_MAP = auto()
    MESSAGE_MAP = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message. ``required`` means that it has no default and is never left out of JSON."""

    name: str
    kind: Kind
    required: bool
    message: type[Struct] | None = None

    @property
    def nested(self) -> type[Struct]:
        """The message that this field holds, lists or maps to.

        Raises:
            TypeError: for a field that holds none.
        """
        if self.message is None:
            raise TypeError(f"field {self.name} holds no message")
        return self.message


@cache
def fields_of(message: type[Struct]) -> tuple[Field, ...]:
    """The fields of a message in the order of its definition.

    Raises:
        TypeError: when a field is of a type that the protocol does not have.
    """
    return tuple(_field(info) for info in structs.fields(message))


_SCALARS: tuple[tuple[Any, Kind], ...] = (
    (bool, Kind.BOOL),
    (U32, Kind.U32),
    (U64, Kind.U64),
    (I32, Kind.I32),
    (I64, Kind.I64),
    (str, Kind.TEXT),
    (Raw, Kind.PAYLOAD),
)


def _field(info: structs.FieldInfo) -> Field:
    annotation = _without_none(info.type)
    for scalar, kind in _SCALARS:
        if annotation == scalar:
            return Field(info.name, kind, info.required)
    if _is_message(annotation):
        return Field(info.name, Kind.MESSAGE, info.required, annotation)
    origin, item = get_origin(annotation), (get_args(annotation) or (None,))[-1]
    if origin is list and item is str:
        return Field(info.name, Kind.TEXT_LIST, info.required)
    if origin is list and _is_message(item):
        return Field(info.name, Kind.MESSAGE_LIST, info.required, item)
    if origin is dict and item is str:
        return Field(info.name, Kind.TEXT_MAP, info.required)
    if origin is dict and _is_message(item):
        return Field(info.name, Kind.MESSAGE_MAP, info.required, item)
    raise TypeError(f"field {info.name} has a type the protocol does not know")


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    (present,) = (option for option in get_args(annotation) if option is not NoneType)
    return present


def _is_message(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)
