-- SPDX-License-Identifier: Apache-2.0
-- OAuth 2.0 client credentials. Every time here is wall time.

-- `hash` is SHA-256 of the token, which itself is nowhere. Ends with its key.
CREATE TABLE access_token (
  hash bytea PRIMARY KEY CHECK (length(hash) = 32),
  key uuid NOT NULL REFERENCES api_key,
  scopes text[] NOT NULL,
  expire_time timestamptz NOT NULL
);
CREATE INDEX access_token_by_expiry ON access_token (expire_time);

-- Assertions that were taken, each once.
CREATE TABLE used_assertion (
  key uuid NOT NULL REFERENCES api_key,
  jti_hash bytea NOT NULL CHECK (length(jti_hash) = 32),
  expire_time timestamptz NOT NULL,
  PRIMARY KEY (key, jti_hash)
);
CREATE INDEX used_assertion_by_expiry ON used_assertion (expire_time);

ALTER TABLE access_token ENABLE ROW LEVEL SECURITY;
ALTER TABLE access_token FORCE ROW LEVEL SECURITY;
ALTER TABLE used_assertion ENABLE ROW LEVEL SECURITY;
ALTER TABLE used_assertion FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON access_token FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON used_assertion FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY service ON access_token FOR SELECT TO identity_reader USING (runtime.asking_role('service'));
GRANT SELECT ON access_token TO identity_reader;

CREATE FUNCTION authenticate_token(p_hash bytea)
RETURNS TABLE (r_organization uuid, r_key uuid, r_roles text, r_state smallint, r_member uuid, r_scopes text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT o.id, k.id,
                      array_to_string(ARRAY(SELECT unnest(k.roles) INTERSECT SELECT unnest(o.roles) ORDER BY 1), ','), o.state,
                      k.member, array_to_string(t.scopes, ',')
    FROM identity.access_token t JOIN identity.api_key k ON k.id = t.key JOIN identity.organization o ON o.id = k.organization
    WHERE t.hash = p_hash AND t.expire_time > clock_timestamp()
      AND k.revoke_time IS NULL AND (k.expire_time IS NULL OR k.expire_time > clock_timestamp());
END $$;

-- A key as an OAuth client that signs: nothing if it is revoked, expired or unknown.
CREATE FUNCTION read_client(p_key uuid) RETURNS TABLE (r_scopes text, r_public_keys bytea) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT array_to_string(scopes, ','), public_keys FROM identity.api_key
    WHERE id = p_key AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > clock_timestamp());
END $$;
