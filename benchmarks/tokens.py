"""Tokens under public keys that all come at once: what they cost the loop, and how long it stands still.

Everything on the loop against ``node.verify_threads`` of 2. Run it with ``python -m benchmarks.tokens``.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from benchmarks.support import print_table
from hub.auth import (
    KeySet,
    TokenSigner,
    TokenVerifier,
    VerificationKey,
    VerifierOptions,
    issue_connection_token,
    key_from_pem,
)
from hub.auth.checking import SignatureChecks

THREADS = 2
_LIVES_S = 3_600
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Cost:
    """What a crowd of tokens cost; ``stall_s`` is the longest turn of the loop meanwhile."""

    loop_us: float
    wall_s: float
    stall_s: float


def _keys_of(private: _PrivateKey) -> tuple[TokenSigner, VerificationKey]:
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return TokenSigner.from_private_pem(pem), key_from_pem(public.decode())


async def _crowd(tokens: list[str], key: VerificationKey, threads: int) -> Cost:
    checks = SignatureChecks(threads)
    verify = TokenVerifier(VerifierOptions(), KeySet([key]), checks=checks).verify_connection
    crowd = [asyncio.create_task(verify(token)) for token in tokens]
    began_s, cpu_began_s, stall_s = time.perf_counter(), time.thread_time(), 0.0
    turn_began_s = began_s
    while not all(each.done() for each in crowd):
        # Somebody else who wants the loop: how long until it is theirs again?
        await asyncio.sleep(0.001)
        stall_s = max(stall_s, time.perf_counter() - turn_began_s - 0.001)
        turn_began_s = time.perf_counter()
    cost = Cost(
        (time.thread_time() - cpu_began_s) / len(tokens) * 1e6, time.perf_counter() - began_s, stall_s
    )
    checks.close()
    return cost


def main() -> None:
    """Measure each kind of key, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=500, help="tokens that come at once")
    count = parser.parse_args().tokens
    kinds: dict[str, _PrivateKey] = {
        "RS256, 2048 bits": rsa.generate_private_key(65_537, 2_048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    rows = []
    for name, private in kinds.items():
        signer, key = _keys_of(private)
        exp_s = int(time.time()) + _LIVES_S
        tokens = [issue_connection_token(signer, f"u{number}", exp_s=exp_s) for number in range(count)]
        for threads in (0, THREADS):
            cost = uvloop.run(_crowd(tokens, key, threads))
            rows.append(
                [
                    name,
                    f"{threads} threads" if threads else "on the loop",
                    f"{cost.loop_us:.0f}",
                    f"{cost.stall_s * 1e3:.1f}",
                    f"{cost.wall_s * 1e3:.0f}",
                ]
            )
    head = ["key", "checked", "us of the loop each", "longest turn, ms", "until the last, ms"]
    print_table(f"{count} new tokens at once", head, rows, {"tokens": count, "threads": THREADS})


if __name__ == "__main__":
    main()
