"""A witness of one log, from c2sp.org/tlog-witness and tlog-cosignature alone: key SECRET | ADDRESS PORT STATE LOG_LINE SECRET.

Verifies the log's signature and the consistency of what it is shown with what it has cosigned, which it keeps in STATE.
"""

import base64
import hashlib
import http.server
import json
import os
import sys
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAME = "witness.example/w1"


def sha256(octets):
    return hashlib.sha256(octets).digest()


def node(left, right):
    return sha256(b"\x01" + left + right)


def consistent(old, old_root, size, root, proof):
    """RFC 9162, section 2.1.4.2."""
    if old == 0:
        return not proof
    if old == size:
        return not proof and old_root == root
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    if not proof:
        return False
    first, second = old - 1, size - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    one = two = proof[0]
    for step in proof[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            one, two = node(step, one), node(step, two)
            while first and not first & 1:
                first, second = first >> 1, second >> 1
        else:
            two = node(two, step)
        first, second = first >> 1, second >> 1
    return second == 0 and one == old_root and two == root


class Witness:
    def __init__(self, secret):
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        public = b"\x04" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = sha256(NAME.encode() + b"\n" + public)[:4]
        self.line = f"{NAME}+{self.id.hex()}+{base64.b64encode(public).decode()}"

    def cosign(self, text):
        now = int(time.time())
        signature = self.key.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        return f"\u2014 {NAME} {base64.b64encode(self.id + now.to_bytes(8, 'big') + signature).decode()}\n"


def signed(text, lines, log):
    name, key_id, key = log.split("+", 2)
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
    found = False
    for line in lines.splitlines():
        dash, who, octets = line.split(" ")
        octets = base64.b64decode(octets, validate=True)
        if dash == "\u2014" and who == name and octets[:4].hex() == key_id:
            try:
                key.verify(octets[4:], text.encode())
            except InvalidSignature:
                return False
            found = True
    return found


def take(request, state, log, witness):
    head, text, lines = request.split("\n\n", 2)
    text += "\n"
    old, *proof = head.split("\n")
    old = int(old.removeprefix("old "))
    origin, size, root = text.split("\n")[:3]
    if origin != log.split("+")[0]:
        return 404, "", ""
    if not signed(text, lines, log):
        return 403, "", ""
    size, root = int(size), base64.b64decode(root, validate=True)
    if old > size or len(proof) > 63:
        return 400, "", ""
    seen = json.load(open(state)) if os.path.exists(state) else {"size": 0, "root": ""}
    if old != seen["size"]:
        return 409, f"{seen['size']}\n", "text/x.tlog.size"
    if not consistent(old, bytes.fromhex(seen["root"]), size, root, [base64.b64decode(hash) for hash in proof]):
        return 422, "", ""
    with open(state + ".new", "w") as file:
        json.dump({"size": size, "root": root.hex()}, file)
    os.replace(state + ".new", state)
    # Another witness's line, which the client has to pass over.
    other = "\u2014 witness.example/w2 " + base64.b64encode(b"abcd" + bytes(72)).decode() + "\n"
    return 200, other + witness.cosign(text), "text/plain"


if sys.argv[1] == "key":
    print(Witness(sys.argv[2]).line)
    sys.exit()
address, port, state, log, secret = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status, body, kind = (404, "", "") if self.path != "/w/add-checkpoint" else take(request, state, log, Witness(secret))
        with open(state + ".log", "a") as file:
            file.write(f"{status}\n")
        self.send_response(status)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


http.server.HTTPServer((address, int(port)), Handler).serve_forever()
