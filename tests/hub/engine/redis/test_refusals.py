"""What error replies mean: whether a command may be sent again, and where."""

from __future__ import annotations

import pytest

from hub.engine.redis.address import Endpoint
from hub.engine.redis.refusals import Verdict, code_of, reason_of, redirection_of, text_of, verdict_of

HERE = Endpoint("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("NOSCRIPT No matching script. Please use EVAL.", Verdict.LOAD_SCRIPT),
        ("MOVED 3999 127.0.0.1:6381", Verdict.GO_THERE),
        ("ASK 3999 127.0.0.1:6381", Verdict.ASK_THERE),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Verdict.WAIT),
        ("LOADING Redis is loading the dataset in memory", Verdict.WAIT),
        ("READONLY You can't write against a read only replica.", Verdict.NOT_PRIMARY),
        ("CLUSTERDOWN The cluster is down", Verdict.NOT_PRIMARY),
        ("OOM command not allowed when used memory > 'maxmemory'.", Verdict.UNAVAILABLE),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", Verdict.REFUSED),
        ("ERR unknown command 'FOO'", Verdict.REFUSED),
    ],
)
def test_verdicts(text: str, verdict: Verdict) -> None:
    """By the first word."""
    assert verdict_of(Exception(text)) is verdict


def test_what_a_script_passed_on_before_redis_7_counts() -> None:
    """There it is wrapped."""
    error = Exception(
        "ERR Error running script (call to f_1fa): @user_script:1: @user_script: 1: "
        "-READONLY You can't write against a read only replica. "
    )
    assert (code_of(error), verdict_of(error)) == ("READONLY", Verdict.NOT_PRIMARY)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("MOVED 3999 127.0.0.1:6381", Endpoint("127.0.0.1", 6381)),
        ("ASK 3999 :6381", Endpoint("10.0.0.1", 6381)),
        ("MOVED 3999 [2001:db8::1]:6381", Endpoint("2001:db8::1", 6381)),
        ("MOVED 3999 2001:db8::1:6381", Endpoint("2001:db8::1", 6381)),
    ],
)
def test_redirections(text: str, endpoint: Endpoint) -> None:
    """A missing host is that of the server that spoke."""
    assert redirection_of(Exception(text), HERE) == (3999, endpoint)


def test_what_people_read_quotes_no_arguments() -> None:
    """Redis quotes them after an unknown command."""
    error = Exception("ERR unknown command 'FOO', with args beginning with: 'secret' ")
    assert text_of(error) == "ERR unknown command 'FOO'"
    assert reason_of(Exception("OOM command not allowed")) == "its memory is full (OOM)"
    assert reason_of(Exception("NEW things")) == "it answers NEW"
