"""Claims: each rule of the client protocol, section 6, on plain dictionaries."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hub.auth.claims import Validity, check_validity, parse_connection, parse_subscription, parse_validity
from hub.auth.options import VerifierOptions
from hub.auth.tokens import ConnectionToken, InvalidToken, SubscriptionGrant, SubscriptionToken
from hub.channels import Override
from hub.errors import TOKEN_EXPIRED, HubError

LAX = VerifierOptions(require_exp=False)


def connection(options: VerifierOptions = LAX, **claims: Any) -> ConnectionToken:
    return parse_connection(claims, options)


def subscription(**claims: Any) -> SubscriptionToken:
    return parse_subscription({"channel": "news"} | claims, LAX)


def test_a_full_connection_token() -> None:
    """Every claim finds its field."""
    token = connection(
        sub="42",
        exp=2000,
        iat=1000,
        jti="id-1",
        info={"name": "Ann"},
        channels=["a", "b", "a"],
        meta={"plan": "free"},
        subs={"c": {"info": 1, "data": [2]}},
    )
    assert token == ConnectionToken(
        user="42",
        expire_at_s=2000,
        info=b'{"name":"Ann"}',
        channels=("a", "b"),
        subs={"c": SubscriptionGrant(info=b"1", data=b"[2]")},
        meta=b'{"plan":"free"}',
        token_id="id-1",
        issued_at_s=1000,
    )


def test_an_empty_connection_token_is_anonymous_and_endless() -> None:
    """No claim at all is allowed where exp is not required."""
    assert connection() == ConnectionToken("", None, None, (), {}, None, "", None)


def test_null_counts_as_absent() -> None:
    """Issuers that write out empty fields are understood."""
    names = [
        "sub",
        "exp",
        "expire_at",
        "iat",
        "jti",
        "info",
        "b64info",
        "channels",
        "subs",
        "meta",
        "channel",
    ]
    assert connection(**dict.fromkeys(names)) == connection()


def test_the_grants_cannot_be_changed() -> None:
    """A token is shared by every connection that brings it."""
    with pytest.raises(TypeError):
        connection(subs={"c": {}}).subs["d"] = SubscriptionGrant()  # type: ignore[index]


@pytest.mark.parametrize(
    ("claims", "expire_at_s"),
    [
        ({}, None),
        ({"exp": 2000}, 2000),
        ({"exp": 2000.9}, 2001),
        ({"exp": 2000, "expire_at": 0}, None),
        ({"exp": 2000, "expire_at": 3000}, 3000),
        ({"expire_at": 3000}, 3000),
        ({"expire_at": 0}, None),
        ({"exp": 2000, "expire_at": None}, 2000),
    ],
)
def test_expire_at_overrides_exp(claims: dict[str, Any], expire_at_s: int | None) -> None:
    """Absent is exp, 0 is never, a value is that time; the same for both kinds of token."""
    assert connection(**claims).expire_at_s == expire_at_s
    assert subscription(**claims).expire_at_s == expire_at_s


def test_ignored_expiry_never_ends_a_connection() -> None:
    """In insecure mode nothing expires."""
    options = VerifierOptions(ignore_expiry=True)
    assert parse_connection({"exp": 5, "expire_at": 6}, options).expire_at_s is None
    assert parse_validity({"exp": 5, "nbf": 10**9}, options) == Validity(None, None)


@pytest.mark.parametrize(
    ("user", "expected"), [("42", "42"), (42, "42"), (-7, "-7"), (2**63, str(2**63)), ("", ""), (None, "")]
)
def test_the_user_is_text(user: object, expected: str) -> None:
    """Integers become decimal text, as SimpleJWT needs it."""
    assert connection(sub=user).user == expected


@pytest.mark.parametrize("user", [True, False, 4.0, [], {}, ["42"]])
def test_a_user_of_another_type_is_invalid(user: object) -> None:
    """True is no user 1, and a float no number to identify somebody by."""
    with pytest.raises(InvalidToken, match="names the user"):
        connection(sub=user)


def test_another_claim_may_name_the_user() -> None:
    """With a configured claim ``sub`` means nothing."""
    assert connection(VerifierOptions(user_claim="user_id"), sub="x", user_id=7).user == "7"


def test_binary_payloads_win_over_json() -> None:
    """b64info and b64data are what Protobuf users send."""
    encoded = base64.b64encode(b"\x00\xff").decode()
    assert connection(info={"a": 1}, b64info=encoded).info == b"\x00\xff"
    assert connection(info={"a": 1}, b64info="").info == b'{"a":1}'
    assert subscription(data=1, b64data=encoded).data == b"\x00\xff"
    assert connection(subs={"c": {"b64info": encoded}}).subs["c"].info == b"\x00\xff"


def test_a_full_subscription_token() -> None:
    """Every claim finds its field."""
    token = subscription(
        sub="42",
        client="c-1",
        exp=2000,
        info="i",
        data={"d": None},
        override={"presence": {"value": True}, "force_recovery": {"value": False}, "join_leave": None},
    )
    assert token == SubscriptionToken(
        user="42",
        channel="news",
        client="c-1",
        expire_at_s=2000,
        info=b'"i"',
        data=b'{"d":null}',
        override=Override(presence=True, force_recovery=False),
    )


def test_each_override_has_its_own_name() -> None:
    """No two options are mixed up."""
    names = ["presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning"]
    for name in names:
        override = subscription(override={name: {"value": True}}).override
        assert override == Override(**{name: True})


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "2000"},
        {"exp": True},
        {"exp": [2000]},
        {"expire_at": "0"},
        {"expire_at": False},
        {"iat": "now"},
        {"jti": 5},
        {"b64info": 5},
        {"b64info": "***"},
        {"b64info": "é"},
        {"meta": "text"},
        {"meta": []},
        {"channels": "news"},
        {"channels": [1]},
        {"channels": {"news": 1}},
        {"subs": ["news"]},
        {"subs": {"news": 1}},
        {"subs": {"news": {"override": True}}},
        {"subs": {"news": {"override": {"presence": True}}}},
        {"subs": {"news": {"override": {"presence": {"value": 1}}}}},
        {"subs": {"news": {"override": {"presence": {}}}}},
        {"subs": {"news": {"b64data": "?"}}},
        {"channel": "news"},
        {"channel": ""},
        {"channel": 5},
    ],
    ids=repr,
)
def test_a_wrong_type_makes_a_connection_token_invalid(claims: dict[str, Any]) -> None:
    """Nothing is guessed from a claim that is not what it should be."""
    with pytest.raises(InvalidToken):
        connection(**claims)


@pytest.mark.parametrize(
    "claims",
    [
        {"channel": None},
        {"channel": ""},
        {"channel": 5},
        {"client": 5},
        {"exp": "2000"},
        {"sub": 1.5},
        {"b64info": "?"},
        {"b64data": 7},
        {"override": []},
    ],
    ids=repr,
)
def test_a_wrong_type_makes_a_subscription_token_invalid(claims: dict[str, Any]) -> None:
    """A subscription token without channel is invalid too."""
    with pytest.raises(InvalidToken):
        subscription(**claims)


def test_a_payload_nested_beyond_writing_is_invalid() -> None:
    """Deep JSON ends in a refusal, not in a crash."""
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InvalidToken, match="nested too deeply"):
        connection(info=deep)


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"iss": "api"}, True),
        ({"iss": "other"}, False),
        ({"iss": ["api"]}, False),
        ({}, False),
    ],
)
def test_the_issuer_is_checked_when_set(claims: dict[str, Any], accepted: bool) -> None:
    """Equal text is accepted, all else is not; unset checks nothing."""
    assert _accepts(claims, VerifierOptions(issuer="api")) is accepted
    assert _accepts(claims, LAX)


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"aud": "hub"}, True),
        ({"aud": "mobile"}, True),
        ({"aud": ["x", "hub"]}, True),
        ({"aud": "x"}, False),
        ({"aud": []}, False),
        ({"aud": {"hub": 1}}, False),
        ({"aud": "hubs"}, False),
        ({}, False),
    ],
)
def test_the_audience_is_checked_when_set(claims: dict[str, Any], accepted: bool) -> None:
    """One audience in common is enough; unset checks nothing."""
    assert _accepts(claims, VerifierOptions(audience=("hub", "mobile"))) is accepted
    assert _accepts(claims, LAX)


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"token_type": "access"}, True),
        ({"token_type": "refresh"}, False),
        ({"token_type": ["access"]}, False),
        ({}, False),
    ],
)
def test_the_required_claim_is_checked_when_set(claims: dict[str, Any], accepted: bool) -> None:
    """A refresh token of SimpleJWT opens nothing, of either kind."""
    options = VerifierOptions(required_claim=("token_type", "access"))
    assert _accepts(claims, options) is accepted
    assert _accepts(claims, LAX)


def test_subscription_tokens_obey_the_same_expectations() -> None:
    """Issuer, audience and required claim hold for both kinds."""
    for options in (
        VerifierOptions(issuer="api"),
        VerifierOptions(audience=("hub",)),
        VerifierOptions(required_claim=("token_type", "access")),
    ):
        with pytest.raises(InvalidToken):
            parse_subscription({"channel": "news"}, options)


def test_exp_is_required_by_default() -> None:
    """A token without end is refused unless the operator allows it."""
    with pytest.raises(InvalidToken, match="exp claim is missing"):
        parse_validity({}, VerifierOptions())
    assert parse_validity({}, LAX) == Validity(None, None)


@pytest.mark.parametrize(
    ("claims", "now_s", "accepted"),
    [
        ({"exp": 1000}, 999.9, True),
        ({"exp": 1000}, 1000, False),
        ({"nbf": 1000}, 999.9, False),
        ({"nbf": 1000}, 1000, True),
        ({"exp": 1000, "nbf": 900}, 950, True),
        ({"exp": 0}, 1, False),
        ({"exp": -5}, 1, False),
        ({}, 1, True),
    ],
)
def test_time_claims_bound_the_use(claims: dict[str, Any], now_s: float, accepted: bool) -> None:
    """exp ends it, nbf begins it; either way the client is told to get a new token."""
    assert _in_time(claims, LAX, now_s) is accepted


@pytest.mark.parametrize(
    ("claims", "now_s", "accepted"),
    [
        ({"exp": 1000}, 1009.9, True),
        ({"exp": 1000}, 1010, False),
        ({"nbf": 1000}, 990, True),
        ({"nbf": 1000}, 989.9, False),
    ],
)
def test_leeway_forgives_on_both_sides(claims: dict[str, Any], now_s: float, accepted: bool) -> None:
    """Clocks of issuer and hub may differ by the leeway."""
    assert _in_time(claims, VerifierOptions(require_exp=False, leeway_s=10), now_s) is accepted


@pytest.mark.parametrize("name", ["exp", "nbf"])
def test_a_time_that_is_no_number_is_invalid(name: str) -> None:
    """Text that looks like a number is not one."""
    with pytest.raises(InvalidToken, match=name):
        parse_validity({name: "1000"}, LAX)


def _accepts(claims: dict[str, Any], options: VerifierOptions) -> bool:
    try:
        parse_connection(claims, options)
    except InvalidToken:
        return False
    return True


def _in_time(claims: dict[str, Any], options: VerifierOptions, now_s: float) -> bool:
    try:
        check_validity(parse_validity(claims, options), now_s)
    except HubError as error:
        assert error.error is TOKEN_EXPIRED
        return False
    return True
