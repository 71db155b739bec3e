# SPDX-License-Identifier: Apache-2.0
"""The edge beside nginx, in one run, interleaved: reading one listing through gateway and service in one process and over gRPC between
two, answers of 304, what a request costs the processor, what an idle connection holds, and what a key costs a write."""
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile

import kit
from api import Platform, round_the_clock

sys.path[:0] = [f"{kit.ROOT}/clients/python", f"{kit.ROOT}/tests/support", f"{kit.ROOT}/tests/story"]

from world import World  # noqa: E402

ROUNDS = 3
IDLE = 2000
UPDATE = """wrk.method = "PUT"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["If-Match"] = "*"
wrk.body = [[%s]]
local n = 0
request = function()
  n = n + 1
  %s
  return wrk.format()
end
"""
KEY = 'wrk.headers["Idempotency-Key"] = "bench-%s-" .. n'


def processor_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


class Target:
    """A platform with one published listing."""

    def __init__(self, program, *arguments):
        self.instance = kit.Instance(program, "--no-sample", *arguments)
        self.world = World(Platform(self.instance))
        self.provider, self.buyer = self.world.organization(), self.world.organization()
        self.listing = round_the_clock(self.world, self.provider)
        self.path = f"/v1/listings/{self.listing}"
        self.url = self.instance.info["url"] + self.path
        self.auth = f"Authorization: Bearer {self.buyer.secret}"
        head = subprocess.run(["curl", "-si", "-H", self.auth, self.url], capture_output=True, text=True, check=True).stdout
        self.etag = next(line.split(": ", 1)[1].strip() for line in head.splitlines() if line.lower().startswith("etag:"))
        processes = self.instance.info["processes"]
        self.gateway = processes.get("all") or processes["gateway"]

    def read(self, *headers):
        before = processor_s(self.gateway)
        run = kit.wrk(self.url, headers=[self.auth, *headers])
        run["cpu_us"] = (processor_s(self.gateway) - before) / (run["rate"] * 5) * 1e6
        return run

    def bare(self):
        """A route that asks no service: what the server itself costs."""
        before = processor_s(self.gateway)
        run = kit.wrk(self.instance.info["url"] + "/livez")
        run["cpu_us"] = (processor_s(self.gateway) - before) / (run["rate"] * 5) * 1e6
        return run


def idle_memory(target):
    """KiB of the gateway's process for each connection that has asked once and stays open; and a healthy caller's p99 beside them."""
    quiet = target.read()
    before = resident_kb(target.gateway)
    address = (target.instance.info["url"].split("/")[2].split(":")[0], int(target.instance.info["url"].rsplit(":", 1)[1]))
    sockets = []
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            s = stack.enter_context(socket.create_connection(address))
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            sockets.append(s)
        for s in sockets:
            s.recv(4096)
        held = resident_kb(target.gateway) - before
        beside = target.read()
    return held / IDLE, beside["p99_ms"] / quiet["p99_ms"], beside["bad"]


def put_rate(target, resource, body, keyed, number=[0]):
    number[0] += 1
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(UPDATE % (body, KEY % number[0] if keyed else ""))
        script.flush()
        out = subprocess.run(["wrk", "-t1", "-c16", "-d4s", "-s", script.name, "-H",
                              f"Authorization: Bearer {target.provider.secret}",
                              f"{target.instance.info['url']}/v1/resources/{resource}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"PUT was refused:\n{out}")
    return float(next(line.split()[1] for line in out.splitlines() if line.startswith("Requests/sec")))


def main():
    kit.need("nginx", "wrk")
    kit.seconds(["scripts/build", "test", "millrace", "millrace-custodian"], cwd=kit.ROOT)
    program = f"{kit.ROOT}/build/test/bin/millrace"
    os.environ["MILLRACE_HTTP_CONNECTIONS_PER_PEER"] = str(2 * IDLE)  # all idle connections come from one address
    whole = Target(program)
    split = Target(program, "--split")
    try:
        kit.say(f"fdatasync {kit.fsync_us(whole.instance.data)} us")
        with kit.nginx() as file_url:
            runs = kit.interleaved({
                "one process": whole.read,
                "split": split.read,
                "304": lambda: whole.read(f"If-None-Match: {whole.etag}"),
                "bare": whole.bare,
                "nginx": lambda: kit.wrk(file_url)}, ROUNDS)
        kit.say(f"reading one listing, 32 connections{'':10} requests a second       p99 ms    gateway process, us a request")
        for name, each in runs.items():
            kit.say(f"  {name:12}" + "".join(f" {run['rate']:8.0f}" for run in each) + "   "
                    + "".join(f" {run['p99_ms']:6.2f}" for run in each) + "   "
                    + "".join(f" {run['cpu_us']:6.0f}" for run in each if "cpu_us" in run))
        rates = {name: [run["rate"] for run in each] for name, each in runs.items()}
        figure = {name: {key: statistics.median(run[key] for run in each) for key in each[0]} for name, each in runs.items()}
        held, p99_beside, bad = idle_memory(whole)
        kit.say(f"{IDLE} idle connections: {held:.1f} KiB each; a healthy caller's p99 is {p99_beside:.2f} of before")
        body = '{"kind": "EQUIPMENT", "display_name": {"en": "bench"}, "place": {"longitude": 120.6, "latitude": 31.3}}'
        made = whole.provider.client.post("/v1/resources", {"kind": "EQUIPMENT", "display_name": {"en": "bench"},
                                                            "place": {"longitude": 120.6, "latitude": 31.3}})
        writes = kit.interleaved({"keyed": lambda: put_rate(whole, made["id"], body, True),
                                  "bare": lambda: put_rate(whole, made["id"], body, False)}, ROUNDS)
        kit.say("PUT of one resource, 16 connections: with a key " + " ".join(f"{r:.0f}" for r in writes["keyed"])
                + ", without " + " ".join(f"{r:.0f}" for r in writes["bare"]) + " a second")
        errors = sum(run["bad"] for each in runs.values() for run in each) + bad
        kit.finish({"get_ratio": round(kit.ratio(rates, "one process", "nginx"), 3),
                    "get_split_ratio": round(kit.ratio(rates, "split", "nginx"), 3),
                    "etag_ratio": round(kit.ratio(rates, "304", "nginx"), 3),
                    "get_rate": round(figure["one process"]["rate"]), "nginx_rate": round(figure["nginx"]["rate"]),
                    "p99_ms": round(figure["one process"]["p99_ms"], 2), "nginx_p99_ms": round(figure["nginx"]["p99_ms"], 2),
                    "gateway_cpu_us": round(figure["split"]["cpu_us"], 1), "server_cpu_us": round(figure["bare"]["cpu_us"], 1),
                    "idle_connection_kib": round(held, 1), "idle_p99_ratio": round(p99_beside, 2),
                    "key_cost": round(1 - kit.ratio(writes, "keyed", "bare"), 3), "errors": errors})
    finally:
        whole.instance.stop()
        split.instance.stop()


if __name__ == "__main__":
    main()
