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
MEDIA_TYPES = {
    ".aac": "audio/aac",
    ".aif": "audio/aiff",
    ".aifc": "audio/aiff",
    ".aiff": "audio/aiff",
    ".au": "audio/basic",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mka": "audio/x-matroska",
    ".mp3": "audio/mpeg",
    ".mp4": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".snd": "audio/basic",
    ".wav": "audio/wav",
    ".wave": "audio/wav",
    ".wavex": "audio/wav",
    ".webm": "audio/webm",
}


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
            name = f"{Path(sound.path).stem} from {sound.begin:.0f} s.wav"
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
            kind = MEDIA_TYPES.get(Path(sound.path).suffix.lower(), "application/octet-stream")
            return FileResponse(sound.path, media_type=kind, headers=headers)
        try:
            return Response(part_as_wav(sound.path, sound.begin), media_type="audio/wav", headers=headers)
        except OSError:
            return PlainTextResponse("It cannot be read any more.", status_code=404)


__all__ = ["AnsweredSounds"]
