-- SPDX-License-Identifier: Apache-2.0
-- Industry codes that the operator loaded, and enterprises of the park's register that are invited to register.

-- GB/T 4754-2017: groups and classes, without the section's letter.
CREATE TABLE industry_code (
  code text PRIMARY KEY CHECK (code ~ '^[0-9]{3,4}$'),
  name_zh text NOT NULL CHECK (name_zh <> ''),
  name_en text NOT NULL,
  update_time timestamptz NOT NULL
);
CREATE INDEX industry_code_by_division ON industry_code (left(code, 2));

-- `message` holds the contract's message without what is computed for an answer.
CREATE TABLE register_invitation (
  id uuid PRIMARY KEY,
  state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
  uscc text NOT NULL CHECK (uscc ~ '^[0-9A-HJ-NP-RTUW-Y]{18}$'),
  external_id text,
  -- SHA-256 of the invitation's code.
  code_hash bytea NOT NULL UNIQUE CHECK (length(code_hash) = 32),
  -- Who registered, with the code or without.
  organization uuid REFERENCES organization,
  message bytea NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  CHECK (state <> 2 OR organization IS NOT NULL),
  CHECK (state IN (2, 4) OR organization IS NULL)
);
CREATE UNIQUE INDEX register_invitation_open_uscc ON register_invitation (uscc) WHERE state = 1;
CREATE UNIQUE INDEX register_invitation_open_external_id ON register_invitation (external_id) WHERE state = 1;
CREATE INDEX register_invitation_by_state ON register_invitation (state, id);

ALTER TABLE industry_code ENABLE ROW LEVEL SECURITY;
ALTER TABLE industry_code FORCE ROW LEVEL SECURITY;
ALTER TABLE register_invitation ENABLE ROW LEVEL SECURITY;
ALTER TABLE register_invitation FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON industry_code FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON register_invitation FOR ALL TO identity_worker USING (true) WITH CHECK (true);
-- A published standard is everybody's.
CREATE POLICY everybody ON industry_code FOR SELECT TO identity_reader USING (true);
CREATE POLICY office ON register_invitation FOR SELECT TO identity_reader
  USING (runtime.asking_role('operator') OR runtime.asking_role('service'));
GRANT SELECT ON industry_code, register_invitation TO identity_reader;

CREATE FUNCTION list_industry_codes(p_after text, p_rows bigint, p_parent text)
RETURNS TABLE (r_code text, r_name_zh text, r_name_en text) LANGUAGE sql STABLE AS $$
  SELECT code, name_zh, name_en FROM identity.industry_code
  WHERE code COLLATE "C" > p_after AND (p_parent = '' OR left(code, -1) = p_parent)
  ORDER BY code COLLATE "C" LIMIT p_rows;
$$;

-- The invitation `p_id`, or a page.
CREATE FUNCTION list_register_invitations(p_asking uuid, p_roles text, p_id uuid, p_after uuid, p_rows bigint, p_state bigint)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.register_invitation
    WHERE (p_id IS NULL OR id = p_id) AND (p_after IS NULL OR id < p_after) AND (p_state = 0 OR state = p_state)
    ORDER BY id DESC LIMIT p_rows;
END $$;
