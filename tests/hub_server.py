"""The Hub's HTTP interface on loopback, as far as the unmodified client asks for it: repositories, commits, LFS."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

_KINDS = ("models", "datasets", "spaces")
_PREFIX = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
TOKEN = "hf_loopback"
READ_ONLY_TOKEN = "hf_readonly"
USER = "someone"
_SMALL = 10_000


@dataclass
class Commit:
    """A tree of files with its message."""

    oid: str
    message: str
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Repo:
    """A repository: branches and tags point at commits; files of a gated one need a token."""

    private: bool
    commits: dict[str, Commit]
    refs: dict[str, str]
    pull_requests: int = 0
    gated: bool = False

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, tag or hash."""
        return self.commits.get(self.refs.get(revision, revision))


class HubServer(ThreadingHTTPServer):
    """
    Attributes:
        repos: by (kind, "owner/name").
        stored: LFS contents by SHA-256.
        fault: from (method, path) to "cut", a status, or None; asked before every request.
        requests: of (method, path), in order.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.stored: dict[str, bytes] = {}
        self.fault: Callable[[str, str], Any] = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        self.server.requests.append((method, path))
        fault = self.server.fault(method, path)
        if fault == "cut":
            self.close_connection = True
            self.connection.close()
            return
        if fault is not None:
            self._error(fault, None, "told to fail")
            return
        with self.server.lock:
            for kinds, pattern, handle in _ROUTES:
                found = re.fullmatch(pattern, path)
                if found and method in kinds:
                    handle(self, **found.groupdict())
                    return
        self._error(404, "EntryNotFound", f"{method} {path}: no such route")

    # ------------------------------------------------------------------------------ answers

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(
            json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})}
        )

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _error(self, status: int, code: str | None, message: str, headers: dict | None = None) -> None:
        more = {"X-Error-Message": message, **(headers or {})}
        if code:
            more["X-Error-Code"] = code
        self._json({"error": message}, status, more)

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ").strip() or None

    def _may_write(self) -> bool:
        token = self._token()
        if token == TOKEN:
            return True
        if token == READ_ONLY_TOKEN:
            self._error(403, None, "this token may only read")
        else:
            self._error(401, None, "Invalid username or password.")
        return False

    def _repo(self, kind: str, name: str) -> Repo | None:
        repo = self.server.repos.get((kind, name))
        if repo is None or (repo.private and self._token() not in (TOKEN, READ_ONLY_TOKEN)):
            self._error(401 if self._token() is None else 404, "RepoNotFound", "Repository not found")
            return None
        return repo

    def _commit(self, kind: str, name: str, revision: str) -> Commit | None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        commit = repo.at(revision)
        if commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    # ------------------------------------------------------------------------------- routes

    def whoami(self) -> None:
        if self._token() not in (TOKEN, READ_ONLY_TOKEN):
            self._error(401, None, "Invalid credentials in Authorization header")
            return
        role = "write" if self._token() == TOKEN else "read"
        access = {"type": "access_token", "accessToken": {"displayName": "t", "role": role}}
        self._json({"type": "user", "name": USER, "orgs": [], "auth": access})

    def validate_yaml(self) -> None:
        self._json({"errors": [], "warnings": []})

    def create(self) -> None:
        if not self._may_write():
            return
        asked = json.loads(self.body)
        kind = f"{asked.get('type') or 'model'}s"
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        url = f"{self.server.url}/{_PREFIX[kind]}{name}"
        if (kind, name) in self.server.repos:
            self._json({"error": "You already created this repo", "url": url, "name": name}, 409)
            return
        first = Commit(hashlib.sha1(f"{kind}/{name}".encode()).hexdigest(), "initial commit")
        private = bool(asked.get("private") or asked.get("visibility") == "private")
        self.server.repos[kind, name] = Repo(private, {first.oid: first}, {"main": first.oid})
        self._json({"url": url, "name": name})

    def preupload(self, kind: str, name: str, revision: str) -> None:
        commit = self._commit(kind, name, revision)
        if commit is None or not self._may_write():
            return
        answers = []
        for file in json.loads(self.body)["files"]:
            text = base64.b64decode(file.get("sample") or "")
            large = file["size"] > _SMALL * 100 or b"\0" in text
            known = commit.files.get(file["path"])
            oid = None
            if known is not None:
                oid = hashlib.sha256(known).hexdigest() if large else _git_oid(known)
            answers.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": oid,
                }
            )
        self._json({"files": answers})

    def lfs_batch(self, kind_prefix: str | None, name: str) -> None:
        if not self._may_write():
            return
        objects = []
        for entry in json.loads(self.body)["objects"]:
            answer = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.server.stored:
                put, verify = (f"{self.server.url}/lfs/{what}/{entry['oid']}" for what in ("put", "verify"))
                answer["actions"] = {"upload": {"href": put}, "verify": {"href": verify}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            self._error(400, None, "content does not have its hash")
            return
        self.server.stored[oid] = self.body
        self._send(b"")

    def lfs_verify(self, oid: str) -> None:
        self._json({}) if oid in self.server.stored else self._error(404, None, "not stored")

    def commit(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        if repo is None or not self._may_write():
            return
        lines = [json.loads(line) for line in self.body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent = repo.at(revision)
        if parent is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = dict(parent.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.server.stored:
                    self._error(400, None, f"{value['path']}: its content was never uploaded")
                    return
                files[value["path"]] = self.server.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
        oid = hashlib.sha1(f"{parent.oid}{len(repo.commits)}{header['summary']}".encode()).hexdigest()
        repo.commits[oid] = Commit(oid, header["summary"], files)
        answer = {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"{self.server.url}/{_PREFIX[kind]}{name}/commit/{oid}",
        }
        if self.query.get("create_pr") == "1":
            repo.pull_requests += 1
            repo.refs[f"refs/pr/{repo.pull_requests}"] = oid
            answer["pullRequestUrl"] = (
                f"{self.server.url}/{_PREFIX[kind]}{name}/discussions/{repo.pull_requests}"
            )
        else:
            repo.refs[revision] = oid
        self._json(answer)

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        commit = self._commit(kind, name, revision or "main")
        if commit is None:
            return
        repo = self.server.repos[kind, name]
        siblings = [{"rfilename": path, "size": len(content)} for path, content in commit.files.items()]
        self._json(
            {
                "id": name,
                "modelId": name,
                "sha": commit.oid,
                "private": repo.private,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": siblings,
                "cardData": _card_data(commit.files.get("README.md", b"")),
            }
        )

    def tree(self, kind: str, name: str, revision: str, folder: str | None = None) -> None:
        commit = self._commit(kind, name, revision)
        if commit is None:
            return
        start = f"{folder}/" if folder else ""
        chosen = {path: content for path, content in commit.files.items() if path.startswith(start)}
        if folder and not chosen:
            self._error(404, "EntryNotFound", f"{folder} does not exist")
            return
        if self.query.get("recursive", "").lower() not in ("true", "1"):
            chosen = {path: content for path, content in chosen.items() if "/" not in path[len(start) :]}
        self._json([_entry(path, content) for path, content in sorted(chosen.items())])

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        commit = self._commit(kind, name, revision)
        if commit is not None:
            if self.headers.get("Content-Type", "").startswith("application/json"):
                paths = json.loads(self.body)["paths"]
            else:
                paths = parse_qs(self.body.decode()).get("paths", [])
            self._json([_entry(path, commit.files[path]) for path in paths if path in commit.files])

    def refs(self, kind: str, name: str) -> None:
        repo = self._repo(kind, name)
        if repo is not None:
            listed = [
                {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": oid}
                for ref, oid in repo.refs.items()
                if not ref.startswith("refs/")
            ]
            self._json({"branches": listed, "converts": [], "tags": [], "pullRequests": []})

    def commits(self, kind: str, name: str, revision: str) -> None:
        commit = self._commit(kind, name, revision)
        if commit is not None:
            entry = {
                "id": commit.oid,
                "title": commit.message,
                "message": "",
                "date": "2026-01-01T00:00:00.000Z",
            }
            self._json([{**entry, "authors": []}])

    def branch(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        if repo is None or not self._may_write():
            return
        start = (json.loads(self.body) if self.body else {}).get("startingPoint") or "main"
        if revision in repo.refs:
            self._error(409, None, "Reference already exists")
            return
        repo.refs[revision] = repo.at(start).oid
        self._json({})

    def resolve(self, name: str, revision: str, file: str, prefix: str | None = None) -> None:
        kind = (prefix or "models").rstrip("/")
        commit = self._commit(kind, name, revision)
        if commit is None:
            return
        if self.server.repos[kind, name].gated and self._token() is None:
            self._error(401, "GatedRepo", "Access to this repository is restricted")
            return
        if file not in commit.files:
            self._error(404, "EntryNotFound", f"{file} does not exist", {"X-Repo-Commit": commit.oid})
            return
        content = commit.files[file]
        headers = {
            "X-Repo-Commit": commit.oid,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not found:
            self._send(content, 200, headers)
            return
        first, last = int(found[1]), int(found[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(content[first : last + 1], 206, headers)


def _card_data(card: bytes) -> dict[str, Any] | None:
    """The YAML block at a card's beginning."""
    parts = card.decode().split("---\n")
    return yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0] else None


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": _git_oid(content)}
    if b"\0" in content:
        lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        entry["lfs"] = lfs
    return entry


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


_REPO = rf"/api/(?P<kind>{'|'.join(_KINDS)})/(?P<name>[^/]+/[^/]+)"
# The client escapes the slashes of refs/pr/1; they are plain by now.
_REVISION = r"(?P<revision>refs/pr/\d+|[^/]+)"
_ROUTES: list[tuple[tuple[str, ...], str, Callable]] = [
    (("GET",), r"/api/whoami-v2", _Handler.whoami),
    (("POST",), r"/api/validate-yaml", _Handler.validate_yaml),
    (("POST",), r"/api/repos/create", _Handler.create),
    (("POST",), rf"{_REPO}/preupload/{_REVISION}", _Handler.preupload),
    (("POST",), rf"{_REPO}/commit/{_REVISION}", _Handler.commit),
    (("POST",), rf"{_REPO}/paths-info/{_REVISION}", _Handler.paths_info),
    (("POST",), rf"{_REPO}/branch/{_REVISION}", _Handler.branch),
    (("GET",), rf"{_REPO}/refs", _Handler.refs),
    (("GET",), rf"{_REPO}/commits/{_REVISION}", _Handler.commits),
    (("GET",), rf"{_REPO}/tree/{_REVISION}(?:/(?P<folder>.+))?", _Handler.tree),
    (("GET",), rf"{_REPO}/revision/{_REVISION}", _Handler.info),
    (("GET",), _REPO, _Handler.info),
    (
        ("POST",),
        r"/(?P<kind_prefix>datasets/|spaces/)?(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch",
        _Handler.lfs_batch,
    ),
    (("PUT",), r"/lfs/put/(?P<oid>[0-9a-f]{64})", _Handler.lfs_put),
    (("POST",), r"/lfs/verify/(?P<oid>[0-9a-f]{64})", _Handler.lfs_verify),
    (
        ("GET", "HEAD"),
        rf"/(?P<prefix>datasets/|spaces/)?(?P<name>[^/]+/[^/]+)/resolve/{_REVISION}/(?P<file>.+)",
        _Handler.resolve,
    ),
]


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server; the client has to be a process of its own, since it reads HF_ENDPOINT at import."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


__all__ = ["READ_ONLY_TOKEN", "TOKEN", "USER", "HubServer", "hub_server"]
