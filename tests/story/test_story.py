# SPDX-License-Identifier: Apache-2.0
"""A whole trade over HTTP, with its money to the fen."""
import datetime

from world import DEPOSIT, FEE, HOUR, NET, PAYOUT, TOTAL, VAT, fen, parse


def test_a_trade_from_registration_to_payout(world):
    provider, buyer, rival = (world.organization(name) for name in ("示例提供方", "示例需求方", "示例同行"))
    listing = world.listing(provider)
    window = world.window()

    quote = buyer.client.post(f"/v1/listings/{listing['id']}:price", {"window": window}).body
    assert [line["code"] for line in quote["lines"]] == ["TIME", "SETUP", "VAT"]
    assert (fen(quote["net"]), fen(quote["vat"]), fen(quote["total"]), fen(quote["deposit"])) == (NET, VAT, TOTAL, DEPOSIT)
    assert sum(int(line["amount"]) for line in quote["lines"]) == TOTAL

    booked = world.book(buyer, listing, window, work="铣削 40 件 6061 铝合金支架")
    assert booked["state"] == "HELD" and booked["price"] == quote
    assert parse(booked["deadline_time"]) > world.now()
    assert any(action.get("deadline_time") for action in booked["actions"])

    refused = rival.client.refuse("POST", "/v1/bookings", world.booking_body(listing, window))
    assert (refused.status, refused.code) == (409, "BOOKING_CONFLICT")
    assert refused.body["alternatives"]
    for free in refused.body["alternatives"]:
        assert parse(free["end_time"]) <= parse(window["start_time"]) or parse(free["start_time"]) >= parse(window["end_time"])

    early = provider.client.refuse("POST", f"/v1/bookings/{booked['id']}:checkIn", {})
    assert early.code in ("BOOKING_NOT_FUNDED", "TOO_EARLY", "STATE_CONFLICT") and early.status == 409

    # Money comes to the custodian in two parts; the booking confirms when both are there.
    escrow = world.escrow(buyer, booked["id"], "AWAITING")
    assert fen(escrow["missing"]) == TOTAL + DEPOSIT
    world.transfer(buyer, TOTAL)
    buyer.client.wait("/v1/balance", lambda body: fen(body["available"]) == TOTAL)
    assert world.booking(buyer, booked["id"], "HELD")["state"] == "HELD"
    assert fen(world.escrow(buyer, booked["id"], "AWAITING")["missing"]) == DEPOSIT
    world.transfer(buyer, DEPOSIT)
    world.booking(buyer, booked["id"], "CONFIRMED")
    assert world.escrow(buyer, booked["id"], "HELD")["state"] == "HELD"
    assert world.balance(buyer) == {"available": 0, "held": TOTAL + DEPOSIT, "payable": 0}

    world.advance(parse(window["start_time"]) - datetime.timedelta(minutes=10))
    checked_in = provider.client.post(f"/v1/bookings/{booked['id']}:checkIn").body
    assert checked_in["state"] == "CHECKED_IN"
    assert provider.client.post(f"/v1/bookings/{booked['id']}:start")["state"] == "IN_USE"
    order = f"/v1/work_orders/{checked_in['work_order_id']}"
    assert provider.client.post(order + ":start")["state"] == "IN_PROGRESS"
    unaccepted = buyer.client.refuse("POST", f"/v1/escrows/{escrow['id']}:release", {})
    assert (unaccepted.status, unaccepted.code) == (409, "NOT_ACCEPTED_YET")
    assert provider.client.post(order + ":deliver", {"note": "40 件，附检验记录"})["state"] == "DELIVERED"
    assert provider.client.post(f"/v1/bookings/{booked['id']}:checkOut")["state"] == "CHECKED_OUT"
    assert buyer.client.post(order + ":accept", {"note": "合格"})["state"] in ("ACCEPTED", "CLOSED")

    settled = world.escrow(buyer, booked["id"], "PAID_OUT")
    assert fen(settled["captured"]) == TOTAL
    assert fen(settled["fee"]) == FEE
    assert fen(settled["payout"]) == PAYOUT
    assert fen(settled["returned"]) == DEPOSIT
    world.booking(buyer, booked["id"], "CLOSED")
    assert world.balance(buyer) == {"available": DEPOSIT, "held": 0, "payable": 0}
    assert world.balance(provider) == {"available": 0, "held": 0, "payable": 0}

    # The bank paid the provider exactly that, and the rest still lies there.
    assert world.platform.bank.get("/v1/account")["balance"] == str(TOTAL + DEPOSIT - PAYOUT)
    for transfer in buyer.client.get(f"/v1/transfers?escrow_id={escrow['id']}")["data"]:
        assert sum(fen(entry["amount"]) for entry in transfer["entries"]) == 0, transfer


def test_a_booking_that_nobody_pays_expires_and_frees_its_slot(world):
    provider, buyer, other = (world.organization() for _ in range(3))
    listing = world.listing(provider, funding_window_minutes=60)
    window = world.window(days=3)
    booked = world.book(buyer, listing, window)
    assert booked["state"] == "HELD"
    world.advance(parse(booked["deadline_time"]) + datetime.timedelta(minutes=1))
    expired = world.booking(buyer, booked["id"], "EXPIRED")
    assert all("release_time" in leg for leg in expired["reservations"])
    world.escrow(buyer, booked["id"], "EXPIRED", "VOIDED")
    again = world.book(other, listing, window)
    assert again["state"] == "HELD"
    # Money that comes now is the buyer's own balance; it funds nothing any more.
    world.pay_in(buyer, TOTAL + DEPOSIT)
    assert buyer.client.get(f"/v1/bookings/{booked['id']}")["state"] == "EXPIRED"
    assert world.balance(buyer) == {"available": TOTAL + DEPOSIT, "held": 0, "payable": 0}


def test_a_balance_that_covers_it_confirms_at_once_and_cancelling_gives_it_back(world):
    provider, buyer = world.organization(), world.organization()
    listing = world.listing(provider)
    world.pay_in(buyer, TOTAL + DEPOSIT)
    booked = world.book(buyer, listing, world.window(days=5))
    assert booked["state"] in ("CONFIRMED", "HELD")
    world.booking(buyer, booked["id"], "CONFIRMED")
    canceled = buyer.client.post(f"/v1/bookings/{booked['id']}:cancel", {"reason": "改期"}).body
    assert canceled["state"] == "CANCELED" and canceled["canceled_by"] == "buyer"
    world.escrow(buyer, booked["id"], "VOIDED", "CAPTURED", "PAID_OUT")
    buyer.client.wait("/v1/balance", lambda body: fen(body["available"]) == TOTAL + DEPOSIT)


def test_delivered_and_not_judged_is_accepted_by_default(world):
    provider, buyer = world.organization(), world.organization()
    listing = world.listing(provider, acceptance_window_minutes=24 * 60)
    window = world.window(days=4)
    world.pay_in(buyer, TOTAL + DEPOSIT)
    booked = world.book(buyer, listing, window)
    world.booking(buyer, booked["id"], "CONFIRMED")
    world.advance(parse(window["start_time"]))
    assert provider.client.post(f"/v1/bookings/{booked['id']}:checkIn")["state"] == "CHECKED_IN"
    assert provider.client.post(f"/v1/bookings/{booked['id']}:checkOut")["state"] == "CHECKED_OUT"
    world.advance(world.now() + 25 * HOUR)
    closed = world.booking(buyer, booked["id"], "CLOSED")
    assert closed["deemed_accepted"] is True
    settled = world.escrow(buyer, booked["id"], "PAID_OUT", "CAPTURED")
    assert fen(settled["captured"]) == TOTAL and fen(settled["payout"]) == PAYOUT
