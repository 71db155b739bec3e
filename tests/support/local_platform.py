# SPDX-License-Identifier: Apache-2.0
"""A platform on this machine to test, and the Python client (clients/python) as tests use it."""
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients/python"))

import millrace  # noqa: E402
from millrace import Problem, Unreachable  # noqa: E402, F401

READY_SECONDS = 90
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


class Client(millrace.Client):
    """The Python client without its retries, and what a test asks besides: what was refused, and what comes of it."""

    def __init__(self, url, key="", language="zh", timeout=30):
        super().__init__(url, key, language=language, timeout=timeout, retries=0)

    def post_until_known(self, path, body=None, idempotency_key=None, seconds=30):
        """Sends the same command with the same key until its outcome is known, as a careful client does."""
        key = idempotency_key or f"test-{uuid.uuid4()}"
        end = time.monotonic() + seconds
        while True:
            try:
                return self.post(path, body, key)
            except (Problem, Unreachable) as e:
                known = isinstance(e, Problem) and e.status not in (429, 502, 503, 504) and e.code != "IDEMPOTENCY_IN_PROGRESS"
                if known or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def wait(self, path, done, seconds=20):
        """Asks until `done(body)`; effects that follow from events take a moment."""
        end = time.monotonic() + seconds
        last = None
        while time.monotonic() < end:
            with contextlib.suppress(Unreachable):
                answer = self.send("GET", path)
                last = answer.body
                if answer.status == 200 and done(answer.body):
                    return answer
            time.sleep(0.03)
        raise AssertionError(f"waited {seconds} s in vain at {path}; last: {json.dumps(last, ensure_ascii=False)[:1500]}")

    def refuse(self, method, path, body=None, idempotency_key=None, headers=None):
        """The problem of a call that must be refused."""
        answer = self.send(method, path, body, idempotency_key, headers)
        assert answer.status >= 400, f"{method} {path} was not refused: {answer.status} {answer.raw[:300]}"
        assert answer.headers.get("content-type", "").startswith("application/problem+json"), answer.headers
        problem = Problem.of(answer)
        assert problem.body["status"] == answer.status
        return problem


def make_uscc(number):
    """A 统一社会信用代码 of an enterprise that does not exist, with a right check character (GB 32100-2015)."""
    code = "91320500MA"
    for place in range(7):
        code += USCC_ALPHABET[number // 31**place % 31]
    total = sum(USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(code))
    return code + USCC_ALPHABET[(31 - total % 31) % 31]


def program():
    """The millrace program: MILLRACE_PROGRAM, or the build of MILLRACE_PRESET (test)."""
    path = os.environ.get("MILLRACE_PROGRAM") or ROOT / "build" / os.environ.get("MILLRACE_PRESET", "test") / "bin/millrace"
    path = pathlib.Path(path)
    if not path.exists():
        raise AssertionError(f"{path} is not there; build it, or name it with MILLRACE_PROGRAM")
    return path


def copy_prepared(data):
    """If MILLRACE_PREPARED names a folder, copies the data of an instance that was started and stopped there once: an instance's first
    start takes thrice the time of its second, and stories have many."""
    prepared = os.environ.get("MILLRACE_PREPARED")
    if not prepared:
        return
    stopped = pathlib.Path(prepared) / "dev"
    with open(f"{stopped}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stopped.exists():
            made = Platform(prepared=False)
            made.end()
            made.data.rename(stopped)
    subprocess.run(["cp", "-a", f"{stopped}/.", data], check=True)


class Platform:
    """`millrace dev` on a data folder of its own."""

    def __init__(self, split=False, sample=False, settings=None, prepared=True):
        # Not under pytest's own folder: PostgreSQL leaves root and must be able to enter.
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="millrace-story-", dir=os.environ.get("MILLRACE_PREPARED")))
        self.data.chmod(0o755)
        if prepared:
            copy_prepared(self.data)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MILLRACE_")}
        # Those that `dev` hands on to its roles: otlp_endpoint, rate_limit_requests, rate_limit_window, verification_documents.
        environment.update({f"MILLRACE_{name.upper()}": str(value) for name, value in (settings or {}).items()})
        arguments = [str(program()), "dev", "--data", str(self.data), "--port", "0"]
        if not sample:
            arguments.append("--no-sample")
        if split:
            arguments.append("--split")
        self.output = ""
        self.process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self):
        end = time.monotonic() + READY_SECONDS
        while "Ready" not in [line.strip() for line in self.output.splitlines()]:
            readable, _, _ = select.select([self.process.stdout], [], [], 0.2)
            if readable:
                text = os.read(self.process.stdout.fileno(), 65536).decode(errors="replace")
                self.output += text
                if not text:
                    raise AssertionError(f"millrace dev ended before it was ready:\n{self.output}\n{self.logs()}")
            if time.monotonic() > end:
                raise AssertionError(f"millrace dev was not ready in {READY_SECONDS} s:\n{self.output}\n{self.logs()}")

    @property
    def instance(self):
        """dev.json as it is now; processes change when one was started again."""
        return json.loads((self.data / "dev.json").read_text())

    def client(self, key="", language="zh"):
        return Client(self.instance["url"], key, language)

    @property
    def operator(self):
        return self.client(self.instance["operator_key"])

    @property
    def bank(self):
        return Client(self.instance["custodian_url"], self.instance["custodian_key"])

    def pid(self, name):
        return self.instance["processes"][name]

    def kill(self, name):
        os.kill(self.pid(name), signal.SIGKILL)

    def wait_restarted(self, name, old_pid, seconds=20):
        """Waits until the role died and serves again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
                if self.pid(name) != old_pid and (self.data / "log" / f"{name}.ready").exists():
                    return
            time.sleep(0.03)
        raise AssertionError(f"{name} did not die and come back")

    def crash(self, name, point):
        """Starts a role anew; in its next life it dies once at the point. Its process id."""
        (self.data / "crash_point").write_text(f"{name} {point}\n")
        old_pid = self.pid(name)
        self.kill(name)
        self.wait_restarted(name, old_pid)
        assert not (self.data / "crash_point").exists()
        return self.pid(name)

    def flush_redis(self):
        with socket.socket(socket.AF_UNIX) as redis:
            redis.connect(self.instance["redis_socket"])
            redis.sendall(b"FLUSHALL\r\n")
            assert redis.recv(64).startswith(b"+OK")

    def sql(self, statements, fails=False):
        """What psql answers, as rows of text, as the database's owner; with `fails`, why it refused."""
        asked = subprocess.run(["psql", self.instance["database_url"], "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statements],
                               capture_output=True, text=True, timeout=60)
        assert (asked.returncode != 0) == fails, f"{statements}\n{asked.stdout}{asked.stderr}"
        return asked.stderr if fails else [line.split("\t") for line in asked.stdout.splitlines()]

    def logs(self, lines=15):
        text = ""
        for log in sorted((self.data / "log").glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-lines:]
            text += f"--- {log.name}\n" + "\n".join(tail) + "\n"
        return text

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.end()
        if not os.environ.get("MILLRACE_KEEP_DATA"):
            shutil.rmtree(self.data, ignore_errors=True)
