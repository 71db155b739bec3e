-- SPDX-License-Identifier: Apache-2.0
-- Demands, and the credit tiers last heard. `message` holds the contract's message without what is computed for an answer.

CREATE TABLE demand (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL,
  external_id text,
  state smallint NOT NULL CHECK (state BETWEEN 1 AND 6),
  message bytea NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  UNIQUE (organization, external_id)
);
CREATE INDEX demand_by_organization ON demand (organization, id);

CREATE TABLE provider_tier (
  organization uuid PRIMARY KEY,
  tier smallint NOT NULL CHECK (tier BETWEEN 1 AND 4),
  version bigint NOT NULL
);

ALTER TABLE demand ENABLE ROW LEVEL SECURITY;
ALTER TABLE demand FORCE ROW LEVEL SECURITY;
ALTER TABLE provider_tier ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_tier FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON demand FOR ALL TO matching_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON provider_tier FOR ALL TO matching_worker USING (true) WITH CHECK (true);
CREATE POLICY own ON demand FOR SELECT TO matching_reader USING (organization = runtime.asking());
CREATE POLICY office ON demand FOR SELECT TO matching_reader USING (runtime.asking_role('operator'));
GRANT SELECT ON demand TO matching_reader;

CREATE FUNCTION ask(p_asking uuid, p_roles text) RETURNS void LANGUAGE sql AS $$
  SELECT set_config('millrace.organization', coalesce(p_asking::text, ''), true), set_config('millrace.roles', p_roles, true);
$$;

CREATE FUNCTION read_demand(p_asking uuid, p_roles text, p_id uuid)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint, r_now bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matching.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version, runtime.micros(runtime.now()) FROM matching.demand WHERE id = p_id;
END $$;

CREATE FUNCTION list_demands(p_asking uuid, p_roles text, p_after uuid, p_rows bigint, p_state bigint, p_external_id text)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint, r_now bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM matching.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version, runtime.micros(runtime.now()) FROM matching.demand
    WHERE organization = p_asking AND (p_after IS NULL OR id < p_after) AND (p_state = 0 OR state = p_state)
      AND (p_external_id = '' OR external_id = p_external_id)
    ORDER BY id DESC LIMIT p_rows;
END $$;
