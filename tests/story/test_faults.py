# SPDX-License-Identifier: Apache-2.0
"""kill -9 at named points, a lost Redis, a silent bank: money and capacity come out right."""
import concurrent.futures
import datetime
import itertools
import os
import threading
import time
import uuid

import pytest

from local_platform import Problem
from world import DEPOSIT, PAYOUT, TOTAL, fen, parse

ROUNDS = int(os.environ.get("MILLRACE_ROUNDS", "1"))


def conserved(world, buyer, paid_in):
    """What came in is available, held, or left with the bank by a pay-out; nothing else."""
    balance = world.balance(buyer)
    assert balance["available"] + balance["held"] == paid_in, balance


@pytest.mark.parametrize("role, point", [
    ("operations", "operations.after_reservation"),
    ("operations", "operations.after_hold"),
    ("operations", "operations.before_answer"),
    ("escrow", "escrow.after_pay_in_notice"),
])
def test_killed_between_two_effects(split_world, role, point):
    """The role dies once at the point, in the course of one booking that is paid before or after."""
    world = split_world
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    listing = world.listing(provider)
    pid = world.platform.crash(role, point)
    key = f"test-{uuid.uuid4()}"
    body = world.booking_body(listing, world.window())
    booked = buyer.client.post_until_known("/v1/bookings", body, key).body
    assert booked["state"] in ("HELD", "CONFIRMED")
    # The same key names the same booking: one was made, not two.
    assert buyer.client.post_until_known("/v1/bookings", body, key)["id"] == booked["id"]
    world.escrow(buyer, booked["id"], "AWAITING", seconds=30)
    world.transfer(buyer, TOTAL + DEPOSIT)
    world.platform.wait_restarted(role, pid)
    world.booking(buyer, booked["id"], "CONFIRMED", seconds=40)
    world.escrow(buyer, booked["id"], "HELD")
    assert len(buyer.client.get("/v1/bookings").body["data"]) == 1
    assert world.balance(buyer) == {"available": 0, "held": TOTAL + DEPOSIT, "payable": 0}
    rival = world.organization("示例同行")
    assert rival.client.refuse("POST", "/v1/bookings", body).code == "BOOKING_CONFLICT"


def test_escrow_killed_before_its_answer(split_world):
    """The answer is lost, not the decision: the same key gives it after the restart."""
    world = split_world
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    listing = world.listing(provider)
    booked = buyer.client.post_until_known("/v1/bookings", world.booking_body(listing, world.window())).body
    escrow = world.escrow(buyer, booked["id"], "AWAITING", seconds=30)
    world.transfer(buyer, TOTAL + DEPOSIT)
    world.booking(buyer, booked["id"], "CONFIRMED", seconds=40)
    pid = world.platform.crash("escrow", "escrow.before_answer")
    with pytest.raises(Problem) as refused:
        buyer.client.post_until_known(f"/v1/escrows/{escrow['id']}:release")
    assert refused.value.code == "NOT_ACCEPTED_YET"
    world.platform.wait_restarted("escrow", pid)
    conserved(world, buyer, TOTAL + DEPOSIT)


def test_killed_at_any_moment_under_load(split_world):
    """operations and escrow die in turn while bookings are made and paid; every booking ends once, and no fen is lost."""
    world = split_world
    provider = world.organization("示例提供方")
    buyers = [world.organization(f"示例需求方 {n}") for n in range(4)]
    listing = world.listing(provider, funding_window_minutes=60)
    count = 12 * min(ROUNDS, 5)  # one slot a day, within the calendar's horizon
    stop, killed = threading.Event(), []

    def killer():
        for role in itertools.cycle(("operations", "escrow")):
            if stop.wait(0.2):
                return
            old = world.platform.pid(role)
            world.platform.kill(role)
            world.platform.wait_restarted(role, old)
            killed.append(role)

    def trade(n):
        buyer = buyers[n % len(buyers)]
        body = world.booking_body(listing, windows[n])
        booked = buyer.client.post_until_known("/v1/bookings", body, f"load-{n:08}", seconds=60).body
        while True:
            try:
                world.transfer(buyer, TOTAL + DEPOSIT)
                break
            except Exception:  # escrow is down for a moment: the reference is asked again
                time.sleep(0.2)
        return buyer, booked

    windows = [world.window(days=2 + n) for n in range(count)]
    thread = threading.Thread(target=killer)
    thread.start()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        trades = list(pool.map(trade, range(count)))
    stop.set()
    thread.join()
    assert len(killed) >= 2
    for buyer, booked in trades:
        world.booking(buyer, booked["id"], "CONFIRMED", seconds=60)
    assert len({booked["id"] for _, booked in trades}) == count
    for buyer in buyers:
        buyer.client.wait("/v1/balance", lambda body: fen(body.get("held", {})) == count // 4 * (TOTAL + DEPOSIT))
        conserved(world, buyer, count // 4 * (TOTAL + DEPOSIT))


def test_killed_before_the_money_comes_the_slot_is_freed(split_world):
    """A booking whose service died holds its slot no longer than its funding window."""
    world = split_world
    provider, buyer, other = (world.organization() for _ in range(3))
    listing = world.listing(provider, funding_window_minutes=60)
    pid = world.platform.crash("operations", "operations.after_hold")
    body = world.booking_body(listing, world.window(days=3))
    booked = buyer.client.post_until_known("/v1/bookings", body).body
    world.platform.wait_restarted("operations", pid)
    world.operator.post_until_known("/v1/clock:advance", {
        "to_time": (world.now() + datetime.timedelta(minutes=61)).strftime("%Y-%m-%dT%H:%M:%SZ")}, seconds=60)
    world.booking(buyer, booked["id"], "EXPIRED")
    world.escrow(buyer, booked["id"], "EXPIRED", "VOIDED")
    assert other.client.post("/v1/bookings", body)["state"] == "HELD"


def test_redis_loses_everything_in_mid_story(split_world):
    world = split_world
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    listing = world.listing(provider)
    world.platform.flush_redis()
    window = world.window(days=2)
    booked = world.book(buyer, listing, window)
    world.platform.flush_redis()
    world.transfer(buyer, TOTAL + DEPOSIT)
    world.platform.flush_redis()
    world.booking(buyer, booked["id"], "CONFIRMED")
    world.advance(parse(window["start_time"]))
    provider.client.post(f"/v1/bookings/{booked['id']}:checkIn")
    world.platform.flush_redis()
    provider.client.post(f"/v1/bookings/{booked['id']}:checkOut")
    buyer.client.post(f"/v1/bookings/{booked['id']}:close")
    settled = world.escrow(buyer, booked["id"], "PAID_OUT")
    assert fen(settled["payout"]) == PAYOUT


def settle_with_fault(world, mode):
    """Trades up to the acceptance, with the bank at fault when the pay-out is instructed."""
    provider, buyer = world.organization("示例提供方"), world.organization("示例需求方")
    listing = world.listing(provider)
    window = world.window(days=2)
    world.pay_in(buyer, TOTAL + DEPOSIT)
    booked = world.book(buyer, listing, window)
    world.booking(buyer, booked["id"], "CONFIRMED")
    world.advance(parse(window["start_time"]))
    provider.client.post(f"/v1/bookings/{booked['id']}:checkIn")
    provider.client.post(f"/v1/bookings/{booked['id']}:checkOut")
    before = int(world.platform.bank.get("/v1/account")["balance"])
    world.platform.bank.post("/sandbox/faults", {"mode": mode, "count": 0})
    return buyer, provider, booked, before


@pytest.mark.parametrize("mode", ["silent", "refuse", "lose_answer"])
def test_the_custodian_fails_when_the_payout_is_instructed(split_world, mode):
    world = split_world
    buyer, provider, booked, before = settle_with_fault(world, mode)
    try:
        # The buyer's acceptance does not wait for the bank.
        buyer.client.post(f"/v1/bookings/{booked['id']}:close")
        world.booking(buyer, booked["id"], "CLOSED")
        # Nobody knows what became of the instruction, and the ledger keeps it open: neither paid nor taken back.
        unknown = provider.client.wait(
            f"/v1/escrows?booking_id={booked['id']}", lambda body: body["data"][0]["payout_state"] == "UNKNOWN", 40)["data"][0]
        assert unknown["state"] == "CAPTURED"
        assert world.balance(provider)["payable"] == PAYOUT
    finally:
        world.platform.bank.post("/sandbox/faults", {"mode": "none", "count": 0})
    # Retries are paced by business time: let some pass until the bank has answered.
    for _ in range(20):
        if world.escrow(buyer, booked["id"], "CAPTURED", "PAID_OUT")["state"] == "PAID_OUT":
            break
        world.advance(world.now() + datetime.timedelta(minutes=10))
        time.sleep(0.5)
    settled = world.escrow(buyer, booked["id"], "PAID_OUT")
    assert settled["payout_state"] == "DONE" and fen(settled["payout"]) == PAYOUT
    # Paid once, however often it was asked.
    assert int(world.platform.bank.get("/v1/account")["balance"]) == before - PAYOUT
    world.booking(buyer, booked["id"], "CLOSED")
