-- SPDX-License-Identifier: Apache-2.0
-- Bookings, their reservations, work orders, and what operations keeps of listings and organizations.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;

-- Listings as their events tell them; payload is millrace.listing.v1.Bookable.
CREATE TABLE bookable (
  listing_id uuid PRIMARY KEY,
  version bigint NOT NULL,
  provider_id uuid NOT NULL,
  resource_id uuid NOT NULL,
  payload bytea NOT NULL
);

-- The lock row of a resource: whoever gives its capacity away holds it, and those of its lines, in key order.
CREATE TABLE resource (
  resource_id uuid PRIMARY KEY,
  capacity bigint NOT NULL DEFAULT 1 CHECK (capacity > 0),
  parents uuid[] NOT NULL DEFAULT '{}'
);
CREATE INDEX resource_parents ON resource USING gin (parents);

-- What is known of organizations as buyers; the row is locked while exposure is decided.
CREATE TABLE organization (
  organization_id uuid PRIMARY KEY,
  suspended boolean NOT NULL DEFAULT false,
  buyer_tier int NOT NULL DEFAULT 3 CHECK (buyer_tier BETWEEN 1 AND 4),
  tier_version bigint NOT NULL DEFAULT 0
);

-- payload is millrace.operations.v1.Booking, exactly as readers and events get it; the columns are what is searched, locked and
-- decided on. price_plan is the listing's at the time of booking (millrace.listing.v1.PricePlan).
CREATE TABLE booking (
  id uuid PRIMARY KEY,
  buyer_id uuid NOT NULL,
  provider_id uuid NOT NULL CHECK (provider_id <> buyer_id),
  listing_id uuid NOT NULL,
  resource_id uuid NOT NULL,
  booked tstzrange NOT NULL CHECK (NOT isempty(booked)),
  state int NOT NULL CHECK (state BETWEEN 1 AND 12),
  open boolean NOT NULL,
  exposure bigint NOT NULL CHECK (exposure >= 0),
  external_id text,
  request_key text,
  fingerprint bytea NOT NULL,
  version bigint NOT NULL,
  price_plan bytea NOT NULL,
  funding_minutes bigint NOT NULL,
  acceptance_minutes bigint NOT NULL,
  held_time timestamptz,
  missing bigint NOT NULL,
  payload bytea NOT NULL
);
CREATE INDEX booking_by_buyer ON booking (buyer_id, id DESC);
CREATE INDEX booking_by_provider ON booking (provider_id, id DESC);
CREATE INDEX booking_exposure ON booking (buyer_id) INCLUDE (exposure) WHERE open;
-- A retry of CreateBooking finds its booking by the key, even if the answer was never given.
CREATE UNIQUE INDEX booking_request ON booking (buyer_id, request_key);
CREATE UNIQUE INDEX booking_external ON booking (buyer_id, external_id);

CREATE TABLE reservation (
  booking_id uuid NOT NULL REFERENCES booking,
  leg int NOT NULL,
  resource_id uuid NOT NULL,
  blocked tstzrange NOT NULL CHECK (NOT isempty(blocked)),
  units bigint NOT NULL CHECK (units > 0),
  parent_leg boolean NOT NULL,
  exclusive boolean NOT NULL,
  release_time timestamptz,
  PRIMARY KEY (booking_id, leg),
  -- The second wall behind the decision under lock: one unit is never given twice, whatever the booking's state …
  CONSTRAINT reservation_one_unit EXCLUDE USING gist (resource_id WITH =, blocked WITH &&)
    WHERE (release_time IS NULL AND exclusive),
  -- … and a line and its machines are never given at once. Legs of two machines on their line do not meet.
  CONSTRAINT reservation_line EXCLUDE USING gist (resource_id WITH =, blocked WITH &&, (parent_leg::int) WITH <>)
    WHERE (release_time IS NULL)
);
CREATE INDEX reservation_unreleased ON reservation (booking_id) WHERE release_time IS NULL;

-- payload is millrace.operations.v1.WorkOrder.
CREATE TABLE work_order (
  id uuid PRIMARY KEY,
  booking_id uuid NOT NULL UNIQUE REFERENCES booking,
  buyer_id uuid NOT NULL,
  provider_id uuid NOT NULL,
  state int NOT NULL CHECK (state BETWEEN 1 AND 12),
  enter_time timestamptz NOT NULL,
  version bigint NOT NULL,
  payload bytea NOT NULL
);
CREATE INDEX work_order_by_buyer ON work_order (buyer_id, id DESC);
CREATE INDEX work_order_by_provider ON work_order (provider_id, id DESC);

-- Readers see bookings and work orders of their own, as either party; the operator and services see all. Nothing else.
GRANT SELECT ON booking, work_order TO operations_reader;
ALTER TABLE booking ENABLE ROW LEVEL SECURITY;
ALTER TABLE booking FORCE ROW LEVEL SECURITY;
ALTER TABLE work_order ENABLE ROW LEVEL SECURITY;
ALTER TABLE work_order FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON booking FOR ALL TO operations_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON work_order FOR ALL TO operations_worker USING (true) WITH CHECK (true);
CREATE POLICY buyer ON booking FOR SELECT TO operations_reader USING (buyer_id = runtime.asking());
CREATE POLICY provider ON booking FOR SELECT TO operations_reader USING (provider_id = runtime.asking());
CREATE POLICY overseer ON booking FOR SELECT TO operations_reader
  USING (runtime.asking_role('operator') OR runtime.asking_role('service'));
CREATE POLICY buyer ON work_order FOR SELECT TO operations_reader USING (buyer_id = runtime.asking());
CREATE POLICY provider ON work_order FOR SELECT TO operations_reader USING (provider_id = runtime.asking());
CREATE POLICY overseer ON work_order FOR SELECT TO operations_reader
  USING (runtime.asking_role('operator') OR runtime.asking_role('service'));

CREATE FUNCTION ask(asking uuid, roles text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('millrace.organization', coalesce(asking::text, ''), true);
  PERFORM set_config('millrace.roles', roles, true);
END $$;

CREATE FUNCTION read_booking(asking uuid, roles text, wanted uuid) RETURNS SETOF bytea LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT b.payload FROM booking b WHERE b.id = wanted;
END $$;

CREATE FUNCTION read_work_order(asking uuid, roles text, wanted uuid) RETURNS SETOF bytea LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT w.payload FROM work_order w WHERE w.id = wanted;
END $$;

-- Newest first, older than `before` (null: the first page). An overseer without an organization of its own in the rows gets all.
CREATE FUNCTION list_bookings(asking uuid, roles text, before uuid, wanted_state int, wanted_listing uuid, wanted_external text,
                              page int) RETURNS TABLE (id uuid, payload bytea) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  IF runtime.asking_role('operator') OR runtime.asking_role('service') THEN
    RETURN QUERY SELECT b.id, b.payload FROM booking b
      WHERE (before IS NULL OR b.id < before) AND (wanted_state = 0 OR b.state = wanted_state)
        AND (wanted_listing IS NULL OR b.listing_id = wanted_listing) AND (wanted_external = '' OR b.external_id = wanted_external)
      ORDER BY b.id DESC LIMIT page;
    RETURN;
  END IF;
  RETURN QUERY SELECT u.id, u.payload FROM (
    (SELECT b.id, b.payload FROM booking b
      WHERE b.buyer_id = asking AND (before IS NULL OR b.id < before) AND (wanted_state = 0 OR b.state = wanted_state)
        AND (wanted_listing IS NULL OR b.listing_id = wanted_listing) AND (wanted_external = '' OR b.external_id = wanted_external)
      ORDER BY b.id DESC LIMIT page)
    UNION ALL
    (SELECT b.id, b.payload FROM booking b
      WHERE b.provider_id = asking AND (before IS NULL OR b.id < before) AND (wanted_state = 0 OR b.state = wanted_state)
        AND (wanted_listing IS NULL OR b.listing_id = wanted_listing) AND wanted_external = ''
      ORDER BY b.id DESC LIMIT page)) u
  ORDER BY u.id DESC LIMIT page;
END $$;

CREATE FUNCTION list_work_orders(asking uuid, roles text, before uuid, wanted_state int, page int)
  RETURNS TABLE (id uuid, payload bytea) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  IF runtime.asking_role('operator') OR runtime.asking_role('service') THEN
    RETURN QUERY SELECT w.id, w.payload FROM work_order w
      WHERE (before IS NULL OR w.id < before) AND (wanted_state = 0 OR w.state = wanted_state)
      ORDER BY w.id DESC LIMIT page;
    RETURN;
  END IF;
  RETURN QUERY SELECT u.id, u.payload FROM (
    (SELECT w.id, w.payload FROM work_order w
      WHERE w.buyer_id = asking AND (before IS NULL OR w.id < before) AND (wanted_state = 0 OR w.state = wanted_state)
      ORDER BY w.id DESC LIMIT page)
    UNION ALL
    (SELECT w.id, w.payload FROM work_order w
      WHERE w.provider_id = asking AND (before IS NULL OR w.id < before) AND (wanted_state = 0 OR w.state = wanted_state)
      ORDER BY w.id DESC LIMIT page)) u
  ORDER BY u.id DESC LIMIT page;
END $$;
