"""Asking a page over HTTP, as its own client and as a browser do."""

import html
import os
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


def filters(folder="", glob="", shortest=0, longest=0, least=-1, license="", metadata="") -> tuple:
    """What stands in the page's filters."""
    return folder, glob, shortest, longest, least, license, metadata


def answered(url: str, sentence: str, negative: str = "", names: bool = False, **conditions) -> Any:
    """What the page shows for a sentence."""
    import gradio_client

    client = gradio_client.Client(url, verbose=False)
    return client.predict(sentence, negative, names, *filters(**conditions), api_name="/search")


def asked(url: str, sentence: str, negative: str = "", names: bool = False, **conditions) -> str:
    """The same as text."""
    return str(answered(url, sentence, negative, names, **conditions))


def addresses(url: str, sentence: str, **conditions) -> list[str]:
    """Of the sounds in the players, the best answer's first."""

    found = re.findall(r'<audio [^>]*src="([^"#]*)#t=', asked(url, sentence, **conditions))
    return [urljoin(url, html.unescape(address)) for address in found]


def fetched(url: str, data: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of an address; headers are named with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, data=data, headers=named), timeout=60)
    except urllib.error.HTTPError as error:
        reply = error
    with reply:
        return reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.read()
