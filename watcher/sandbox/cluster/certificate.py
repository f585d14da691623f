"""A self-signed certificate, as a kubelet makes one where it is given none; `kubelet.py` serves under it.

Written out by hand because nothing in the standard library or on every machine makes one, and API servers ask kubelets
by HTTPS alone. Only for the sandbox: how long this arithmetic takes depends on the key, so nothing may rely on it being
secret, and an API server doesn't check whose certificate it is.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import secrets
import ssl
import tempfile
from pathlib import Path

# NIST P-256: y^2 = x^3 - 3x + b modulo _PRIME, with a base point of the order _ORDER (FIPS 186-4, D.1.2.3)
_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_PUBLIC_KEY_ON_P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
_COMMON_NAME = bytes.fromhex("0603550403")
_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _UTF8, _UTC = 0x30, 0x31, 0x02, 0x03, 0x04, 0x0C, 0x17
_VALID = b"200101000000Z", b"491231235959Z"

Point = tuple[int, int] | None
"""A point of the curve, None for the one at infinity."""


@functools.cache
def server_side() -> ssl.SSLContext:
    """What a server needs to answer by TLS, under a certificate that is this process's own. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="canary-watch-kubelet-") as folder:
        file = Path(folder) / "kubelet.pem"  # the folder is nobody else's to look into
        file.write_text(self_signed("canary-watch sandbox"))
        context.load_cert_chain(file)
    return context


def self_signed(name: str) -> str:
    """A fresh private key and a certificate for it that names `name`, as PEM."""
    scalar = secrets.randbelow(_ORDER - 1) + 1
    public = b"\0\4" + b"".join(part.to_bytes(32, "big") for part in _times(scalar, _BASE) or ())
    who = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _COMMON_NAME, _der(_UTF8, name.encode()))))
    valid = _der(_SEQUENCE, *(_der(_UTC, moment) for moment in _VALID))
    subject_key = _der(_SEQUENCE, _PUBLIC_KEY_ON_P256, _der(_BITS, public))
    serial = _integer(secrets.randbits(64))
    to_be_signed = _der(_SEQUENCE, serial, _ECDSA_WITH_SHA256, who, valid, who, subject_key)
    signature = _der(_SEQUENCE, *map(_integer, _sign(scalar, to_be_signed)))
    certificate = _der(_SEQUENCE, to_be_signed, _ECDSA_WITH_SHA256, _der(_BITS, b"\0" + signature))
    key = _der(_SEQUENCE, _integer(1), _der(_OCTETS, scalar.to_bytes(32, "big")), _der(0xA0, _PUBLIC_KEY_ON_P256[11:]))
    return _pem("EC PRIVATE KEY", key) + _pem("CERTIFICATE", certificate)


def _sign(scalar: int, message: bytes) -> tuple[int, int]:
    """ECDSA with SHA-256 (FIPS 186-4, 6.4)."""
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        once = secrets.randbelow(_ORDER - 1) + 1
        point = _times(once, _BASE)
        first = point[0] % _ORDER if point else 0
        second = pow(once, -1, _ORDER) * (digest + first * scalar) % _ORDER
        if first and second:
            return first, second


def _times(scalar: int, point: Point) -> Point:
    result: Point = None
    for bit in f"{scalar:b}":
        result = _plus(result, result)
        if bit == "1":
            result = _plus(result, point)
    return result


def _plus(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    if one[0] == other[0]:
        if (one[1] + other[1]) % _PRIME == 0:
            return None
        slope = (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, _PRIME)
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _PRIME)
    x = (slope**2 - one[0] - other[0]) % _PRIME
    return x, (slope * (one[0] - x) - one[1]) % _PRIME


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, *parts: bytes) -> bytes:
    """One value in the distinguished encoding of ASN.1 (X.690)."""
    content = b"".join(parts)
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    length = size or b"\0"
    return bytes([tag]) + (length if len(content) < 128 else bytes([0x80 + len(size)]) + size) + content


def _pem(label: str, content: bytes) -> str:
    encoded = base64.b64encode(content).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
