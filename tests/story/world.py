# SPDX-License-Identifier: Apache-2.0
"""What the stories are made of: organizations, listings, money, bookings."""
import datetime
import itertools
import random
import uuid

from local_platform import make_uscc

HOUR = datetime.timedelta(hours=1)
# 260.00 CNY an hour, 200.05 set-up, 500.00 deposit, 13 % VAT on top; four hours:
#   time 1040.00 + set-up 200.05 = 1240.05; VAT 161.2065 -> 161.21; total 1401.26; fee 3 % 42.0378 -> 42.04
UNIT_PRICE, SETUP, DEPOSIT = 26000, 20005, 50000
NET, VAT, TOTAL, FEE = 124005, 16121, 140126, 4204
PAYOUT = TOTAL - FEE


def rfc3339(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def fen(money):
    """The amount of a Money; minor units travel as a string, and a zero may be left out."""
    assert money.get("currency", "CNY") == "CNY"
    amount = money.get("amount", "0")
    assert isinstance(amount, str), f"money must be a string of minor units: {money}"
    return int(amount)


class Organization:
    def __init__(self, id, name, client, secret):
        self.id, self.name, self.client, self.secret = id, name, client, secret


class World:
    def __init__(self, platform):
        self.platform = platform
        self.operator = platform.operator
        self._numbers = itertools.count(random.randrange(31**6))

    def organization(self, name="示例企业", verify=True):
        made = self.platform.client().post(
            "/v1/organizations",
            {"display_name": name, "uscc": make_uscc(next(self._numbers)), "industry_code": "C3425",
             "region_code": "320583", "synthetic": True})
        secret, id = made["api_key"]["secret"], made["organization"]["id"]
        if verify:
            verified = self.operator.post(f"/v1/organizations/{id}:verify")
            assert verified["state"] == "VERIFIED"
        return Organization(id, name, self.platform.client(secret), secret)

    def officer(self, name="officer"):
        """A client of one more person of the operator's."""
        invited = self.operator.post("/v1/members", {
            "display_name": name, "email": f"{name}-{uuid.uuid4()}@operator.example", "roles": ["operator"]})
        accepted = self.platform.client().post("/v1/members:accept", {"code": invited["code"]})
        return self.platform.client(accepted["api_key"]["secret"], "en")

    def now(self):
        return parse(self.operator.get("/v1/clock")["now"])

    def advance(self, to):
        return self.operator.post("/v1/clock:advance", {"to_time": rfc3339(to)})

    def window(self, days=2, start_hour=1, hours=4):
        """`days` from today, at `start_hour` UTC (01:00Z is 09:00 in Shanghai)."""
        day = self.now().replace(hour=0, minute=0, second=0, microsecond=0) + datetime.timedelta(days=days)
        start = day + start_hour * HOUR
        return {"start_time": rfc3339(start), "end_time": rfc3339(start + hours * HOUR)}

    def listing_body(self, resource_id, **terms):
        return {
            "resource_id": resource_id,
            "capability": {"processes": ["separating.milling.five_axis"], "materials": ["aluminium"], "tolerance_um": "10"},
            "calendar": {
                "time_zone": "Asia/Shanghai",
                "weekly": [{"weekday": day, "start_minute": 480, "end_minute": 1200} for day in range(1, 8)],
                "min_duration_minutes": 60, "lead_time_minutes": 60},
            "price_plan": {
                "currency": "CNY", "unit": "HOUR", "steps": [{"from_minutes": "0", "unit_price": str(UNIT_PRICE)}],
                "setup_fee": str(SETUP), "deposit": str(DEPOSIT), "vat_basis_points": "1300", "vat_included": False},
            "terms": terms,
        }

    def resource(self, provider):
        return provider.client.post("/v1/resources", {
            "kind": "EQUIPMENT", "display_name": {"zh": "五轴加工中心", "en": "5-axis machining centre"},
            "maker": "DMG MORI", "model": "DMU 50", "place": {"longitude": 120.62, "latitude": 31.32},
            "attributes": {"equipment": {"machine_type": "5-axis machining centre", "axes": 5}}}).body

    def listing(self, provider, **terms):
        """A published listing, open every day 08:00 to 20:00 in Shanghai."""
        draft = provider.client.post("/v1/listings", self.listing_body(self.resource(provider)["id"], **terms))
        published = provider.client.post(f"/v1/listings/{draft['id']}:publish")
        assert published["state"] == "PUBLISHED"
        return published.body

    def booking_body(self, listing, window, **more):
        return {"listing_id": listing["id"], "listing_version": listing["version"], "window": window, **more}

    def book(self, buyer, listing, window, **more):
        return buyer.client.post("/v1/bookings", self.booking_body(listing, window, **more)).body

    def transfer(self, buyer, amount):
        """Money leaves the buyer's own bank for the custodian, naming the buyer's reference."""
        balance = buyer.client.get("/v1/balance")
        self.platform.bank.post("/sandbox/transfers", {
            "amount": str(amount), "currency": "CNY", "reference": balance["payment_reference"], "payer_name": buyer.name})

    def pay_in(self, buyer, amount):
        before = fen(buyer.client.get("/v1/balance")["available"])
        self.transfer(buyer, amount)
        buyer.client.wait("/v1/balance", lambda body: fen(body["available"]) == before + amount)

    def booking(self, party, id, *states, seconds=20):
        return party.client.wait(f"/v1/bookings/{id}", lambda body: body["state"] in states, seconds).body

    def escrow(self, party, booking_id, *states, seconds=20):
        path = f"/v1/escrows?booking_id={booking_id}"
        done = lambda body: len(body.get("data", [])) == 1 and body["data"][0]["state"] in states
        return party.client.wait(path, done, seconds).body["data"][0]

    def verify_ledger(self, seconds=20):
        """Every check of the ledger holds; the custodian's side may take a moment to be heard."""
        report = self.operator.wait("/v1/ledger:verify", lambda body: body.get("passed") is True, seconds).body
        assert report["checks"] and all(check.get("passed") for check in report["checks"]), report
        return report

    def balance(self, organization):
        body = organization.client.get("/v1/balance").body
        return {name: fen(body.get(name, {})) for name in ("available", "held", "payable")}
