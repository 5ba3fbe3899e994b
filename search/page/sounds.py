"""The sounds a page serves: its answers, each at an address nobody can guess, and nothing else of the disk."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .player import Playable, part_as_wav

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# Below Gradio's own prefix: what stands in front of Gradio passes that on as it is.
PREFIX = "gradio_api/sounds"


class AnsweredSounds:
    """
    What was an answer of a page, and where it can be fetched.

    Gradio by itself would copy every answer into its cache, and serve whole folders, whatever else lies in them.
    Here a file is read from where it lies, whichever root it came from, once it was an answer. What is remembered
    is a path an answer: at most as much as the index holds in memory.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._sounds: dict[str, Playable] = {}

    def value(self, sound: Playable) -> dict[str, Any] | None:
        """
        What the page's player takes as its value, past Gradio's cache: from now on it can be fetched. None for a
        sound that cannot be read.
        """
        if sound.path is None:
            return None
        what = f"{sound.begin}\0{sound.path}"
        token = hmac.new(self._key, what.encode(), hashlib.sha256).hexdigest()
        self._sounds[token] = sound
        name = Path(sound.path).name
        if sound.begin is not None:
            part = "" if sound.seconds is None else f" from {sound.begin:.0f} s"
            name = f"{Path(sound.path).stem}{part}.wav"
        # Relative to the page, which may stand below another address than the root.
        address = f"{PREFIX}/{token}/{quote(name, safe='')}"
        # Without a path Gradio's clients have nothing to fetch from its cache.
        return {"path": None, "url": address, "orig_name": name}

    def route(self) -> Any:
        """For the application that serves the page."""
        from starlette.routing import Route

        return Route(f"/{PREFIX}/{{token}}/{{name}}", self._respond)

    def _respond(self, request: "Request") -> "Response":
        from starlette.responses import FileResponse, PlainTextResponse, Response

        sound = self._sounds.get(request.path_params["token"])
        if sound is None or not os.path.isfile(sound.path):
            return PlainTextResponse("There is no such sound.", status_code=404)
        # Whatever its name says, a browser never takes it for a page or a script.
        headers = {"X-Content-Type-Options": "nosniff"}
        if sound.begin is None:
            return FileResponse(sound.path, media_type=sound.media_type, headers=headers)
        try:
            wav = part_as_wav(sound.path, sound.begin, sound.seconds)
            return Response(wav, media_type=sound.media_type, headers=headers)
        except OSError:
            return PlainTextResponse("It cannot be read any more.", status_code=404)


__all__ = ["AnsweredSounds"]
