"""A mail server and a receiver of webhooks for tests: what they take, they write down. Nothing is passed on.

mailbox.py smtp ADDRESS PORT FOLDER CERTIFICATE KEY starttls|implicit USER PASSWORD
mailbox.py flood ADDRESS PORT FOLDER CERTIFICATE KEY
mailbox.py hook ADDRESS PORT FOLDER CERTIFICATE KEY SECRET
"""

import hashlib
import hmac
import http.server
import itertools
import json
import os
import signal
import socket
import ssl
import sys

kind, address, port, folder, certificate, key = sys.argv[1:7]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
numbers = itertools.count(1)


def keep(of):
    path = os.path.join(folder, "%s-%d.json" % (kind, next(numbers)))
    with open(path + ".new", "w") as file:
        json.dump(of, file)
    os.rename(path + ".new", path)


def smtp(mode, user, password):
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import SMTP, AuthResult

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            keep({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "tls": session.ssl is not None or mode == "implicit",
                "login": session.authenticated,
                "message": envelope.content.decode("utf-8", "surrogateescape"),
            })
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        good = data.login == user.encode() and data.password == password.encode()
        return AuthResult(success=good, handled=False)

    class Own(Controller):
        def factory(self):
            extra = {"tls_context": context, "require_starttls": True} if mode == "starttls" else {}
            return SMTP(Handler(), authenticator=authenticate, auth_required=True,
                        auth_require_tls=mode == "starttls", **extra)

    implicit = {"ssl_context": context} if mode == "implicit" else {}
    Own(Handler(), hostname=address, port=int(port), **implicit).start()
    signal.pause()


def hook(secret):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            refused = os.path.exists(os.path.join(folder, "refuse"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            signed = headers["x-interdict-timestamp"] + "." + body
            expected = "sha256=" + hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
            keep({"id": headers["x-interdict-id"], "signed": headers["x-interdict-signature"] == expected,
                  "kind": headers["content-type"], "body": json.loads(body), "refused": refused})
            self.send_response(503 if refused else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def flood():
    """Greets with a line that never ends."""
    server = socket.create_server((address, int(port)))
    while True:
        stream, _ = server.accept()
        try:
            with context.wrap_socket(stream, server_side=True) as secured:
                secured.sendall(b"220 ")
                while True:
                    secured.sendall(b"x" * 16384)
        except OSError:
            pass


{"smtp": smtp, "hook": hook, "flood": flood}[kind](*sys.argv[7:])
