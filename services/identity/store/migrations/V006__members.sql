-- SPDX-License-Identifier: Apache-2.0
-- The persons of organizations. `message` holds the contract's message without what is computed for an answer.

CREATE TABLE member (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL REFERENCES organization,
  state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
  email text NOT NULL,
  roles text[] NOT NULL,
  -- SHA-256 of the invitation's code.
  code_hash bytea NOT NULL UNIQUE CHECK (length(code_hash) = 32),
  message bytea NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL
);
CREATE INDEX member_by_organization ON member (organization, id);
CREATE UNIQUE INDEX member_email ON member (organization, lower(email)) WHERE state IN (1, 2);
ALTER TABLE api_key ADD FOREIGN KEY (member) REFERENCES member;
CREATE INDEX api_key_by_member ON api_key (member) WHERE member IS NOT NULL;

ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON member FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY own ON member FOR SELECT TO identity_reader USING (organization = runtime.asking());
CREATE POLICY service ON member FOR SELECT TO identity_reader USING (runtime.asking_role('service'));
GRANT SELECT ON member TO identity_reader;

CREATE FUNCTION list_members(p_asking uuid, p_roles text, p_id uuid, p_after uuid, p_rows bigint, p_state bigint)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.member
    WHERE organization = p_asking AND (p_id IS NULL OR id = p_id) AND (p_after IS NULL OR id < p_after)
      AND (p_state = 0 OR state = p_state)
    ORDER BY id DESC LIMIT p_rows;
END $$;

-- What a key may be used as: its roles, as far as its organization and its person have them too. Null if the person is gone.
CREATE FUNCTION key_roles(p_key identity.api_key, p_organization text[]) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN p_key.member IS NULL THEN
      array_to_string(ARRAY(SELECT unnest(p_key.roles) INTERSECT SELECT unnest(p_organization) ORDER BY 1), ',')
    ELSE (SELECT array_to_string(ARRAY(SELECT unnest(p_key.roles) INTERSECT SELECT unnest(p_organization)
                                       INTERSECT SELECT unnest(m.roles) ORDER BY 1), ',')
          FROM identity.member m WHERE m.id = p_key.member AND m.state = 2)
  END $$;

CREATE OR REPLACE FUNCTION authenticate(p_hash bytea)
RETURNS TABLE (r_organization uuid, r_key uuid, r_roles text, r_state smallint, r_member uuid, r_scopes text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT o.id, k.id, identity.key_roles(k, o.roles), o.state, k.member, array_to_string(k.scopes, ',')
    FROM identity.api_key k JOIN identity.organization o ON o.id = k.organization
    WHERE k.id = (SELECT id FROM identity.api_key WHERE secret_hash = p_hash
                  UNION ALL
                  SELECT id FROM identity.api_key WHERE previous_hash = p_hash AND previous_until > clock_timestamp())
      AND k.revoke_time IS NULL AND (k.expire_time IS NULL OR k.expire_time > clock_timestamp())
      AND identity.key_roles(k, o.roles) IS NOT NULL;
END $$;

CREATE OR REPLACE FUNCTION authenticate_token(p_hash bytea)
RETURNS TABLE (r_organization uuid, r_key uuid, r_roles text, r_state smallint, r_member uuid, r_scopes text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT o.id, k.id, identity.key_roles(k, o.roles), o.state, k.member, array_to_string(t.scopes, ',')
    FROM identity.access_token t JOIN identity.api_key k ON k.id = t.key JOIN identity.organization o ON o.id = k.organization
    WHERE t.hash = p_hash AND t.expire_time > clock_timestamp()
      AND k.revoke_time IS NULL AND (k.expire_time IS NULL OR k.expire_time > clock_timestamp())
      AND identity.key_roles(k, o.roles) IS NOT NULL;
END $$;
