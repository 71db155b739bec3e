-- SPDX-License-Identifier: Apache-2.0
-- Resources, listings, imports, attachments. `message` holds the object as its protobuf message; beside it stand the columns that
-- are asked for.

CREATE TABLE resource (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL,
  external_id text CHECK (external_id <> ''),
  kind int NOT NULL CHECK (kind BETWEEN 1 AND 11),
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  message bytea NOT NULL,
  UNIQUE (organization, external_id)
);
CREATE INDEX resource_page ON resource (organization, id DESC);

CREATE TABLE listing (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL,
  resource uuid NOT NULL REFERENCES resource (id),
  external_id text CHECK (external_id <> ''),
  state text NOT NULL CHECK (state IN ('DRAFT', 'IN_REVIEW', 'PUBLISHED', 'PAUSED', 'RETIRED', 'BLOCKED')),
  -- Where a suspension found it; null unless it is blocked by one.
  state_before text CHECK (state_before IN ('IN_REVIEW', 'PUBLISHED', 'PAUSED')),
  state_reason text NOT NULL DEFAULT '',
  deadline timestamptz,
  -- Other services keep it from its first publication on.
  ever_published boolean NOT NULL DEFAULT false,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  message bytea NOT NULL,
  UNIQUE (organization, external_id),
  CHECK ((state = 'IN_REVIEW') = (deadline IS NOT NULL)),
  CHECK (state_before IS NULL OR state = 'BLOCKED')
);
CREATE INDEX listing_page ON listing (organization, id DESC);
CREATE INDEX listing_resource ON listing (resource);
CREATE INDEX listing_review ON listing (id DESC) WHERE state = 'IN_REVIEW';

-- What other services said of an organization: identity its suspension, credit its tier as provider.
CREATE TABLE organization (
  id uuid PRIMARY KEY,
  suspended boolean NOT NULL DEFAULT false,
  tier int NOT NULL DEFAULT 3 CHECK (tier BETWEEN 1 AND 4),
  tier_version bigint NOT NULL DEFAULT 0
);

CREATE TABLE import (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('VALIDATED', 'CONFIRMED', 'EXPIRED')),
  publish boolean NOT NULL,
  header text NOT NULL,
  summary bytea NOT NULL,
  version bigint NOT NULL,
  create_time timestamptz NOT NULL,
  expire_time timestamptz NOT NULL
);
CREATE INDEX import_page ON import (organization, id DESC);
-- A row of the file: `bookable` of a valid one until it is taken over, `faults` and the file's own `cells` of a refused one.
CREATE TABLE import_row (
  import uuid NOT NULL REFERENCES import (id) ON DELETE CASCADE,
  line int NOT NULL,
  bookable bytea,
  faults bytea,
  cells text,
  PRIMARY KEY (import, line),
  CHECK ((bookable IS NULL) <> (faults IS NULL))
);

-- Files lie in the blob store by their hash; a row says that an organization stored one.
CREATE TABLE attachment (
  organization uuid NOT NULL,
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  size bigint NOT NULL,
  content_type text NOT NULL,
  create_time timestamptz NOT NULL,
  PRIMARY KEY (organization, sha256)
);

ALTER TABLE resource ENABLE ROW LEVEL SECURITY;
ALTER TABLE resource FORCE ROW LEVEL SECURITY;
ALTER TABLE listing ENABLE ROW LEVEL SECURITY;
ALTER TABLE listing FORCE ROW LEVEL SECURITY;
ALTER TABLE import ENABLE ROW LEVEL SECURITY;
ALTER TABLE import FORCE ROW LEVEL SECURITY;
ALTER TABLE import_row ENABLE ROW LEVEL SECURITY;
ALTER TABLE import_row FORCE ROW LEVEL SECURITY;
ALTER TABLE attachment ENABLE ROW LEVEL SECURITY;
ALTER TABLE attachment FORCE ROW LEVEL SECURITY;

CREATE POLICY worker ON resource FOR ALL TO listing_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON listing FOR ALL TO listing_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON import FOR ALL TO listing_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON import_row FOR ALL TO listing_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON attachment FOR ALL TO listing_worker USING (true) WITH CHECK (true);

CREATE POLICY party ON resource FOR SELECT TO listing_reader
  USING (organization = runtime.asking() OR runtime.asking_role('operator') OR runtime.asking_role('regulator'));
-- A published listing is for everybody to see.
CREATE POLICY party ON listing FOR SELECT TO listing_reader
  USING (organization = runtime.asking() OR state = 'PUBLISHED' OR runtime.asking_role('operator') OR runtime.asking_role('regulator'));
CREATE POLICY party ON import FOR SELECT TO listing_reader USING (organization = runtime.asking());
CREATE POLICY party ON import_row FOR SELECT TO listing_reader USING (EXISTS (SELECT FROM import i WHERE i.id = import_row.import));
CREATE POLICY party ON attachment FOR SELECT TO listing_reader USING (organization = runtime.asking());
GRANT SELECT ON resource, listing, import, import_row, attachment TO listing_reader;

-- Reads for a caller, in one round trip: name who asks, then select under the policies.
CREATE FUNCTION ask(asking uuid, roles text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('millrace.organization', coalesce(asking::text, ''), true), set_config('millrace.roles', roles, true);
END $$;

CREATE FUNCTION read_resource(asking uuid, roles text, wanted uuid) RETURNS SETOF resource LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM resource r WHERE r.id = wanted;
END $$;

CREATE FUNCTION read_listing(asking uuid, roles text, wanted uuid) RETURNS SETOF listing LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM listing l WHERE l.id = wanted;
END $$;

-- `everybody`: the operator's view of all organizations; otherwise the asking one's own.
CREATE FUNCTION list_resources(asking uuid, roles text, everybody boolean, after uuid, most int, wanted_kind int, wanted_external text)
  RETURNS SETOF resource LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM resource r
    WHERE (everybody OR r.organization = asking) AND (after IS NULL OR r.id < after)
      AND (wanted_kind = 0 OR r.kind = wanted_kind) AND (wanted_external = '' OR r.external_id = wanted_external)
    ORDER BY r.id DESC LIMIT most;
END $$;

CREATE FUNCTION list_listings(asking uuid, roles text, everybody boolean, after uuid, most int, wanted_state text,
                              wanted_resource uuid, wanted_external text) RETURNS SETOF listing LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM listing l
    WHERE (everybody OR l.organization = asking) AND (after IS NULL OR l.id < after)
      AND (wanted_state = '' OR l.state = wanted_state) AND (wanted_resource IS NULL OR l.resource = wanted_resource)
      AND (wanted_external = '' OR l.external_id = wanted_external)
    ORDER BY l.id DESC LIMIT most;
END $$;

CREATE FUNCTION read_import(asking uuid, roles text, wanted uuid) RETURNS SETOF import LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM import i WHERE i.id = wanted;
END $$;

-- Refused rows in the order of the file, from after a line on.
CREATE FUNCTION read_refused(asking uuid, roles text, wanted uuid, after int, most int) RETURNS SETOF import_row
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM import_row r WHERE r.import = wanted AND r.line > after AND r.faults IS NOT NULL
    ORDER BY r.line LIMIT most;
END $$;

CREATE FUNCTION read_attachment(asking uuid, roles text, wanted text) RETURNS SETOF attachment LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ask(asking, roles);
  RETURN QUERY SELECT * FROM attachment a WHERE a.organization = asking AND a.sha256 = wanted;
END $$;
