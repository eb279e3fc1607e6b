"""Who may see the page: a token where other machines can reach it, and no host name but this machine's where not."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from streamfilter.errors import ConfigError
from streamfilter.web import is_loopback

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

LEAST_TOKEN = 12
WRONG = "wrong token"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def new_token() -> str:
    """A token nobody can guess: 192 random bits."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Verdict:
    """What becomes of a request."""

    status: str
    """`200 OK` when it may be answered."""
    told: str = ""
    """Why it is not answered, one line."""
    cookie: str | None = None
    """Header that lets the browser in from now on: the token was in the address, and should not stay there."""

    @property
    def is_allowed(self) -> bool:
        """Whether it may be answered."""
        return self.status == "200 OK"


class Access:
    """Decides on requests by their method, their `Host` and their token.

    Args:
        host: where the page is served.
        port: and at which port.
        token: asked for when not None.

    Raises:
        ConfigError: other machines can reach the page and there is no token, or the token is too weak.
    """

    def __init__(self, host: str, port: int, token: str | None) -> None:
        self._host, self._is_local = host, is_loopback(host)
        if token is None and not self._is_local:
            raise ConfigError(f"the monitor at {host} can be reached from other machines: it needs a token")
        if token is not None and (len(token) < LEAST_TOKEN or not (token.isascii() and token.isprintable())):
            raise ConfigError(f"the monitor's token: expected at least {LEAST_TOKEN} ASCII characters")
        self._token = token
        # Cookies are shared by all ports of a host: two monitors must not log each other out.
        self._cookie = f"streamfilter-monitor-{port}"
        self._pass = "" if token is None else hmac.new(token.encode(), b"monitor cookie", hashlib.sha256).hexdigest()

    def judge(self, environ: WSGIEnvironment) -> Verdict:
        """What becomes of a request."""
        if environ["REQUEST_METHOD"] != "GET":
            return Verdict("405 Method Not Allowed", "only GET")
        if self._is_local and not self._names_this_machine(environ.get("HTTP_HOST", "")):
            # A foreign page may have its own name resolve to this machine (DNS rebinding) and read what it gets.
            return Verdict("403 Forbidden", "this page is reached as localhost or 127.0.0.1 only")
        if _is_of_another_page(environ):
            return Verdict("403 Forbidden", "not for pages of others")
        if self._token is None:
            return Verdict("200 OK")
        return self._judge_token(environ)

    def _judge_token(self, environ: WSGIEnvironment) -> Verdict:
        scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return Verdict("200 OK")
        if _same(_cookie(environ, self._cookie), self._pass):
            return Verdict("200 OK")
        asked = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0]
        if self._is_token(asked):
            return Verdict("303 See Other", cookie=f"{self._cookie}={self._pass}; Path=/; HttpOnly; SameSite=Strict")
        return Verdict("401 Unauthorized", WRONG if asked or given else "a token is needed")

    def _is_token(self, given: str) -> bool:
        return self._token is not None and _same(given, self._token)

    def _names_this_machine(self, host: str) -> bool:
        named = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]+))(?::\d+)?", host.lower())
        return named is not None and (named[1] or named[2]) in {*LOCAL_NAMES, self._host.lower()}


def _same(given: str, wanted: str) -> bool:
    """Whether two texts are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _is_of_another_page(environ: WSGIEnvironment) -> bool:
    """Whether a browser asks for what a page of somebody else refers to: it could take a reader's place, unread."""
    is_link = environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
    return not is_link and environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")


def _cookie(environ: WSGIEnvironment, name: str) -> str:
    """The value of one cookie, whatever the others of this host look like; empty where it is missing."""
    pairs = (pair.partition("=") for pair in environ.get("HTTP_COOKIE", "").split(";"))
    return next((value.strip() for key, _, value in pairs if key.strip() == name), "")
