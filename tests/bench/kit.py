# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: interleaved runs, peers to compare with (nginx, pgbench), load (wrk), the disk's fsync figure, JSON."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PG_BIN = "/usr/lib/postgresql/15/bin/"


def say(text):
    print(text, flush=True)


def need(*programs):
    """Installs the Debian packages of programs that are missing: {program: package}."""
    packages = {"nginx": "nginx-light", "wrk": "wrk"}
    missing = [packages[p] for p in programs if not shutil.which(p) and not os.path.exists(f"/usr/sbin/{p}")]
    if missing:
        prefix = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run(prefix + ["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(prefix + ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], check=True,
                       stdout=subprocess.DEVNULL)


def seconds(command, **options):
    """Wall time of a command that must succeed."""
    began = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    took = time.monotonic() - began
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{run.stdout[-4000:]}")
    return took


def interleaved(contenders, rounds):
    """Runs each contender once a round, in turn; {name: [figures]}. Machines drift: compare within a round."""
    figures = {name: [] for name in contenders}
    for number in range(rounds):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in order:
            figures[name].append(contenders[name]())
    return figures


def ratio(figures, a, b):
    """Median of a/b over the rounds."""
    return statistics.median(x / y for x, y in zip(figures[a], figures[b]))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wrk(url, connections=32, duration=5, headers=()):
    """Requests a second, p99 in ms and errors of a wrk run on one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "--latency"]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run(command + [url], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    p99 = float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"rate": rate, "p99_ms": p99, "bad": int(bad.group(1)) if bad else 0}


@contextlib.contextmanager
def nginx(size=200):
    """nginx on loopback, one worker, serving a file of `size` bytes; yields its URL."""
    folder = tempfile.mkdtemp(prefix="millrace-nginx-")
    port = free_port()
    with open(f"{folder}/file", "wb") as f:
        f.write(b"x" * size)
    os.chmod(folder, 0o755)
    with open(f"{folder}/nginx.conf", "w") as f:
        f.write(f"""worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000000;
server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
""")
    process = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", folder, "-c", f"{folder}/nginx.conf"])
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}/file"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(folder)


def wait_for_port(port, limit=30):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    sys.exit(f"nothing listens on port {port}")


def fsync_us(folder):
    """Microseconds of one fdatasync on the disk of `folder`, as pg_test_fsync measures them."""
    out = subprocess.run([PG_BIN + "pg_test_fsync", "-s", "1", "-f", os.path.join(folder, "fsync-test")], capture_output=True, text=True)
    found = re.search(r"fdatasync\s+[\d.]+ ops/sec\s+(\d+) usecs/op", out.stdout)
    return int(found.group(1)) if found else None


def pgbench(database_url, script, clients=32, duration=5):
    """Transactions a second of a pgbench script, prepared, on the database of a running instance."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        out = subprocess.run([PG_BIN + "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(duration), "-f",
                              file.name, database_url], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"tps = ([\d.]+)", out).group(1))


class Instance:
    """A `millrace dev` on a folder of its own."""

    def __init__(self, program, *arguments, data=None):
        self.data = data or tempfile.mkdtemp(prefix="millrace-bench-")
        os.chmod(self.data, 0o755)
        began = time.monotonic()
        self.process = subprocess.Popen([program, "dev", "--data", self.data, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.strip() == "Ready":
                break
        else:
            sys.exit("millrace dev did not get ready")
        self.start_s = time.monotonic() - began
        with open(f"{self.data}/dev.json") as f:
            self.info = json.load(f)

    def stop(self, remove=True):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if remove:
            shutil.rmtree(self.data, ignore_errors=True)


def finish(figures):
    """The last line of a benchmark."""
    print(json.dumps(figures, ensure_ascii=False))
