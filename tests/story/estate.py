# SPDX-License-Identifier: Apache-2.0
"""One object of every kind that a route can name, all of one organization: for tests that go over every route."""
import json
import uuid

from local_platform import make_uscc


class Estate:
    """`firm` owns everything; the booking of its listing is `buyer`'s."""

    def __init__(self, world):
        self.world = world
        self.firm, self.buyer = world.organization("示例业主"), world.organization("示例租户")
        client = self.firm.client
        self.listing = world.listing(self.firm)
        self.draft = client.post("/v1/listings", world.listing_body(world.resource(self.firm)["id"])).body
        self.booking = world.book(self.buyer, self.listing, world.window(days=20), work="一件")
        self.endpoint = client.post("/v1/webhook_endpoints", {"url": "http://127.0.0.1:9/hook", "types": ["nothing"]}).body
        template = client.send("GET", "/v1/import_template?kind=EQUIPMENT").raw
        made = {
            "sites": client.post("/v1/sites", {"display_name": "厂房", "place": {"longitude": 120.6, "latitude": 31.3}}),
            "api_keys": client.post("/v1/api_keys", {"display_name": "第二"}),
            "members": client.post("/v1/members", {"display_name": "某人", "email": f"{uuid.uuid4().hex}@example.com",
                                                   "roles": ["buyer"]}),
            "demands": client.post("/v1/demands", self.demand_body()),
            "imports": client.send("POST", "/v1/imports", template, f"test-{uuid.uuid4()}", {"Content-Type": "text/csv"}),
            "documents": client.send("POST", "/v1/documents?kind=BUSINESS_LICENSE&file_name=licence.pdf", b"%PDF-1.7\n",
                                     f"test-{uuid.uuid4()}", {"Content-Type": "application/pdf"}),
            "webhook_deliveries": client.post(f"/v1/webhook_endpoints/{self.endpoint['id']}:ping"),
        }
        self.api_key = made["api_keys"].body
        # By the path's first word, what stands for {…} in it.
        self.ids = {noun: answer["id"] for noun, answer in made.items()} | self.of_the_office()
        stored = client.send("POST", "/v1/attachments", f"图纸 {self.firm.id}".encode(), f"test-{uuid.uuid4()}",
                             {"Content-Type": "text/plain"})
        escrows = client.wait(f"/v1/escrows?booking_id={self.booking['id']}", lambda body: body.get("data")).body
        events = client.wait("/v1/events", lambda body: body["data"]).body
        self.ids |= {
            "organizations": self.firm.id, "resources": self.draft["resource_id"], "listings": self.draft["id"],
            "bookings": self.booking["id"], "work_orders": self.booking["work_order_id"], "escrows": escrows["data"][0]["id"],
            "webhook_endpoints": self.endpoint["id"], "events": events["data"][0]["id"], "attachments": stored["sha256"]}

    def of_the_office(self):
        """What the operator alone has."""
        register = f"uscc,display_name\n{make_uscc(uuid.uuid4().int)},示例受邀\n".encode()
        invited = self.world.operator.send("POST", "/v1/register_invitations:import", register, f"test-{uuid.uuid4()}",
                                           {"Content-Type": "text/csv"})
        asked = self.world.officer().post("/v1/approvals", {
            "method": "millrace.identity.v1.Identity.RejectOrganization", "reason": "x",
            "request": json.dumps({"id": self.firm.id, "reason": "x"})})
        return {"register_invitations": invited["invitations"][0]["id"], "approvals": asked["id"]}

    def demand_body(self):
        return {"title": "支架", "requirement": {"duration_minutes": "240", "window": self.world.window(days=3, hours=100),
                                               "processes": ["separating.milling.five_axis"]}}

    def party(self, route):
        """Who may call the route, as far as a role decides that."""
        if route.roles and not route.roles & {"buyer", "provider", "admin"}:
            return self.world.operator
        return self.buyer.client if route.name in ("CreateBooking", "ReleaseEscrow") else self.firm.client

    def valid(self, route):
        """A body with every kind of field, as good as can be told without the state of things."""
        window = self.world.window(days=40)
        listing = self.world.listing_body(self.draft["resource_id"], note="x", funding_window_minutes=60)
        listing["calendar"] |= {"exceptions": [{"window": window, "open": False, "reason": "检修"}], "buffer_after_minutes": 15}
        listing["capability"] |= {"certificates": [{"scheme": "ISO9001", "number": "1", "expire_time": window["end_time"]}]}
        listing["price_plan"] |= {"cancellation": [{"hours_before": "48", "fee_basis_points": "5000"}], "no_show_basis_points": "5000"}
        demand = self.demand_body()
        demand["requirement"] |= {"materials": ["aluminium"], "tolerance_um": "20", "budget": {"amount": "100000", "currency": "CNY"},
                                  "place": {"longitude": 120.6, "latitude": 31.3}, "max_distance_km": "100", "units": 1}
        resource = {"kind": "EQUIPMENT", "display_name": {"zh": "铣床", "en": "mill"}, "maker": "x", "site_id": self.ids["sites"],
                    "place": {"longitude": 120.6, "latitude": 31.3}, "units": 2, "metadata": {"hall": "1"},
                    "attributes": {"equipment": {"axes": 5, "machine_type": "mill"}}}
        endpoint = {"url": "http://127.0.0.1:9/hook", "types": ["nothing"], "description": "x"}
        member = {"display_name": "某人", "email": f"{uuid.uuid4().hex}@example.com", "roles": ["buyer"]}
        organization = {"display_name": "示例", "uscc": make_uscc(uuid.uuid4().int), "industry_code": "C34", "region_code": "320583",
                        "metadata": {"a": "b"}}
        site = {"display_name": "厂房", "region_code": "320583",
                "place": {"longitude": 120.6, "latitude": 31.3, "coordinate_system": "GCJ02"}}
        bodies = {
            "CreateBooking": {"listing_id": self.listing["id"], "listing_version": "0", "window": window, "units": 1, "work": "一件"},
            "CreateDemand": {**demand, "text": "五轴加工铝合金支架 40 件", "deadline_time": demand["requirement"]["window"]["start_time"]},
            "CreateListing": listing, "UpdateListing": listing,
            "PatchListing": {name: listing[name] for name in ("calendar", "capability")},
            "CreateResource": resource, "UpdateResource": resource,
            "PatchResource": {name: resource[name] for name in ("place", "metadata")},
            "CreateApiKey": {"display_name": "x", "roles": ["buyer"], "scopes": ["sites:read"], "expire_time": window["end_time"]},
            "RotateApiKey": {"overlap_seconds": 3600},
            "CreateSite": site, "UpdateSite": site,
            "CreateWebhookEndpoint": endpoint, "UpdateWebhookEndpoint": endpoint, "InviteMember": member, "UpdateMember": member,
            "CreateOrganization": organization | {"synthetic": True}, "UpdateOrganization": organization,
            "IssueOrganizationApiKey": {"display_name": "x", "roles": ["buyer"], "scopes": ["sites:read"]},
            "RequestApproval": {"method": "millrace.identity.v1.Identity.RejectOrganization", "reason": "x",
                                "request": json.dumps({"id": self.firm.id, "reason": "x"})},
            "CreateReview": {"booking_id": self.booking["id"], "rating": 5, "comment": "x"}, "MatchDemand": {"limit": 5},
            "AcceptInvitation": {"code": "x" * 20}, "ConfirmImport": {"skip_invalid": True},
            "AdvanceClock": {"to_time": self.world.window(days=1)["end_time"]},
            "CustodianNotice": {"notice_id": "ntc_1", "kind": "pay_in", "transfer_id": "1"},
            "VerifyAuditLog": {"anchor": {"seq": "0", "hash": "0" * 64}},
            "PriceListing": {"window": window, "units": 1},
        }
        return bodies[route.name] if route.name in bodies else self.body(route)

    def body(self, route, resource_id=None):
        """A body with which the route gets as far as looking for the object that the path names. `resource_id`: the caller's own."""
        if not route.schema:
            return None
        listing = self.world.listing_body(resource_id or self.draft["resource_id"])
        return {
            "UpdateListing": listing, "PatchListing": {"external_id": "x"},
            "UpdateResource": {"kind": "EQUIPMENT", "display_name": {"zh": "铣床"}}, "PatchResource": {"maker": "x"},
            "UpdateMember": {"display_name": "某人", "email": f"{uuid.uuid4().hex}@example.com", "roles": ["buyer"]},
            "PatchMember": {"display_name": "某人"},
            "UpdateWebhookEndpoint": {"url": "http://127.0.0.1:9/"}, "PatchWebhookEndpoint": {"description": "x"},
            "UpdateOrganization": {"display_name": "示例", "uscc": make_uscc(uuid.uuid4().int)}, "PatchOrganization": {"metadata": {}},
            "UpdateSite": {"display_name": "厂房", "place": {"longitude": 120.6, "latitude": 31.3}}, "PatchSite": {"external_id": "x"},
            "PriceListing": {"window": self.world.window()},
            "ReplayWebhookEndpoint": {"from_time": "2026-01-01T00:00:00Z", "to_time": "2026-01-02T00:00:00Z"},
            "BlockListing": {"reason": "x"}, "SuspendOrganization": {"reason": "x"}, "RejectOrganization": {"reason": "x"},
            "RejectWorkOrder": {"note": "x"},
        }.get(route.name, {})

    def call(self, client, route, id, body=None, **headers):
        """One call of a route with `id` in its path."""
        if route.media_type:
            headers["Content-Type"] = route.media_type
            body = body if route.schema else b"a file"
        return client.send(route.method, route.at(id), body, headers={"If-Match": "*", **headers})


def nobodys(id):
    """An id of the same kind that nobody has."""
    if "_" not in id:
        return uuid.uuid4().hex * 2
    return id.split("_")[0] + "_01JZZZZZZZ" + uuid.uuid4().hex[:16].upper()


def apart_from_names(answer):
    """(status, body) of a refusal without what names this one request."""
    body = json.loads(answer.raw) if answer.raw else {}
    return answer.status, {name: value for name, value in body.items() if name not in ("request_id", "instance")}
