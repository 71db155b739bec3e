# SPDX-License-Identifier: Apache-2.0
"""A webhook receiver on loopback, with its own signature check."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time


class Received:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.id = headers["webhook-id"]
        self.event = json.loads(body)

    def signed_by(self, secret):
        """Whether one of the signatures is this secret's (Standard Webhooks), and the time is now."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        stamp = self.headers["webhook-timestamp"]
        text = f"{self.id}.{stamp}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ") and abs(time.time() - int(stamp)) < 300


class Receiver:
    """Answers 204, or what `answers` (status, headers) holds for the next requests; `pause` seconds late."""

    def __init__(self):
        self.got, self.answers, self.pause = [], [], 0.0
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    receiver.got.append(Received(self.path, self.headers, body))
                    status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                time.sleep(receiver.pause)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a sender that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def wait(self, done, seconds=20):
        """What was received, once `done(list)`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.lock:
                got = list(self.got)
            if done(got):
                return got
            time.sleep(0.03)
        raise AssertionError(f"waited {seconds} s in vain; received: {[(one.path, one.event['type']) for one in got]}")
