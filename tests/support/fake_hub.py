"""As much of the Hugging Face hub as runs need, on this machine: repositories, commits and files over HTTP."""

import base64
import hashlib
import json
import re
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_alice"
ERRORS = {
    "RepoNotFound": (404, "Repository not found"),
    "GatedRepo": (403, "Access to model is restricted"),
    "RevisionNotFound": (404, "Invalid rev id"),
    "EntryNotFound": (404, "Entry not found"),
}


class FakeHub:
    """What is on the hub, and all that it was asked for.

    Attributes:
        repos: files by revision (branch or commit) by repository.
        private: repositories that only alice may see.
        asked: (method, path) of every request.
        commits: (repository, branch, message, paths that were added, paths that were deleted) of every commit.
        broken: a status, or a name in ERRORS, for every request whose path contains the key.
        cut: files after half of which the connection ends.
        licenses: what the hub takes for one.
    """

    def __init__(self):
        self.repos, self.private = defaultdict(dict), set()
        self.asked, self.commits, self.broken, self.cut = [], [], {}, set()
        self.licenses = {"apache-2.0", "cc-by-4.0"}
        self.url = ""

    def put(self, repo, files, branch="main"):
        """Make these the files of a branch, and give the commit."""
        told = json.dumps(sorted((name, hashlib.sha1(data).hexdigest()) for name, data in files.items()))
        sha = hashlib.sha1(f"{repo}{told}".encode()).hexdigest()
        self.repos[repo] |= {branch: (sha, dict(files)), sha: (sha, dict(files))}
        return sha

    def files(self, repo, revision="main"):
        return self.repos[repo][revision][1]

    def downloads(self):
        """The names of files whose content was asked for."""
        return [path.rpartition("/")[2] for method, path in self.asked if method == "GET" and "/resolve/" in path]


class Answer(Exception):
    def __init__(self, status, body=b"", headers=()):
        self.status, self.headers = status, dict(headers)
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


def failure(code):
    status, words = ERRORS[code]
    return Answer(status, {"error": words}, {"X-Error-Code": code, "X-Error-Message": words})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.asked.append((self.command, path))
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            broken = next((what for part, what in hub.broken.items() if part in path), None)
            if broken is not None:
                raise failure(broken) if broken in ERRORS else Answer(broken, {"error": "told to fail"})
            answer = self.answer(hub, path, sent)
        except Answer as told:
            answer = told
        headers = {"Content-Length": str(len(answer.body)), "Content-Type": "application/json"} | answer.headers
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET" and path.rpartition("/")[2] in hub.cut:
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.close_connection = True
            return
        self.wfile.write(answer.body)

    do_HEAD = do_POST = do_GET

    def answer(self, hub, path, sent):
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.command == "POST" and not known:
            return Answer(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            return self.create(hub, json.loads(sent))
        if path == "/api/validate-yaml":
            license = re.search(r"^license: (.*)$", json.loads(sent)["content"], re.MULTILINE)
            if license and license[1] not in hub.licenses:
                return Answer(400, {"errors": [{"message": '"license" must be one of many'}], "warnings": []})
            return Answer(200, {"errors": [], "warnings": []})
        found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)(?:/(\w+)(?:/(.+))?)?", path)
        repo, action, rest = found.groups() if found else (None, None, None)
        if repo not in hub.repos or (repo in hub.private and not known):
            raise failure("RepoNotFound")
        if action == "resolve":
            return self.resolve(hub, repo, *rest.split("/", 1))
        if action == "branch":
            return self.branch(hub, repo, rest)
        sha, files = self.at(hub, repo, rest or "main")
        if action in (None, "revision"):
            siblings = [{"rfilename": name} for name in files]
            return Answer(
                200, {"id": repo, "sha": sha, "private": repo in hub.private, "siblings": siblings, "tags": []}
            )
        if action == "tree":
            oids = {name: hashlib.sha1(data).hexdigest() for name, data in files.items()}
            told = [{"type": "file", "path": n, "size": len(files[n]), "oid": oid} for n, oid in oids.items()]
            return Answer(200, told)
        if action == "preupload":
            asked = [file["path"] for file in json.loads(sent)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked]
            return Answer(200, {"files": modes})
        assert action == "commit", path
        return self.commit(hub, repo, rest, [json.loads(line) for line in sent.splitlines()])

    def create(self, hub, asked):
        repo = f"{asked['organization']}/{asked['name']}"
        there = repo in hub.repos
        if not there:
            hub.put(repo, {".gitattributes": b""})
            if asked.get("visibility") == "private" or asked.get("private"):
                hub.private.add(repo)
        return Answer(409 if there else 200, {"url": f"{hub.url}/{repo}"})

    def branch(self, hub, repo, name):
        there = name in hub.repos[repo]
        if not there:
            hub.repos[repo][name] = hub.repos[repo]["main"]
        return Answer(409 if there else 200, {})

    def commit(self, hub, repo, branch, lines):
        values = defaultdict(list)
        for line in lines:
            values[line["key"]].append(line["value"])
        added = {v["path"]: base64.b64decode(v["content"]) for v in values["file"]}
        deleted = [v["path"] for v in values["deletedFile"]]
        files = {name: data for name, data in hub.files(repo, branch).items() if name not in deleted} | added
        hub.commits.append((repo, branch, values["header"][0]["summary"], sorted(added), deleted))
        sha = hub.put(repo, files, branch)
        return Answer(200, {"commitUrl": f"{hub.url}/{repo}/commit/{sha}", "commitOid": sha, "success": True})

    def resolve(self, hub, repo, revision, name):
        sha, files = self.at(hub, repo, revision)
        if name not in files:
            raise failure("EntryNotFound")
        data = files[name]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": sha}
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if first is None:
            return Answer(200, data, headers)
        place = int(first[1])
        headers["Content-Range"] = f"bytes {place}-{len(data) - 1}/{len(data)}"
        return Answer(206, data[place:], headers)

    def at(self, hub, repo, revision):
        if revision not in hub.repos[repo]:
            raise failure("RevisionNotFound")
        return hub.repos[repo][revision]


@contextmanager
def serving():
    """A hub that answers at `url` until the end of the block."""
    hub, server = FakeHub(), ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub, server.daemon_threads = hub, True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
