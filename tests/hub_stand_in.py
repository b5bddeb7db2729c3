"""A loopback stand-in for the Hugging Face Hub: what `huggingface_hub` asks of it, and the ways it can fail."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class StandIn:
    """What is served, how it fails, and what was asked.

    Attributes:
        url: the endpoint.
        repositories: ``models/owner/name`` or ``datasets/owner/name`` → file → content.
        commit: the commit every branch stands for.
        gated: repositories that ask for a login.
        cut_after: bytes after which a file's answer is cut off, once a request; None sends everything.
        corrupt: whether contents arrive altered.
        requests: method, path and Range header of every request.
        headers: the headers of every request.
        token: what a login must say to write; None refuses everybody.
        owners: names that the login may write under.
        private: repositories that were made private.
        refuses: part of a path → status that requests for it get.
        drops: parts of paths whose requests are cut off after the first bytes of an answer.
        commits: repository → the summaries of its commits.
    """

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commit: str = COMMIT
    gated: set[str] = field(default_factory=set)
    cut_after: int | None = None
    corrupt: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    token: str | None = None
    owners: tuple[str, ...] = ("visitor",)
    private: set[str] = field(default_factory=set)
    refuses: dict[str, int] = field(default_factory=dict)
    drops: set[str] = field(default_factory=set)
    commits: dict[str, list[str]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)

    def sent(self, name: str) -> list[str | None]:
        """Return the Range headers of the GET requests for the file `name`."""
        return [ranged for method, path, ranged in self.requests if method == "GET" and path.endswith(f"/{name}")]


def _entry(name: str, content: bytes) -> dict[str, object]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, object] = {"rfilename": name, "path": name, "type": "file", "size": len(content)}
    entry |= {"blobId": blob, "oid": blob}
    if name.endswith((".safetensors", ".bin", ".parquet", ".gz")):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": digest, "oid": digest, "size": len(content), "pointerSize": 134}
    return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.stand_in.requests.append((self.command, path, self.headers.get("Range")))
        self.stand_in.headers.append(dict(self.headers))
        body = self._body()
        if any(part in path for part in self.stand_in.drops):
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        for part, status in self.stand_in.refuses.items():
            if part in path:
                return self._answer(status, b'{"error": "refused"}', {"Content-Type": "application/json"})
        if self._write(path, body):
            return None
        api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|paths-info)/([^/]+))?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api:
            key, revision = f"{api[1]}/{api[2]}", api[4]
        elif file:
            key, revision = f"{'datasets' if file[1] else 'models'}/{file[2]}", file[3]
        else:
            return self._answer(404)
        content = self.stand_in.repositories.get(key)
        if content is None or (key in self.stand_in.private and not self._logged_in()):
            return self._answer(401, b"{}", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "not found"})
        if key in self.stand_in.gated:
            return self._answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        if revision not in (None, "main", self.stand_in.commit):
            return self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if api and api[3] == "paths-info":
            wanted = re.findall(r"[\w./-]+", unquote(body.decode()))
            return self._json([_entry(name, data) for name, data in content.items() if name in wanted])
        if api:
            siblings = [_entry(name, data) for name, data in content.items()]
            return self._json({"id": api[2], "sha": self.stand_in.commit, "siblings": siblings, "tags": []})
        assert file is not None
        if file[4] not in content:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        return self._file(content[file[4]])

    def _logged_in(self) -> bool:
        token = self.stand_in.token
        return token is not None and self.headers.get("Authorization") == f"Bearer {token}"

    def _write(self, path: str, body: bytes) -> bool:
        """Answer a request of an upload; false if it is none."""
        stand_in = self.stand_in
        steps = (
            (r"/api/(whoami)-v2", self._whoami),
            (r"/api/repos/(create)", self._create),
            (r"/api/validate-(yaml)", lambda _, __: self._json({"errors": [], "warnings": []})),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self._preupload),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            (r"/upload/(\w+)", lambda oid, data: (stand_in.uploads.__setitem__(oid, data), self._answer(200))),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self._commit),
        )
        for pattern, answer in steps:
            if found := re.fullmatch(pattern, path):
                if not self._logged_in() and not path.startswith("/upload/"):
                    self._answer(401, b'{"error": "Invalid username or password."}')
                else:
                    answer(found[1], body)
                return True
        return False

    def _whoami(self, _: str, __: bytes) -> None:
        self._json({"type": "user", "name": self.stand_in.owners[0], "orgs": []})

    def _create(self, _: str, body: bytes) -> None:
        asked = json.loads(body)
        repo_id = f"{asked['organization'] or self.stand_in.owners[0]}/{asked['name']}"
        if repo_id.split("/")[0] not in self.stand_in.owners:
            return self._answer(403, b'{"error": "You do not have the rights"}')
        if f"models/{repo_id}" in self.stand_in.repositories:
            return self._answer(409, b'{"error": "You already created this model repo"}')
        self.stand_in.repositories[f"models/{repo_id}"] = {".gitattributes": b""}
        if asked.get("private") or asked.get("visibility") == "private":
            self.stand_in.private.add(f"models/{repo_id}")
        return self._json({"url": f"{self.stand_in.url}/{repo_id}", "name": repo_id})

    def _preupload(self, repo_id: str, body: bytes) -> None:
        files = [
            {"path": each["path"], "uploadMode": "lfs" if "safetensors" in each["path"] else "regular"}
            | {"shouldIgnore": False}
            for each in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def _batch(self, repo_id: str, body: bytes) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.stand_in.url}/upload/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, repo_id: str, body: bytes) -> None:
        files = dict(self.stand_in.repositories[f"models/{repo_id}"])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                if value.get("parentCommit") not in (None, self.stand_in.commit):
                    return self._answer(412, b'{"error": "A commit has happened since"}')
                self.stand_in.commits.setdefault(repo_id, []).append(value["summary"])
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.stand_in.uploads[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        self.stand_in.repositories[f"models/{repo_id}"] = files
        oid = self.stand_in.commit
        return self._json({"commitUrl": f"{self.stand_in.url}/{repo_id}/commit/{oid}", "commitOid": oid})

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - names http.server asks for

    def _file(self, data: bytes) -> None:
        whole = data
        if self.stand_in.corrupt:
            data = bytes([data[0] ^ 1]) + data[1:]
        headers = {"ETag": f'"{hashlib.sha256(whole).hexdigest()}"', "X-Repo-Commit": self.stand_in.commit}
        headers |= {"X-Linked-Size": str(len(whole)), "Accept-Ranges": "bytes"}
        status = 200
        if ranged := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            status, start = 206, int(ranged[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data = data[start:]
        cut = self.stand_in.cut_after
        if cut is None or cut >= len(data) or self.command == "HEAD":
            return self._answer(status, data, headers)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[:cut])
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hung up is what some tests are about


@contextmanager
def serve() -> Iterator[StandIn]:
    """Serve a stand-in on a free loopback port."""
    stand_in = StandIn()
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    server = _Server(("127.0.0.1", 0), handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def silent_host() -> Iterator[str]:
    """Accept connections on a loopback port and never answer; yield the endpoint."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
