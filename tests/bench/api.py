# SPDX-License-Identifier: Apache-2.0
"""The API beside its peers: reading one listing beside nginx serving a file; bookings beside pgbench on the same PostgreSQL, whose
transaction writes the rows that a booking writes. In one run, interleaved; ratios are what to quote."""
import concurrent.futures
import datetime
import os
import statistics
import sys
import time

import kit

sys.path[:0] = [f"{kit.ROOT}/tests/support", f"{kit.ROOT}/tests/story"]

from local_platform import Client  # noqa: E402
from world import World, rfc3339  # noqa: E402

ROUNDS = 3
SETUP = """CREATE TABLE IF NOT EXISTS public.bench_booking (id uuid PRIMARY KEY, body bytea, state int);
CREATE TABLE IF NOT EXISTS public.bench_entry (id bigserial PRIMARY KEY, booking uuid, body bytea);"""
SCRIPT = """BEGIN;
INSERT INTO public.bench_booking SELECT gen_random_uuid(), decode(repeat('ab', 600), 'hex'), 1;
INSERT INTO public.bench_entry (booking, body) VALUES (gen_random_uuid(), decode(repeat('ab', 300), 'hex'));
INSERT INTO public.bench_entry (booking, body) VALUES (gen_random_uuid(), decode(repeat('ab', 300), 'hex'));
INSERT INTO public.bench_entry (booking, body) VALUES (gen_random_uuid(), decode(repeat('ab', 300), 'hex'));
COMMIT;
"""


class Platform:
    """What World needs of a platform."""

    def __init__(self, instance):
        self.instance = instance.info
        self.operator = self.client(instance.info["operator_key"])

    def client(self, key="", language="zh"):
        return Client(self.instance["url"], key, language)


def bookings_a_second(world, buyer, listing, first, callers=16, each=12):
    """Bookings of distinct hours, unfunded, by so many callers at once."""
    def book(caller):
        done = 0
        for number in range(each):
            start = first + datetime.timedelta(hours=caller * each + number)
            buyer.client.post("/v1/bookings", {"listing_id": listing, "window": {
                "start_time": rfc3339(start), "end_time": rfc3339(start + datetime.timedelta(hours=1))}})
            done += 1
        return done

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        done = sum(pool.map(book, range(callers)))
    return done / (time.monotonic() - began)


def round_the_clock(world, provider):
    """A listing that is always open, at a small price."""
    resource = provider.client.post("/v1/resources", {"kind": "EQUIPMENT", "display_name": {"en": "bench"},
                                                      "place": {"longitude": 120.6, "latitude": 31.3}})
    listing = provider.client.post("/v1/listings", {
        "resource_id": resource["id"],
        "capability": {"processes": ["separating.milling.five_axis"]},
        "calendar": {"time_zone": "Asia/Shanghai",
                     "weekly": [{"weekday": day, "start_minute": 0, "end_minute": 1440} for day in range(1, 8)]},
        "price_plan": {"currency": "CNY", "unit": "HOUR", "steps": [{"from_minutes": "0", "unit_price": "100"}]}})
    provider.client.post(f"/v1/listings/{listing['id']}:publish")
    return listing["id"]


def main():
    kit.need("nginx", "wrk")
    kit.seconds(["scripts/build", "test", "millrace", "millrace-custodian"], cwd=kit.ROOT)
    instance = kit.Instance(f"{kit.ROOT}/build/test/bin/millrace", "--no-sample")
    try:
        kit.say(f"fdatasync {kit.fsync_us(instance.data)} us")
        world = World(Platform(instance))
        provider, buyer = world.organization(), world.organization()
        listing = round_the_clock(world, provider)
        url = f"{instance.info['url']}/v1/listings/{listing}"
        with kit.nginx() as file_url:
            reads = kit.interleaved({
                "api": lambda: kit.wrk(url, headers=[f"Authorization: Bearer {buyer.secret}"]),
                "nginx": lambda: kit.wrk(file_url)}, ROUNDS)
        bad = sum(run["bad"] for run in reads["api"])
        rates = {name: [run["rate"] for run in runs] for name, runs in reads.items()}
        kit.say("reading one listing, 32 connections (requests a second, p99):")
        for name in reads:
            kit.say(f"  {name:6} " + "  ".join(f"{run['rate']:8.0f} {run['p99_ms']:6.2f} ms" for run in reads[name]))
        database = instance.info["database_url"]
        os.environ["PGOPTIONS"] = "-c client_min_messages=warning"
        kit.seconds(["psql", "-q", database, "-c", SETUP])
        first = [world.now().replace(minute=0, second=0, microsecond=0) + datetime.timedelta(days=2)]

        def book():
            first[0] += datetime.timedelta(days=20)
            return bookings_a_second(world, buyer, round_the_clock(world, provider), first[0])

        writes = kit.interleaved({"bookings": book, "pgbench": lambda: kit.pgbench(database, SCRIPT, clients=16, duration=4)}, ROUNDS)
        kit.say("bookings of 16 callers (two commits each, and a hold at escrow) beside pgbench transactions of 16 clients, a second:")
        for name in writes:
            kit.say(f"  {name:9} " + "  ".join(f"{rate:8.0f}" for rate in writes[name]))
        world.verify_ledger()
        kit.finish({"get_ratio": round(kit.ratio(rates, "api", "nginx"), 3),
                    "get_rate": round(statistics.median(rates["api"])),
                    "p99_ms": round(statistics.median(run["p99_ms"] for run in reads["api"]), 2), "get_errors": bad,
                    "booking_ratio": round(kit.ratio(writes, "bookings", "pgbench"), 3),
                    "booking_rate": round(statistics.median(writes["bookings"]))})
    finally:
        instance.stop()


if __name__ == "__main__":
    main()
