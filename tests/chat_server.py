"""A chat completions server on loopback that answers by simple rules, counts, and fails when it is told to."""

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_TRANSLATE = re.compile(r"from (\w+) to (\w+)\..*\n\n(.*)", re.S)
_MIX = re.compile(r"First: (.*)\nSecond: (.*)", re.S)


def usual_answer(prompt: str) -> str:
    """German, French and so on are the sentence behind a mark; back in English it is another sentence."""
    if found := _TRANSLATE.search(prompt):
        source, target, text = found.groups()
        if target != "English":
            return f"[{target}] {text}"
        return f"In the recording {text.removeprefix(f'[{source}] ').lower().rstrip('.')} is heard."
    first, second = _MIX.search(prompt).groups()
    return f"{first.rstrip('.')} while {second.lower()}"


class ChatServer(ThreadingHTTPServer):
    """
    Attributes:
        answer: from prompt to answer.
        fault: from (number of the request, prompt) to a status to answer with, "cut", "garbage", or None.
        delay: seconds an answer takes.
        key: what must be sent; None takes any.
        asked: how often each prompt with its seed was answered.
        bodies: of all requests.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Callable[[str], str] = usual_answer
        self.fault: Callable[[int, str], Any] = lambda number, prompt: None
        self.delay = 0.0
        self.key: str | None = None
        self.asked: Counter = Counter()
        self.bodies: list[dict] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """For --base-url."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell of: it would stand in the output of another test."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        with self.server.lock:
            self.server.bodies.append(body)
            number = len(self.server.bodies)
        fault = self.server.fault(number, prompt)
        if self.server.key is not None and self.headers["Authorization"] != f"Bearer {self.server.key}":
            given = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            self._send(401, {"error": {"message": f"Incorrect API key provided: {given}."}})
            return
        time.sleep(self.server.delay)
        if fault == "cut":
            self.connection.close()
            return
        if fault == "garbage":
            self._send(200, {"hello": "world"})
            return
        if fault is not None:
            self._send(fault, {"error": {"message": f"fault {fault}"}}, {"Retry-After": "0.01"})
            return
        message = {"role": "assistant", "content": self.server.answer(prompt)}
        self._send(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            },
        )
        with self.server.lock:
            self.server.asked[prompt, body["seed"]] += 1

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A server that runs as long as the `with` block."""
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


__all__ = ["ChatServer", "chat_server", "usual_answer"]
