"""An object store in a folder that speaks as much of S3 as publishing a log needs: ADDRESS PORT FOLDER ID SECRET.

Checks every signature (AWS Signature Version 4) by itself, and takes a body only if it has the hash that was signed. Keeps the
number of objects that were written over in FOLDER.overwritten, and refuses to delete while there is FOLDER.locked.
"""

import hashlib
import hmac
import http.server
import os
import pathlib
import sys
import urllib.parse

address, port, folder, key_id, secret = sys.argv[1:]
root = pathlib.Path(folder)


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def is_signed(method, target, headers, body):
    kind, rest = headers["Authorization"].split(" ", 1)
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    who, day, region, service, end = parts["Credential"].split("/")
    names = parts["SignedHeaders"].split(";")
    digest = headers["x-amz-content-sha256"]
    url = urllib.parse.urlsplit(target)
    path = urllib.parse.quote(urllib.parse.unquote(url.path), safe="/-_.~")
    query = sorted(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
    query = "&".join(f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}" for k, v in query)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    canonical = "\n".join([method, path, query, lines, ";".join(names), digest])
    scope = f"{day}/{region}/{service}/{end}"
    text = "\n".join([kind, headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, end):
        key = sign(key, part)
    good = hmac.compare_digest(sign(key, text).hex(), parts["Signature"])
    return good and who == key_id and "host" in names and digest == hashlib.sha256(body).hexdigest()


class Store(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", code=None):
        if code:
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.headers["Authorization"] or not is_signed(self.command, self.path, self.headers, body):
            return self.answer(403, code="SignatureDoesNotMatch")
        url = urllib.parse.urlsplit(self.path)
        path = root / urllib.parse.unquote(url.path).lstrip("/")
        query = dict(urllib.parse.parse_qsl(url.query))
        if self.command == "GET" and "list-type" in query:
            keys = sorted(str(of.relative_to(path)) for of in path.rglob("*") if of.is_file())
            keys = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys if key.startswith(query["prefix"]))
            return self.answer(200, f"<ListBucketResult>{keys}</ListBucketResult>".encode())
        if self.command in ("GET", "HEAD"):
            return self.answer(200, path.read_bytes()) if path.is_file() else self.answer(404, code="NoSuchKey")
        if self.command == "DELETE":
            if os.path.exists(folder + ".locked"):
                return self.answer(403, code="AccessDenied")
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                # A store has no folders.
                path.parent.rmdir()
            return self.answer(204)
        if path.is_file():
            if self.headers["If-None-Match"] == "*":
                return self.answer(412, code="PreconditionFailed")
            if path.name not in ("checkpoint", "key") and path.parent.name != "cosigned":
                open(folder + ".overwritten", "a").write(f"{path}\n")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        self.answer(200)

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_any

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer((address, int(port)), Store).serve_forever()
