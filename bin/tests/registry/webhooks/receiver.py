"""A receiver of webhooks: verifies each with the library of the specification, prints what came as a line of JSON, and answers as it is
told by the path: /ok, /slow (429 once for each id, then 200), /gone, /broken."""

import http.server
import json
import sys
import threading

from standardwebhooks import Webhook, WebhookVerificationError

secrets, seen, writing = sys.argv[1:], set(), threading.Lock()


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        verified = [verifies(secret, body, headers) for secret in secrets]
        message = headers["webhook-id"]
        told = {"path": self.path, "id": message, "verified": verified, "body": json.loads(body)}
        with writing:
            print(json.dumps(told), flush=True)
        first = message not in seen
        seen.add(message)
        status = {"/gone": 410, "/broken": 500, "/slow": 429 if first else 200}.get(self.path, 200)
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", "1")
        self.send_header("content-length", "0")
        self.end_headers()


def verifies(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
        return True
    except WebhookVerificationError:
        return False


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
