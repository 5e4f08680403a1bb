"""From the claims of a signed token to its value; the rules of the client protocol, section 6.

Pure: the time comes as an argument. A claim that is ``null`` counts as absent, since many
issuers write out their empty fields; any other wrong type makes the token invalid.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import orjson

from hub.auth.options import VerifierOptions
from hub.auth.tokens import ConnectionToken, InvalidToken, SubscriptionGrant, SubscriptionToken
from hub.channels import Override
from hub.errors import TOKEN_EXPIRED, HubError

Claims: TypeAlias = Mapping[str, object]

_NO_SUBS: Mapping[str, SubscriptionGrant] = MappingProxyType({})
_OVERRIDES = ("presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning")


class Validity(NamedTuple):
    """When a token may be used, in unix seconds; None sets no bound."""

    not_before_s: float | None
    until_s: float | None


_MAX_SECONDS = 2**53
"""Beyond this, numbers of JSON are no longer exact (RFC 8259, section 6)."""


def parse_connection(claims: Claims, options: VerifierOptions) -> ConnectionToken:
    """The connection token that these claims make. Does not look at the time.

    Raises:
        InvalidToken: when a claim is missing, of the wrong type, or not the expected one,
            or when it is a subscription token.
    """
    if claims.get("channel") is not None:
        raise InvalidToken("it is a subscription token: it has a channel claim")
    _check_expected(claims, options)
    return ConnectionToken(
        user=_user(claims, options.user_claim),
        expire_at_s=_expire_at_s(claims, options),
        info=_payload(claims, "info", "b64info"),
        channels=_channels(claims),
        subs=_subs(claims),
        meta=_meta(claims),
        token_id=_text(claims, "jti"),
        issued_at_s=_whole_seconds(claims, "iat"),
    )


def parse_subscription(claims: Claims, options: VerifierOptions) -> SubscriptionToken:
    """The subscription token that these claims make. Does not look at the time.

    Raises:
        InvalidToken: when a claim is missing, of the wrong type, or not the expected one.
    """
    channel = _text(claims, "channel")
    if not channel:
        raise InvalidToken("the channel claim is missing")
    _check_expected(claims, options)
    return SubscriptionToken(
        user=_user(claims, options.user_claim),
        channel=channel,
        client=_text(claims, "client"),
        expire_at_s=_expire_at_s(claims, options),
        info=_payload(claims, "info", "b64info"),
        data=_payload(claims, "data", "b64data"),
        override=_override(claims),
        token_id=_text(claims, "jti"),
        issued_at_s=_whole_seconds(claims, "iat"),
    )


def parse_validity(claims: Claims, options: VerifierOptions) -> Validity:
    """When the token may be used, leeway included.

    Raises:
        InvalidToken: when ``exp`` or ``nbf`` is not a number, or ``exp`` is missing and required.
    """
    exp_s = _seconds(claims, "exp")
    nbf_s = _seconds(claims, "nbf")
    if exp_s is None and options.require_exp:
        raise InvalidToken("the exp claim is missing")
    if options.ignore_expiry:
        return Validity(None, None)
    return Validity(
        None if nbf_s is None else nbf_s - options.leeway_s,
        None if exp_s is None else exp_s + options.leeway_s,
    )


def check_validity(validity: Validity, now_s: float) -> None:
    """Refuse a token that is too old, or too young, with the code that makes SDKs ask for a new one.

    Raises:
        HubError: ``TOKEN_EXPIRED``.
    """
    if validity.until_s is not None and now_s >= validity.until_s:
        raise HubError(TOKEN_EXPIRED, "the exp claim has passed")
    if validity.not_before_s is not None and now_s < validity.not_before_s:
        raise HubError(TOKEN_EXPIRED, "the nbf claim is in the future")


def _check_expected(claims: Claims, options: VerifierOptions) -> None:
    if options.issuer is not None and _text(claims, "iss") != options.issuer:
        raise InvalidToken("the iss claim is not the expected issuer")
    if options.audience is not None:
        found = claims.get("aud")
        audiences = found if isinstance(found, list) else [found]
        if not any(audience in audiences for audience in options.audience):
            raise InvalidToken("the aud claim has no expected audience")
    if options.required_claim is not None:
        name, value = options.required_claim
        if claims.get(name) != value:
            raise InvalidToken("the required claim is missing or has another value")


def _user(claims: Claims, name: str) -> str:
    """The user id as text, integers (SimpleJWT) in decimal; an absent claim is the anonymous user."""
    value = claims.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidToken("the claim that names the user is neither text nor an integer")


def _expire_at_s(claims: Claims, options: VerifierOptions) -> int | None:
    """Client protocol, 6.1: ``expire_at`` absent is ``exp``, 0 is never.

    The leeway is part of ``exp`` here as well: a token that is accepted has not expired yet.
    """
    expire_at_s = _seconds(claims, "expire_at")
    if expire_at_s == 0 or options.ignore_expiry:
        return None
    if expire_at_s is not None:
        return int(expire_at_s)
    exp_s = _seconds(claims, "exp")
    return None if exp_s is None else math.ceil(exp_s + options.leeway_s)


def _seconds(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # RFC 7519 allows fractions in a NumericDate, and issuers that add to time() write them.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidToken(f"the {name} claim is not a number of seconds")
    if abs(value) > _MAX_SECONDS:
        raise InvalidToken(f"the {name} claim is no time that will ever be")
    return value


def _whole_seconds(claims: Claims, name: str) -> int | None:
    value = _seconds(claims, name)
    return None if value is None else int(value)


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidToken(f"the {name} claim is not text")
    return value


def _object(claims: Claims, name: str) -> Claims | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidToken(f"the {name} claim is not an object")
    return value


def _json_bytes(value: object, name: str) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise InvalidToken(f"the {name} claim is nested too deeply") from None


def _payload(claims: Claims, name: str, base64_name: str) -> bytes | None:
    """An opaque payload: bytes of the base64 claim if it is there, else the claim's JSON text."""
    encoded = _text(claims, base64_name)
    if encoded:
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError:
            raise InvalidToken(f"the {base64_name} claim is not base64") from None
    value = claims.get(name)
    return None if value is None else _json_bytes(value, name)


def _meta(claims: Claims) -> bytes | None:
    meta = _object(claims, "meta")
    return None if meta is None else _json_bytes(meta, "meta")


def _channels(claims: Claims) -> tuple[str, ...]:
    value = claims.get("channels")
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidToken("the channels claim is not a list")
    if not all(isinstance(channel, str) for channel in value):
        raise InvalidToken("the channels claim holds something that is not text")
    return tuple(dict.fromkeys(value))


def _subs(claims: Claims) -> Mapping[str, SubscriptionGrant]:
    subs = _object(claims, "subs")
    if not subs:
        return _NO_SUBS
    return MappingProxyType({channel: _grant(subs, channel) for channel in subs})


def _grant(subs: Claims, channel: str) -> SubscriptionGrant:
    options = subs[channel]
    if options is None:
        return SubscriptionGrant()
    if not isinstance(options, dict):
        raise InvalidToken("the subs claim holds options that are not an object")
    return SubscriptionGrant(
        info=_payload(options, "info", "b64info"),
        data=_payload(options, "data", "b64data"),
        override=_override(options),
    )


def _override(claims: Claims) -> Override | None:
    options = _object(claims, "override")
    if options is None:
        return None
    return Override(**{name: _override_value(options, name) for name in _OVERRIDES})


def _override_value(options: Claims, name: str) -> bool | None:
    wrapped = _object(options, name)
    if wrapped is None:
        return None
    value = wrapped.get("value")
    if not isinstance(value, bool):
        raise InvalidToken(f"the override of {name} is not a boolean value")
    return value
