"""What an error reply of Redis means for the command that got it. Pure; knows no connection."""

from __future__ import annotations

import enum
import re

from hub.engine.redis.address import Endpoint
from hub.engine.redis.wire import error_code


class Verdict(enum.Enum):
    """What to do with a command that was answered with an error."""

    LOAD_SCRIPT = enum.auto()
    """It did not run: the server does not know the script."""
    GO_THERE = enum.auto()
    """It did not run: another primary serves the slot from now on."""
    ASK_THERE = enum.auto()
    """It did not run: another primary has these keys already, and takes this one command."""
    WAIT = enum.auto()
    """It did not run: the server is busy with something that passes."""
    NOT_PRIMARY = enum.auto()
    """It did not run: the server is a replica, or has lost its primary or its Cluster."""
    UNAVAILABLE = enum.auto()
    """The server cannot do this now, and trying at once again would not help."""
    REFUSED = enum.auto()
    """The command itself is wrong."""


_VERDICTS = {
    "NOSCRIPT": Verdict.LOAD_SCRIPT,
    "MOVED": Verdict.GO_THERE,
    "ASK": Verdict.ASK_THERE,
    "TRYAGAIN": Verdict.WAIT,
    "LOADING": Verdict.WAIT,
    "BUSY": Verdict.WAIT,
    "READONLY": Verdict.NOT_PRIMARY,
    "MASTERDOWN": Verdict.NOT_PRIMARY,
    "CLUSTERDOWN": Verdict.NOT_PRIMARY,
    "OOM": Verdict.UNAVAILABLE,
    "MISCONF": Verdict.UNAVAILABLE,
    "NOREPLICAS": Verdict.UNAVAILABLE,
    "NOAUTH": Verdict.UNAVAILABLE,
    "NOPERM": Verdict.UNAVAILABLE,
    "UNKILLABLE": Verdict.UNAVAILABLE,
}

_REASONS = {
    "OOM": "its memory is full (OOM)",
    "MISCONF": "it cannot write its data to disk and takes no writes (MISCONF)",
    "NOREPLICAS": "too few of its replicas are there and it takes no writes (NOREPLICAS)",
    "NOAUTH": "it wants a password and got none (NOAUTH)",
    "NOPERM": "the user of the URL may not run what the hub needs (NOPERM)",
}

# Before 7.0, what a command inside a script was answered comes wrapped in ERR.
_WRAPPED = re.compile(
    r"^ERR Error running script .*@user_script: ?\d+: -?(READONLY|OOM|MISCONF|NOREPLICAS)\b"
)


def code_of(error: Exception) -> str:
    """The code of an error reply, also of one that a script passed on."""
    code = error_code(error)
    if code == "ERR" and (wrapped := _WRAPPED.match(str(error))):
        return wrapped[1]
    return code


def verdict_of(error: Exception) -> Verdict:
    """What to do with the command that got ``error``."""
    return _VERDICTS.get(code_of(error), Verdict.REFUSED)


def reason_of(error: Exception) -> str:
    """For people: why a server is of no use now."""
    code = code_of(error)
    return _REASONS.get(code, f"it answers {code}")


def redirection_of(error: Exception, answered_by: Endpoint) -> tuple[int, Endpoint]:
    """Slot and endpoint of a MOVED or ASK. A missing host means that of the server that answered.

    Raises:
        ValueError: when it is none.
    """
    _, slot, place = str(error).split(" ")[:3]
    host, _, port = place.rpartition(":")
    return int(slot), Endpoint(host.strip("[]") or answered_by.host, int(port))


def text_of(error: Exception) -> str:
    """The error without what Redis quotes of the arguments, which are nobody's business in a log."""
    return str(error).partition(", with args")[0][:200]
