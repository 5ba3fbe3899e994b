"""The sounds a page serves: its answers, each at an address nobody can guess, and nothing else of the disk."""

import hashlib
import hmac
import os
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .player import Playable, part_as_wav, sound_peaks

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# Below Gradio's own prefix: what stands in front of Gradio passes that on as it is.
PREFIX = "gradio_api/sounds"
# A browser asks for a converted sound piece by piece: the latest ones are not converted anew for each.
CONVERTED_BYTES = 96_000_000


@dataclass(frozen=True)
class SoundAddress:
    """
    Where a page finds a sound, relative to itself: it may stand below another address than the root.

    Attributes:
        url: of the sound.
        peaks: of its picture, JSON; see [`player.sound_peaks`].
        name: under which a browser saves it.
    """

    url: str
    peaks: str
    name: str


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
        self._lock = Lock()
        self._converted: OrderedDict[tuple, bytes] = OrderedDict()

    def address(self, sound: Playable) -> SoundAddress | None:
        """Where a sound can be fetched from now on; None for one that cannot be read."""
        if sound.path is None:
            return None
        what = f"{sound.begin}\0{sound.path}"
        token = hmac.new(self._key, what.encode(), hashlib.sha256).hexdigest()
        self._sounds[token] = sound
        name = Path(sound.path).name
        if sound.begin is not None:
            part = "" if sound.seconds is None else f" from {sound.begin:.0f} s"
            name = f"{Path(sound.path).stem}{part}.wav"
        below = f"{PREFIX}/{token}"
        return SoundAddress(f"{below}/{quote(name, safe='')}", f"{below}.json", name)

    def routes(self) -> list[Any]:
        """For the application that serves the page."""
        from starlette.routing import Route

        return [
            Route(f"/{PREFIX}/{{token}}/{{name}}", self._respond),
            Route(f"/{PREFIX}/{{token}}.json", self._respond_peaks),
        ]

    def _asked_for(self, request: "Request") -> Playable | None:
        sound = self._sounds.get(request.path_params["token"])
        return sound if sound is not None and os.path.isfile(sound.path) else None

    def _respond(self, request: "Request") -> "Response":
        from starlette.responses import FileResponse, PlainTextResponse

        sound = self._asked_for(request)
        if sound is None:
            return PlainTextResponse("There is no such sound.", status_code=404)
        # Whatever its name says, a browser never takes it for a page or a script.
        headers = {"X-Content-Type-Options": "nosniff"}
        if sound.begin is None:
            return FileResponse(sound.path, media_type=sound.media_type, headers=headers)
        try:
            return _part_of(self._convert(sound), request.headers.get("range"), sound.media_type, headers)
        except OSError:
            return PlainTextResponse("It cannot be read any more.", status_code=404)

    def _respond_peaks(self, request: "Request") -> "Response":
        from starlette.responses import JSONResponse, PlainTextResponse

        sound = self._asked_for(request)
        try:
            if sound is not None:
                return JSONResponse(sound_peaks(sound.path, sound.begin or 0.0, sound.seconds))
        except OSError:
            pass
        return PlainTextResponse("There is no such sound.", status_code=404)

    def _convert(self, sound: Playable) -> bytes:
        """
        A sound as a WAV file, converted once while the file stays as it is.

        Raises:
            OSError: if it cannot be read.
        """
        status = os.stat(sound.path)
        what = (sound.path, sound.begin, sound.seconds, status.st_size, status.st_mtime_ns)
        with self._lock:
            if what in self._converted:
                self._converted.move_to_end(what)
                return self._converted[what]
        wav = part_as_wav(sound.path, sound.begin, sound.seconds)
        with self._lock:
            self._converted[what] = wav
            while len(self._converted) > 1 and sum(map(len, self._converted.values())) > CONVERTED_BYTES:
                self._converted.popitem(last=False)
        return wav


def _part_of(content: bytes, wanted: str | None, media_type: str, headers: dict[str, str]) -> "Response":
    """
    A response with all of the content, or with the one range of bytes that is wanted (RFC 9110, section 14).

    Args:
        content: all of it.
        wanted: the header ``Range``, or None; one that names several ranges, or none that is understood, is ignored.
    """
    from starlette.responses import Response

    headers = {**headers, "Accept-Ranges": "bytes"}
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", (wanted or "").strip())
    if found is None or not any(found.groups()):
        return Response(content, media_type=media_type, headers=headers)
    first, last = (int(number) if number else None for number in found.groups())
    if first is None:
        first, last = max(0, len(content) - last), len(content) - 1
    last = len(content) - 1 if last is None else min(last, len(content) - 1)
    if first > last:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], status_code=206, media_type=media_type, headers=headers)


__all__ = ["AnsweredSounds", "SoundAddress"]
