"""A Hub on this machine: the HTTP interface that `huggingface_hub` speaks, in memory, with faults on demand.

Repositories have real commits, so what is pushed can be loaded by revision. Xet storage must be turned off
(``HF_HUB_DISABLE_XET=1``); large files then go through Git LFS.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from datasets import config
from huggingface_hub import constants, file_download, hf_api
from huggingface_hub.utils import _http
from transformers.utils import hub as transformers_hub

import lit_mlm.nets.hub

LFS_SUFFIXES = (".safetensors", ".bin", ".parquet", ".gz", ".onnx")

Files = dict[str, bytes]
Answer = tuple[Any, dict[str, str]]
"""JSON or bytes, and headers."""


@dataclass
class Repo:
    """A repository: its commits, newest last, each with a message and all files."""

    kind: str
    name: str
    private: bool = False
    is_gated: bool = False
    commits: dict[str, tuple[str, Files]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, message: str, files: Files, branch: str = "main") -> str:
        """Makes a commit and returns its id."""
        content = repr((self.name, message, len(self.commits), sorted(files.items())))
        revision = hashlib.sha1(content.encode()).hexdigest()
        self.commits[revision] = message, files
        self.branches[branch] = revision
        return revision

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch or commit id."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> Files:
        """The files at a revision."""
        return self.commits[str(self.resolve(revision))][1]

    @property
    def messages(self) -> list[str]:
        """The messages of all commits but the first, which the Hub makes."""
        return [message for message, _ in self.commits.values()][1:]


@dataclass
class Fault:
    """What happens to the next requests that match a pattern, such as ``POST .*/commit/main``.

    Args:
        pattern: searched in the method and path of a request.
        status: of the answer; with 0 the connection is closed without one, unless the answer is late only.
        headers: of the answer.
        body: of the answer.
        times: number of requests.
        seconds: before the request is answered as usual, or with `status`.
        after: the request takes effect, but the client does not learn of it.
    """

    pattern: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"error": "a fault of the test"}'
    times: int = 10**6
    seconds: float = 0.0
    after: bool = False


class Hub(ThreadingHTTPServer):
    """The server; `url` is its endpoint."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tokens = {"hf_owner": ("user", "write"), "hf_reader": ("user", "read"), "hf_other": ("other", "write")}
        self.blobs: Files = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.lock = threading.Lock()

    def add_repo(self, kind: str, name: str, files: Files | None = None, **options: Any) -> Repo:
        """Adds a repository with a first commit."""
        repo = self.repos[kind, name] = Repo(kind, name, **options)
        repo.commit("initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"} | (files or {}))
        return repo

    def fail(self, pattern: str, status: int = 0, **options: Any) -> Fault:
        """Adds a fault; status 0 closes the connection without an answer."""
        self.faults.append(Fault(pattern, status, **options))
        return self.faults[-1]

    def count(self, pattern: str) -> int:
        """The number of requests so far that match a pattern."""
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def take_fault(self, request: str) -> Fault | None:
        """The fault that a request meets, if any."""
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None

    def wait_for(self, pattern: str, seconds: float = 60.0) -> None:
        """Waits for a request that matches a pattern."""
        end = time.monotonic() + seconds
        while not self.count(pattern):
            assert time.monotonic() < end, f"no request {pattern} among {self.requests}"
            time.sleep(0.02)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that were killed."""


@contextmanager
def run_hub() -> Iterator[Hub]:
    """Runs a Hub within a block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def use_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str | None = "hf_owner") -> None:
    """Lets this process, and those that it starts, use a Hub in place of the public one."""
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    settings = {"ENDPOINT": hub.url, "HUGGINGFACE_CO_URL_TEMPLATE": template}
    for name, value in (settings | {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}).items():
        monkeypatch.setattr(constants, name, value)
    for api in (hf_api.api, transformers_hub.hf_api()):
        monkeypatch.setattr(api, "endpoint", hub.url)
    monkeypatch.setattr(config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", False)
    for name, variable in make_env(hub, token).items():
        monkeypatch.setenv(name, variable)


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Makes waits between requests pass at once; returns their seconds, as they come."""
    waits: list[float] = []
    for module in (lit_mlm.nets.hub, _http, file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waits.append))
    return waits


def make_env(hub: Hub, token: str | None = "hf_owner") -> dict[str, str]:
    """Environment variables of a process that uses a Hub."""
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    return settings | ({} if token is None else {"HF_TOKEN": token})


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str = "", message: str = "", **fields: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields


def hash_blob(content: bytes) -> str:
    """The id that Git gives to a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def hash_lfs(content: bytes) -> str:
    """The id of a large file."""
    return hashlib.sha256(content).hexdigest()


def describe_file(path: str, content: bytes) -> dict[str, Any]:
    """A file in a listing."""
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": hash_blob(content)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": hash_lfs(content), "size": len(content), "pointerSize": 134}
    return entry


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer takes 40 ms
    server: Hub

    def log_message(self, *args: Any) -> None:
        """Prints nothing."""

    def answer(self) -> None:
        """Answers a request, or does what a fault says."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        fault = self.server.take_fault(f"{self.command} {url.path}")
        if fault is None or fault.after or fault.seconds:
            time.sleep(fault.seconds if fault else 0)
            answer = self.find_answer(url.path, body)
        if fault is not None and fault.status:
            answer = fault.status, fault.body.encode(), fault.headers
        elif fault is not None and not fault.seconds:
            self.close_connection = True
            return
        self.send(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def find_answer(self, path: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """The answer of a Hub without faults."""
        try:
            found = next((route, match) for pattern, route in ROUTES.items() if (match := re.fullmatch(pattern, path)))
            groups = {name: value and unquote(value) for name, value in found[1].groupdict().items()}
            content, headers = found[0](self, body, **groups)
        except StopIteration:
            return 404, json.dumps({"error": f"no route {self.command} {path}"}).encode(), {}
        except RefusedError as error:
            headers = {"X-Error-Message": error.message} | ({"X-Error-Code": error.code} if error.code else {})
            return error.status, json.dumps({"error": error.message, **error.fields}).encode(), headers
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        return 206 if "Content-Range" in headers else 200, content, headers

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """Sends an answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def get_user(self) -> tuple[str, str]:
        """Name and role of the caller."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.server.tokens:
            raise RefusedError(401, message="Invalid credentials in Authorization header")
        return self.server.tokens.get(token, ("", ""))

    def find(self, kind: str | None, name: str, revision: str | None = None) -> tuple[Repo, str]:
        """A repository that the caller may see, and a commit."""
        user, _ = self.get_user()
        repo = self.server.repos.get((kind or "models", name))
        if repo is None or (repo.private and user != name.partition("/")[0]):
            raise RefusedError(404 if user else 401, "RepoNotFound", "Repository not found")
        commit = repo.resolve(revision or "main")
        if commit is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repo, commit

    def check_write(self, namespace: str) -> None:
        """Refuses a caller that may not write to a namespace."""
        user, role = self.get_user()
        if not user:
            raise RefusedError(401, message="Invalid username or password.")
        if (user, role) != (namespace, "write"):
            raise RefusedError(403, message=f"You don't have the rights to write to {namespace}")

    def whoami(self, body: bytes) -> Answer:
        user, role = self.get_user()
        if not user:
            raise RefusedError(401, message="Invalid username or password.")
        return {"name": user, "orgs": [], "auth": {"accessToken": {"role": role}}}, {}

    def create(self, body: bytes) -> Answer:
        wanted = json.loads(body)
        name = f"{wanted['organization']}/{wanted['name']}"
        self.check_write(wanted["organization"])
        url = f"{self.server.url}/{name}"
        if ("models", name) in self.server.repos:
            raise RefusedError(409, message="You already created this model repo", url=url)
        self.server.add_repo("models", name, private=wanted.get("visibility") == "private")
        return {"url": url}, {}

    def create_branch(self, body: bytes, name: str, branch: str) -> Answer:
        self.check_write(name.partition("/")[0])
        repo, commit = self.find("models", name)
        if branch in repo.branches:
            raise RefusedError(409, message="Reference already exists")
        repo.branches[branch] = commit
        return {}, {}

    def info(self, body: bytes, kind: str, name: str, revision: str | None = None) -> Answer:
        repo, commit = self.find(kind, name, revision)
        siblings = [{"rfilename": path} for path in repo.commits[commit][1]]
        return {"id": name, "sha": commit, "private": repo.private, "gated": repo.is_gated, "siblings": siblings}, {}

    def list_tree(self, body: bytes, kind: str, name: str, revision: str, folder: str = "") -> Answer:
        repo, commit = self.find(kind, name, revision)
        files = repo.commits[commit][1]
        start = f"{folder}/" if folder else ""
        found = {path: content for path, content in files.items() if path.startswith(start)}
        if folder and not found:
            raise RefusedError(404, "EntryNotFound", f"{folder} does not exist")
        if self.query.get("recursive", ["false"])[0].lower() == "true":
            return [describe_file(path, content) for path, content in found.items()], {}
        folders = {start + path.removeprefix(start).partition("/")[0] for path in found} - set(found)
        listed = [{"type": "directory", "path": path, "size": 0, "oid": commit} for path in sorted(folders)]
        return listed + [describe_file(p, c) for p, c in found.items() if "/" not in p.removeprefix(start)], {}

    def paths_info(self, body: bytes, kind: str, name: str, revision: str) -> Answer:
        repo, commit = self.find(kind, name, revision)
        files, wanted = repo.commits[commit][1], json.loads(body)["paths"]
        folders = [path for path in wanted if any(file.startswith(f"{path}/") for file in files)]
        listed = [{"type": "directory", "path": path, "size": 0, "oid": commit} for path in folders]
        return listed + [describe_file(path, files[path]) for path in wanted if path in files], {}

    def preupload(self, body: bytes, name: str, revision: str) -> Answer:
        self.check_write(name.partition("/")[0])
        repo, commit = self.find("models", name, revision)
        there, listed = repo.commits[commit][1], []
        for file in json.loads(body)["files"]:
            path, content = file["path"], there.get(file["path"])
            is_lfs = path.endswith(LFS_SUFFIXES)
            digest = None if content is None else hash_lfs(content) if is_lfs else hash_blob(content)
            mode = "lfs" if is_lfs else "regular"
            listed.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": digest})
        return {"files": listed}, {}

    def batch(self, body: bytes, name: str) -> Answer:
        self.check_write(name.partition("/")[0])
        objects = json.loads(body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.server.blobs:
                href = f"{self.server.url}/lfs/{entry['oid']}?signature=secret"
                verify = f"{self.server.url}/verify/{entry['oid']}"
                entry["actions"] = {"upload": {"href": href}, "verify": {"href": verify}}
        return {"objects": objects, "transfer": "basic"}, {}

    def upload(self, body: bytes, oid: str) -> Answer:
        if hash_lfs(body) != oid:
            raise RefusedError(400, message="the content does not match its id")
        self.server.blobs[oid] = body
        return {}, {}

    def verify(self, body: bytes, oid: str) -> Answer:
        if oid not in self.server.blobs:
            raise RefusedError(404, message="not uploaded")
        return {}, {}

    def commit(self, body: bytes, name: str, revision: str) -> Answer:
        self.check_write(name.partition("/")[0])
        repo, parent = self.find("models", name, revision)
        operations = [json.loads(line) for line in body.splitlines()]
        header, files = operations[0]["value"], dict(repo.commits[parent][1])
        if header.get("parentCommit", parent) != parent:
            raise RefusedError(412, message="A commit has happened since. Please refresh and try again.")
        for operation in operations[1:]:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            else:
                assert operation["key"] == "deletedFile"
                del files[value["path"]]
        oid = repo.commit(header["summary"], files, revision)
        return {"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid}, {}

    def resolve(self, body: bytes, kind: str | None, name: str, revision: str, path: str) -> Answer:
        repo, commit = self.find(kind, name, revision)
        if repo.is_gated:
            raise RefusedError(403, "GatedRepo", "Access to this repository is restricted")
        files = repo.commits[commit][1]
        if path not in files:
            raise RefusedError(404, "EntryNotFound", f"{path} does not exist")
        content = files[path]
        headers = {"ETag": f'"{hash_blob(content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content = content[start : end + 1]
        return content, headers


API, NAME, REVISION = r"/api/(?P<kind>models|datasets)", r"(?P<name>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
ROUTES: dict[str, Callable[..., Answer]] = {
    r"/api/whoami-v2": Handler.whoami,
    r"/api/validate-yaml": lambda handler, body: ({"errors": [], "warnings": []}, {}),
    r"/api/repos/create": Handler.create,
    rf"{API}/{NAME}": Handler.info,
    rf"{API}/{NAME}/revision/{REVISION}": Handler.info,
    rf"{API}/{NAME}/tree/{REVISION}": Handler.list_tree,
    rf"{API}/{NAME}/tree/{REVISION}/(?P<folder>.+)": Handler.list_tree,
    rf"{API}/{NAME}/paths-info/{REVISION}": Handler.paths_info,
    rf"/api/models/{NAME}/branch/(?P<branch>.+)": Handler.create_branch,
    rf"/api/models/{NAME}/preupload/{REVISION}": Handler.preupload,
    rf"/api/models/{NAME}/commit/{REVISION}": Handler.commit,
    rf"/{NAME}\.git/info/lfs/objects/batch": Handler.batch,
    r"/lfs/(?P<oid>\w+)": Handler.upload,
    r"/verify/(?P<oid>\w+)": Handler.verify,
    rf"(/(?P<kind>datasets))?/{NAME}/resolve/{REVISION}/(?P<path>.+)": Handler.resolve,
}
