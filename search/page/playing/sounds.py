"""Serves the sounds of a page's results, each at a secret address, and no other files."""

import hashlib
import hmac
import os
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from .moment_wav import moment_as_wav, moment_name
from .player import Playable, part_as_wav, sound_peaks
from .spectrogram import spectrogram

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# Below Gradio's own prefix, which a proxy in front of Gradio forwards unchanged.
PREFIX = "gradio_api/sounds"
# A browser asks for a converted sound piece by piece: the latest ones are not converted again for each.
CONVERTED_BYTES = 96_000_000
# A browser never interprets a sound as a page or a script.
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


class Moment(NamedTuple):
    """A part of a file, in seconds."""

    path: str
    start: float
    end: float


@dataclass(frozen=True)
class SoundAddress:
    """
    The address of a sound, relative to the page, which may not be at the server's root.

    Attributes:
        url: address of the sound.
        peaks: address of its waveform's peaks, JSON; see [`player.sound_peaks`].
        spectrogram: address of its spectrogram, PNG; see [`spectrogram.spectrogram`].
        name: under which a browser saves it.
    """

    url: str
    peaks: str
    spectrogram: str
    name: str


@dataclass(frozen=True)
class FileAddress:
    """
    Where a page finds a result's file and its moment, relative to itself.

    Attributes:
        file, moment: of the file as it is on the disk, and of the moment as a WAV file.
        file_name, moment_name: under which a browser saves them.
        reveal: takes the request to show the file in its folder.
    """

    file: str
    moment: str
    file_name: str
    moment_name: str
    reveal: str


class AnsweredSounds:
    """
    The recordings that were results of a page, and their addresses.

    By default Gradio copies every file into its cache and serves whole folders.
    Here a file is read from where it is, whichever root it came from, once it was a result. What is remembered
    is one path per result: at most as much memory as the index needs.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._sounds: dict[str, Playable] = {}
        self._moments: dict[str, Moment] = {}
        self._lock = Lock()
        self._converted: OrderedDict[tuple, bytes] = OrderedDict()

    def address(self, sound: Playable) -> SoundAddress | None:
        """Makes a sound available and returns its address; None for an unreadable sound."""
        if sound.path is None:
            return None
        token = self._token(f"{sound.begin}\0{sound.path}")
        self._sounds[token] = sound
        name = Path(sound.path).name
        if sound.begin is not None:
            part = "" if sound.seconds is None else f" from {sound.begin:.0f} s"
            name = f"{Path(sound.path).stem}{part}.wav"
        below = f"{PREFIX}/{token}"
        return SoundAddress(f"{below}/{quote(name, safe='')}", f"{below}.json", f"{below}.png", name)

    def files(self, path: str, start: float, end: float) -> FileAddress:
        """
        Where a result's file and its moment can be fetched from now on.

        Args:
            path: path of the file, which was a result.
            start, end: of the moment, seconds.
        """
        token = self._token(f"moment\0{start}\0{end}\0{path}")
        self._moments[token] = Moment(path, start, end)
        names = Path(path).name, moment_name(path, start, end)
        file, moment = (quote(name, safe="") for name in names)
        below = f"{PREFIX}/{token}"
        return FileAddress(f"{below}/file/{file}", f"{below}/moment/{moment}", *names, f"{below}/reveal")

    def moment(self, token: str) -> "Moment | None":
        """The moment at an address; None if the address is unknown or the file is missing."""
        found = self._moments.get(token)
        return found if found is not None and os.path.isfile(found.path) else None

    def _token(self, what: str) -> str:
        return hmac.new(self._key, what.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def routes(self) -> list[Any]:
        """For the application that serves the page."""
        from starlette.routing import Route

        return [
            Route(f"/{PREFIX}/{{token}}/{{name}}", self._respond),
            Route(f"/{PREFIX}/{{token}}.json", self._respond_peaks),
            Route(f"/{PREFIX}/{{token}}.png", self._respond_spectrogram),
            Route(f"/{PREFIX}/{{token}}/file/{{name}}", self._respond_file),
            Route(f"/{PREFIX}/{{token}}/moment/{{name}}", self._respond_moment),
        ]

    def _asked_for(self, request: "Request") -> Playable | None:
        sound = self._sounds.get(request.path_params["token"])
        return sound if sound is not None and os.path.isfile(sound.path) else None

    def _respond(self, request: "Request") -> "Response":
        from starlette.responses import FileResponse, PlainTextResponse

        sound = self._asked_for(request)
        if sound is None:
            return PlainTextResponse("Recording not found.", status_code=404)
        headers = NO_SNIFFING
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
        return PlainTextResponse("Recording not found.", status_code=404)

    def _respond_spectrogram(self, request: "Request") -> "Response":
        from starlette.responses import PlainTextResponse, Response

        sound = self._asked_for(request)
        try:
            if sound is not None:
                found = spectrogram(sound.path, sound.begin or 0.0, sound.seconds)
                highest = {"X-Highest-Hz": f"{found.highest_hz:g}"}
                return Response(found.png, media_type="image/png", headers=highest)
        except OSError:
            pass
        return PlainTextResponse("Recording not found.", status_code=404)

    def _respond_file(self, request: "Request") -> "Response":
        from starlette.responses import FileResponse, PlainTextResponse

        moment = self.moment(request.path_params["token"])
        if moment is None:
            return PlainTextResponse("Recording not found.", status_code=404)
        # As a download, never displayed.
        name = Path(moment.path).name.encode("utf-8", "replace").decode()
        return FileResponse(
            moment.path, media_type="application/octet-stream", filename=name, headers=NO_SNIFFING
        )

    def _respond_moment(self, request: "Request") -> "Response":
        from starlette.responses import PlainTextResponse, Response

        moment = self.moment(request.path_params["token"])
        try:
            if moment is not None:
                wav = moment_as_wav(moment.path, moment.start, moment.end)
                return Response(wav, media_type="audio/wav", headers=NO_SNIFFING)
        except OSError:
            pass
        return PlainTextResponse("Recording not found.", status_code=404)

    def _convert(self, sound: Playable) -> bytes:
        """
        A recording as a WAV file, converted once as long as the file does not change.

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


__all__ = ["PREFIX", "AnsweredSounds", "FileAddress", "Moment", "SoundAddress"]
