"""Takes requests over HTTPS and keeps their bodies: ADDRESS PORT CERTIFICATE KEY FILE. Refuses the first one."""

import http.server
import os
import ssl
import sys

address, port, certificate, key, path = sys.argv[1:]
refused = False


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global refused
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != "Bearer secret":
            self.send_error(401)
        elif not refused:
            refused = True
            self.send_error(503)
        else:
            with open(path, "ab") as file:
                file.write(body.replace(b"\n", b"") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer((address, int(port)), Receiver)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
