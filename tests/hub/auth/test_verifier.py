"""The verifier: signature, claims, time, memory and keys that change, together."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.auth import (
    InvalidToken,
    KeySet,
    TokenSigner,
    TokenVerifier,
    VerifierOptions,
    issue_connection_token,
    issue_subscription_token,
    key_from_secret,
)
from hub.auth.jwks import JWKSSource
from hub.auth.jws import MAX_TOKEN_BYTES
from hub.errors import INTERNAL, TOKEN_EXPIRED, HubError
from tests.support.jwks_server import JWKSServer
from tests.support.signing import SECRET, ec_pair, ed_pair, jwk_set, rsa_pair

NOW_S = 1_700_000_000
SIGNER = TokenSigner.from_secret(SECRET)
SECRET_KEYS = KeySet([key_from_secret(SECRET)])


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = float(NOW_S)

    def __call__(self) -> float:
        return self.now_s


def verifier(keys: KeySet = SECRET_KEYS, clock: Clock | None = None, **options: Any) -> TokenVerifier:
    return TokenVerifier(VerifierOptions(**options), keys, now_s=clock or Clock())


def token(user: str = "42", exp_s: int | None = NOW_S + 3600, **claims: Any) -> str:
    return issue_connection_token(SIGNER, user, exp_s=exp_s, extra_claims=claims)


async def test_a_connection_token_is_verified() -> None:
    """The ordinary case."""
    verified = await verifier().verify_connection(token(info={"name": "Ann"}))
    assert (verified.user, verified.expire_at_s) == ("42", NOW_S + 3600)
    assert verified.info == b'{"name":"Ann"}'


async def test_a_subscription_token_is_verified() -> None:
    """The ordinary case."""
    text = issue_subscription_token(SIGNER, "42", "news", exp_s=NOW_S + 60, client="c")
    verified = await verifier().verify_subscription(text)
    assert (verified.user, verified.channel, verified.client) == ("42", "news", "c")
    assert verified.expire_at_s == NOW_S + 60


async def test_each_kind_is_invalid_as_the_other() -> None:
    """A channel claim makes the difference, in both directions."""
    with pytest.raises(InvalidToken, match="subscription token"):
        await verifier().verify_connection(issue_subscription_token(SIGNER, "42", "news", exp_s=NOW_S + 60))
    with pytest.raises(InvalidToken, match="channel claim is missing"):
        await verifier().verify_subscription(token())


async def test_an_expired_token_asks_for_a_new_one() -> None:
    """109 and not invalid, for exp and nbf, for both kinds."""
    early = token(nbf=NOW_S + 60)
    late = token(exp_s=NOW_S)
    for text in (early, late):
        with pytest.raises(HubError) as caught:
            await verifier().verify_connection(text)
        assert caught.value.error is TOKEN_EXPIRED
    with pytest.raises(HubError) as caught:
        await verifier().verify_subscription(issue_subscription_token(SIGNER, "42", "news", exp_s=NOW_S - 1))
    assert caught.value.error is TOKEN_EXPIRED


async def test_a_token_that_is_wrong_and_expired_is_wrong() -> None:
    """A client must not fetch new tokens for ever because its audience is wrong."""
    with pytest.raises(InvalidToken):
        await verifier(audience=("hub",)).verify_connection(token(exp_s=NOW_S - 1, aud="x"))
    with pytest.raises(InvalidToken):
        other = TokenSigner.from_secret("another-secret-that-is-long-enough-too")
        await verifier().verify_connection(issue_connection_token(other, "42", exp_s=NOW_S - 1))


async def test_insecure_mode_ignores_time_and_nothing_else() -> None:
    """A bad signature is still refused, an old token is not, and the connection never expires."""
    lax = verifier(ignore_expiry=True)
    assert (await lax.verify_connection(token(exp_s=5))).expire_at_s is None
    with pytest.raises(InvalidToken):
        await lax.verify_connection(token(exp_s=5) + "A")


async def test_a_simplejwt_access_token() -> None:
    """Django REST's tokens: the user is an integer in ``user_id``; a refresh token opens nothing."""
    claims = {"user_id": 7, "jti": "0af1", "iat": NOW_S - 5}
    django = verifier(user_claim="user_id", required_claim=("token_type", "access"))
    verified = await django.verify_connection(token(user="", token_type="access", **claims))
    assert (verified.user, verified.token_id, verified.issued_at_s) == ("7", "0af1", NOW_S - 5)
    with pytest.raises(InvalidToken, match="required claim"):
        await django.verify_connection(token(user="", token_type="refresh", **claims))


async def test_the_public_key_as_hmac_secret_is_refused() -> None:
    """Key confusion through the whole verifier, where a real secret is configured as well."""
    keys = KeySet([rsa_pair().key("rsa"), key_from_secret(SECRET)])
    for kid in ("rsa", ""):
        header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
        signed = ".".join(
            base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode()
            for part in (header, {"sub": "42", "exp": NOW_S + 60})
        )
        mac = hmac.new(rsa_pair().public_pem.encode(), signed.encode(), hashlib.sha256).digest()
        with pytest.raises(InvalidToken):
            await verifier(keys).verify_connection(
                f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
            )


async def test_several_keys_at_once_for_rotation() -> None:
    """Old and new key both work, each under its own kid; without kid the nameless are tried in turn."""
    keys = KeySet([rsa_pair(1).key("old"), rsa_pair(2).key("new"), ed_pair(1).key(), ed_pair(2).key()])
    for signer in (
        rsa_pair(1).signer(kid="old"),
        rsa_pair(2).signer(kid="new"),
        ed_pair(1).signer(),
        ed_pair(2).signer(),
        ed_pair(2).signer(kid="unheard-of"),
    ):
        text = issue_connection_token(signer, "42", exp_s=NOW_S + 60)
        assert (await verifier(keys).verify_connection(text)).user == "42"
    for signer in (rsa_pair(1).signer(kid="new"), rsa_pair(2).signer(kid="old"), rsa_pair(1).signer()):
        with pytest.raises(InvalidToken, match="no key"):
            await verifier(keys).verify_connection(issue_connection_token(signer, "42", exp_s=NOW_S + 60))


async def test_without_keys_every_token_is_invalid() -> None:
    """A hub without keys trusts nobody."""
    with pytest.raises(InvalidToken, match="no key"):
        await verifier(KeySet()).verify_connection(token())


async def test_a_long_token_is_refused_unread() -> None:
    """By both ways in, and nothing is computed for it."""
    checking = verifier()
    long = token(info="x" * MAX_TOKEN_BYTES)
    with pytest.raises(InvalidToken, match="longer than"):
        await checking.verify_connection(long)
    assert checking.cached_connection(long) is None
    assert checking.signature_check_count == 0


async def test_white_space_is_not_trimmed() -> None:
    """A token is what its issuer made, to the letter."""
    for text in (" " + token(), token() + "\n"):
        with pytest.raises(InvalidToken):
            await verifier().verify_connection(text)


async def test_a_refusal_never_quotes_the_token() -> None:
    """Neither the token nor a claim's value is in the reason."""
    with pytest.raises(InvalidToken) as caught:
        await verifier().verify_connection(token(jti=["s3cr3t"]))
    assert "s3cr3t" not in repr(caught.value)
    assert token() not in repr(caught.value)


# --- memory -------------------------------------------------------------------------------


async def test_a_token_seen_before_costs_no_signature() -> None:
    """The phone that comes back brings the same token."""
    checking = verifier()
    text = token()
    assert checking.cached_connection(text) is None
    first = await checking.verify_connection(text)
    assert await checking.verify_connection(text) is first
    assert checking.cached_connection(text) is first
    assert checking.signature_check_count == 1


async def test_subscription_tokens_are_remembered_apart() -> None:
    """A remembered token of one kind never answers for the other."""
    checking = verifier()
    text = issue_subscription_token(SIGNER, "42", "news", exp_s=NOW_S + 60)
    first = await checking.verify_subscription(text)
    assert await checking.verify_subscription(text) is first
    assert checking.signature_check_count == 1
    assert checking.cached_connection(text) is None
    with pytest.raises(InvalidToken):
        await checking.verify_connection(text)


async def test_a_remembered_token_expires_all_the_same() -> None:
    """Once exp has passed the memory answers nothing, and the answer is 109."""
    clock = Clock()
    checking = verifier(clock=clock)
    text = token(exp_s=NOW_S + 10)
    await checking.verify_connection(text)
    clock.now_s = NOW_S + 10
    assert checking.cached_connection(text) is None
    with pytest.raises(HubError) as caught:
        await checking.verify_connection(text)
    assert caught.value.error is TOKEN_EXPIRED


async def test_leeway_holds_for_remembered_tokens_too() -> None:
    """What a fresh verification would accept, the memory answers."""
    clock = Clock()
    checking = verifier(clock=clock, leeway_s=5)
    text = token(exp_s=NOW_S + 10)
    await checking.verify_connection(text)
    clock.now_s = NOW_S + 14
    assert checking.cached_connection(text) is not None
    clock.now_s = NOW_S + 15
    assert checking.cached_connection(text) is None


async def test_no_token_is_remembered_beyond_ten_minutes() -> None:
    """Not even one without expiry."""
    clock = Clock()
    checking = verifier(clock=clock, require_exp=False)
    text = token(exp_s=None)
    await checking.verify_connection(text)
    clock.now_s = NOW_S + 599
    await checking.verify_connection(text)
    assert checking.signature_check_count == 1
    clock.now_s = NOW_S + 600
    await checking.verify_connection(text)
    assert checking.signature_check_count == 2


async def test_a_refused_token_is_not_remembered() -> None:
    """Too early today may be right in a minute."""
    clock = Clock()
    checking = verifier(clock=clock)
    text = token(nbf=NOW_S + 60)
    with pytest.raises(HubError):
        await checking.verify_connection(text)
    clock.now_s = NOW_S + 60
    assert (await checking.verify_connection(text)).user == "42"


async def test_replaced_keys_forget_what_they_signed() -> None:
    """A withdrawn key opens nothing from that moment on."""
    checking = verifier()
    text = token()
    subscription = issue_subscription_token(SIGNER, "42", "news", exp_s=NOW_S + 60)
    await checking.verify_connection(text)
    await checking.verify_subscription(subscription)
    checking.replace_keys(KeySet([rsa_pair().key()]))
    assert checking.cached_connection(text) is None
    with pytest.raises(InvalidToken):
        await checking.verify_connection(text)
    with pytest.raises(InvalidToken):
        await checking.verify_subscription(subscription)


# --- keys from a source ---------------------------------------------------------------------


class Source:
    """A key source by hand: ``upcoming`` is what the next refetch brings, None when it fails."""

    def __init__(self, keys: KeySet | None = None) -> None:
        self.keys = keys
        self.generation = 0
        self.upcoming: KeySet | None = keys
        self.refetch_count = 0

    def change(self, keys: KeySet | None) -> None:
        self.keys = keys
        self.generation += 1

    async def refetch(self) -> bool:
        self.refetch_count += 1
        if self.upcoming is not None and self.upcoming is not self.keys:
            self.change(self.upcoming)
        return self.upcoming is not None


def with_source(source: Source, keys: KeySet = SECRET_KEYS) -> TokenVerifier:
    return TokenVerifier(VerifierOptions(), keys, source, now_s=Clock())


def rsa_token(number: int, kid: str, user: str = "42") -> str:
    return issue_connection_token(rsa_pair(number).signer(kid=kid), user, exp_s=NOW_S + 60)


async def test_configured_and_fetched_keys_work_side_by_side() -> None:
    """A secret for the command line and a JWKS for the phones, say."""
    source = Source(KeySet([rsa_pair(1).key("first")]))
    checking = with_source(source)
    assert (await checking.verify_connection(token())).user == "42"
    assert (await checking.verify_connection(rsa_token(1, "first"))).user == "42"
    assert source.refetch_count == 0


async def test_an_unknown_kid_brings_the_new_keys() -> None:
    """The first token of a new key works at once."""
    source = Source(KeySet([rsa_pair(1).key("first")]))
    checking = with_source(source)
    source.upcoming = KeySet([rsa_pair(1).key("first"), rsa_pair(2).key("second")])
    assert (await checking.verify_connection(rsa_token(2, "second"))).user == "42"
    assert source.refetch_count == 1


async def test_a_kid_unknown_to_fresh_keys_is_invalid() -> None:
    """The issuer was asked and does not know it."""
    checking = with_source(Source(KeySet([rsa_pair(1).key("first")])))
    with pytest.raises(InvalidToken, match="no key"):
        await checking.verify_connection(rsa_token(2, "second"))


async def test_a_kid_that_cannot_be_looked_up_now_is_temporary() -> None:
    """During an outage a phone with a new key is told to try again, not to go away for good."""
    source = Source(KeySet([rsa_pair(1).key("first")]))
    source.upcoming = None
    with pytest.raises(HubError) as caught:
        await with_source(source).verify_connection(rsa_token(2, "second"))
    assert caught.value.error is INTERNAL
    assert caught.value.error.temporary


async def test_keys_never_loaded_are_temporary_for_their_tokens_only() -> None:
    """Public key tokens wait for the keys; those of the secret do not care."""
    source = Source(None)
    checking = with_source(source)
    for kid in ("first", ""):
        with pytest.raises(HubError) as caught:
            await checking.verify_connection(rsa_token(1, kid))
        assert caught.value.error is INTERNAL
    assert (await checking.verify_connection(token())).user == "42"
    with pytest.raises(InvalidToken):
        await checking.verify_connection(token() + "A")
    assert source.refetch_count == 2


@pytest.mark.parametrize(
    "signer",
    [
        TokenSigner.from_secret(SECRET + "x", kid="unknown"),
        rsa_pair(2).signer(kid="first"),
        rsa_pair(2).signer(),
        ec_pair().signer(kid="first"),
    ],
    ids=["hmac", "known-kid", "no-kid", "known-kid-other-algorithm"],
)
async def test_a_source_is_not_asked_for_what_it_cannot_know(signer: TokenSigner) -> None:
    """Bad signatures and foreign secrets cost the issuer no request and the phone no wait."""
    source = Source(KeySet([rsa_pair(1).key("first")]))
    with pytest.raises(InvalidToken):
        await with_source(source).verify_connection(issue_connection_token(signer, "42", exp_s=NOW_S + 60))
    assert source.refetch_count == 0


async def test_new_keys_forget_what_was_remembered() -> None:
    """Also where nobody verified in between: the short way notices by itself."""
    source = Source(KeySet([rsa_pair(1).key("first")]))
    checking = with_source(source)
    text = rsa_token(1, "first")
    await checking.verify_connection(text)
    assert checking.cached_connection(text) is not None
    source.change(KeySet([rsa_pair(2).key("first")]))
    assert checking.cached_connection(text) is None
    with pytest.raises(InvalidToken):
        await checking.verify_connection(text)


async def test_a_rotation_over_http() -> None:
    """The real source: new key accepted by asking, withdrawn key refused, outage survived."""
    async with JWKSServer(jwk_set(rsa_pair(1).jwk("first"))) as server:
        source = JWKSSource(server.url, refresh_interval_s=3600, min_refetch_interval_s=0.001)
        checking = TokenVerifier(VerifierOptions(), KeySet(), source, now_s=Clock())
        source.start()
        try:
            # The first token waits for the first fetch.
            assert (await checking.verify_connection(rsa_token(1, "first"))).user == "42"
            server.status = 503
            with pytest.raises(HubError):
                await checking.verify_connection(rsa_token(2, "second"))
            assert (await checking.verify_connection(rsa_token(1, "first", "43"))).user == "43"
            server.status, server.document = 200, jwk_set(rsa_pair(2).jwk("second"))
            assert await source.refetch()
            assert (await checking.verify_connection(rsa_token(2, "second"))).user == "42"
            with pytest.raises(InvalidToken):
                await checking.verify_connection(rsa_token(1, "first"))
        finally:
            await source.stop()


# --- anything at all -------------------------------------------------------------------------

_text = st.text(max_size=8)
_scalar = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _text
_json = _scalar | st.lists(_scalar, max_size=3) | st.dictionaries(_text, _scalar, max_size=3)
_names = st.sampled_from(
    "sub exp nbf iat jti expire_at info b64info data b64data channels subs meta channel client "
    "override iss aud token_type".split()
)
_grants = st.dictionaries(_text, st.dictionaries(st.sampled_from(["info", "b64data", "override"]), _json))
_claims = st.dictionaries(_names, _json | _grants, max_size=6)


@settings(max_examples=200)
@given(_claims, st.booleans())
async def test_no_claims_raise_anything_undocumented(claims: dict[str, Any], strict: bool) -> None:
    """Whatever is signed, the answer is a token or one of the named refusals."""
    options: dict[str, Any] = {"issuer": "i", "audience": ("a",)} if strict else {"require_exp": False}
    checking = verifier(**options)
    text = SIGNER.sign(claims)
    for verify in (checking.verify_connection, checking.verify_subscription):
        try:
            assert (await verify(text)).user is not None
        except InvalidToken as error:
            assert error.reason
        except HubError as error:
            assert error.error is TOKEN_EXPIRED


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,30}\.[A-Za-z0-9_-]{0,30}\.x?", fullmatch=True))
async def test_no_text_raises_anything_undocumented(text: str) -> None:
    """Whatever comes as a token, it is an invalid one."""
    checking = verifier()
    assert checking.cached_connection(text) is None
    with pytest.raises(InvalidToken):
        await checking.verify_connection(text)
    with pytest.raises(InvalidToken):
        await checking.verify_subscription(text)
