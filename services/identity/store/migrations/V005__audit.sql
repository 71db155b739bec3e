-- SPDX-License-Identifier: Apache-2.0
-- The audit log: privileged acts of every service in one chain of hashes. Rows are only ever added.

CREATE TABLE audit_entry (
  seq bigint PRIMARY KEY CHECK (seq > 0),
  time timestamptz NOT NULL,
  source text NOT NULL,
  source_seq bigint NOT NULL,
  event_id text NOT NULL,
  organization uuid,
  -- The act as its service logged it: millrace.events.v1.Act.
  act bytea NOT NULL,
  prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
  hash bytea NOT NULL CHECK (length(hash) = 32),
  UNIQUE (source, source_seq)
);
CREATE INDEX audit_entry_by_organization ON audit_entry (organization, seq);

-- The chain's end; its lock orders the writers.
CREATE TABLE audit_head (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  seq bigint NOT NULL DEFAULT 0,
  hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(hash) = 32)
);
INSERT INTO audit_head DEFAULT VALUES;

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON audit_head FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry FROM identity_worker;
REVOKE INSERT, DELETE, TRUNCATE ON audit_head FROM identity_worker;

ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_entry FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_head FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON audit_entry FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON audit_head FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY own ON audit_entry FOR SELECT TO identity_reader USING (organization = runtime.asking());
CREATE POLICY office ON audit_entry FOR SELECT TO identity_reader USING (runtime.asking_role('operator'));
GRANT SELECT ON audit_entry TO identity_reader;

CREATE FUNCTION list_audit(p_asking uuid, p_roles text, p_before bigint, p_rows bigint)
RETURNS TABLE (r_seq bigint, r_time bigint, r_source text, r_source_seq bigint, r_event_id text, r_organization uuid, r_act bytea,
               r_prev_hash bytea, r_hash bytea) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT seq, runtime.micros(time), source, source_seq, event_id, organization, act, prev_hash, hash
    FROM identity.audit_entry
    WHERE p_before = 0 OR seq < p_before ORDER BY seq DESC LIMIT p_rows;
END $$;
