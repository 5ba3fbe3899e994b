"""Shows a result's file in the file manager of this machine."""

import ipaddress
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from ..errors import SearchError
from .hosts import is_loopback
from .playing.sounds import PREFIX, AnsweredSounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

# What a proxy adds: whoever asks through one does not sit here.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
WAIT_SECONDS = 20.0


def reveal_command(path: str, platform: str = sys.platform) -> list[str]:
    """
    The program and its arguments that show a file in its folder; no shell reads them.

    Args:
        path: absolute, so that it is never taken for an option.
        platform: as `sys.platform` names it.

    Raises:
        SearchError: if the path is not absolute.
    """
    if not os.path.isabs(path):
        raise SearchError(f"{path}: not an absolute path.")
    if platform == "darwin":
        return ["open", "-R", path]
    if platform == "win32":
        return ["explorer", "/select,", path]
    # Only file managers know how to select a file: the folder is opened.
    return ["xdg-open", os.path.dirname(path)]


def reveal(path: str) -> None:
    """
    Opens the file manager at a file.

    Raises:
        SearchError: if the file is missing, there is no file manager, or it ends with an error.
    """
    if not os.path.isfile(path):
        raise SearchError(f"{path}: the file no longer exists.")
    command = reveal_command(path)
    program = shutil.which(command[0])
    if program is None:
        raise SearchError(f"{command[0]}: is not installed, so that no folder can be shown.")
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        process = subprocess.Popen([program, *command[1:]], **quiet)
        code = process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        # It shows the folder, and stays.
        return
    except OSError as error:
        raise SearchError(f"{program}: cannot be run ({error.strerror or error}).") from error
    # Explorer always exits with 1.
    if code and sys.platform != "win32":
        raise SearchError(f"{command[0]}: ended with code {code}; is there a desktop?")


def sits_here(host: str | None, headers: "Mapping[str, str]") -> bool:
    """
    Whether a request comes from this machine itself, through no proxy.

    Args:
        host: address of who asks.
        headers: headers of the request, looked up in lower case.
    """
    try:
        own = host is not None and ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
    return own and not any(name in headers for name in FORWARDED)


def reveal_routes(sounds: AnsweredSounds, host: str) -> list[Any]:
    """
    The route that shows a file in its folder; none where other machines reach the page.

    Args:
        sounds: of which any answer's file can be shown.
        host: where the page listens.
    """
    from starlette.routing import Route

    if not is_loopback(host):
        return []

    def respond(request: "Request") -> "Response":
        from starlette.responses import PlainTextResponse

        client = None if request.client is None else request.client.host
        if not sits_here(client, request.headers):
            return PlainTextResponse("Only who sits at this machine can do that.", status_code=403)
        moment = sounds.moment(request.path_params["token"])
        if moment is None:
            return PlainTextResponse("Recording not found.", status_code=404)
        try:
            reveal(moment.path)
        except SearchError as error:
            return PlainTextResponse(str(error), status_code=409)
        return PlainTextResponse("shown")

    # A link or a picture on another page asks by GET.
    return [Route(f"/{PREFIX}/{{token}}/reveal", respond, methods=["POST"])]


__all__ = ["reveal", "reveal_command", "reveal_routes", "sits_here"]
