"""How an RTSP client shows that it knows a password."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence


def strongest(challenges: Sequence[str]) -> str:
    """The challenge to answer.

    Raises:
        OSError: there is none that we know.
    """
    best = max(challenges, key=_strength, default="")
    if not _strength(best):
        raise OSError("it asks for a password in a way that is not known here")
    return best


def _strength(challenge: str) -> int:
    kind = challenge.partition(" ")[0].lower()
    return {"basic": 1, "digest": 3 if "sha-256" in challenge.lower() else 2}.get(kind, 0)


def proof(challenge: str, user: str, password: str, method: str, uri: str, count: int) -> str:
    """The answer to a challenge (RFC 7616, RFC 7617)."""
    if challenge.lower().startswith("basic"):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    asked = {name.lower(): quoted or plain for name, quoted, plain in
             re.findall(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))', challenge)}  # fmt: skip
    algorithm = asked.get("algorithm", "MD5")
    digest = hashlib.sha256 if algorithm.upper() == "SHA-256" else hashlib.md5

    def hashed(*parts: str) -> str:
        return digest(":".join(parts).encode()).hexdigest()

    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
    secret, request = hashed(user, realm, password), hashed(method, uri)
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
    more = f", algorithm={algorithm}" if "algorithm" in asked else ""
    if "auth" in asked.get("qop", "").split(","):
        number, own = f"{count:08x}", secrets.token_hex(8)
        fields |= {"response": hashed(secret, nonce, number, own, "auth", request), "cnonce": own}
        more += f", qop=auth, nc={number}"
    else:
        fields["response"] = hashed(secret, nonce, request)
    if "opaque" in asked:
        fields["opaque"] = asked["opaque"]
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items()) + more
