"""Which names a page that listens on this machine alone answers to."""

import ipaddress
from typing import Any

NAMES = ("127.0.0.1", "localhost")


def host_check(host: str) -> list[Any]:
    """
    Middleware that refuses requests which name another host than this machine: a web site whose name is made to
    point to 127.0.0.1 could otherwise read the page through the browser of whoever visits it.

    Args:
        host: where the page listens. At an address that other machines reach, names are theirs to choose: no check.
    """
    if not is_loopback(host):
        return []
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    allowed = list(dict.fromkeys([*NAMES, bracketed(host.lower())]))
    return [Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False)]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def bracketed(host: str) -> str:
    """The host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


__all__ = ["bracketed", "host_check", "is_loopback"]
