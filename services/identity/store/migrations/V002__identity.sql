-- SPDX-License-Identifier: Apache-2.0
-- Organizations, their sites and keys. `message` holds the contract's message without what is computed for an answer.

CREATE TABLE organization (
  id uuid PRIMARY KEY,
  state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),
  uscc text UNIQUE CHECK (uscc ~ '^[0-9A-HJ-NP-RTUW-Y]{18}$'),
  external_id text UNIQUE,
  roles text[] NOT NULL,
  message bytea NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL
);
CREATE INDEX organization_by_state ON organization (state, id);

CREATE TABLE site (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL REFERENCES organization,
  external_id text,
  message bytea NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  UNIQUE (organization, external_id)
);
CREATE INDEX site_by_organization ON site (organization, id);

-- `secret_hash` is SHA-256 of the whole secret, `hint` its first characters. The secret itself is nowhere.
CREATE TABLE api_key (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL REFERENCES organization,
  display_name text NOT NULL,
  roles text[] NOT NULL,
  secret_hash bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
  hint text NOT NULL,
  create_time timestamptz NOT NULL,
  revoke_time timestamptz,
  version bigint NOT NULL CHECK (version > 0)
);
CREATE INDEX api_key_by_organization ON api_key (organization, id);

ALTER TABLE organization ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
ALTER TABLE site ENABLE ROW LEVEL SECURITY;
ALTER TABLE site FORCE ROW LEVEL SECURITY;
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON organization FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON site FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON api_key FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY own ON organization FOR SELECT TO identity_reader USING (id = runtime.asking());
CREATE POLICY office ON organization FOR SELECT TO identity_reader
  USING (runtime.asking_role('operator') OR runtime.asking_role('regulator') OR runtime.asking_role('service'));
CREATE POLICY own ON site FOR SELECT TO identity_reader USING (organization = runtime.asking());
CREATE POLICY service ON site FOR SELECT TO identity_reader USING (runtime.asking_role('service'));
CREATE POLICY own ON api_key FOR SELECT TO identity_reader USING (organization = runtime.asking());
CREATE POLICY service ON api_key FOR SELECT TO identity_reader USING (runtime.asking_role('service'));
GRANT SELECT ON organization, site, api_key TO identity_reader;

-- The clock is this service's row.
GRANT SELECT, UPDATE ON runtime.clock TO identity_worker;

CREATE FUNCTION ask(p_asking uuid, p_roles text) RETURNS void LANGUAGE sql AS $$
  SELECT set_config('millrace.organization', coalesce(p_asking::text, ''), true), set_config('millrace.roles', p_roles, true);
$$;

CREATE FUNCTION read_organization(p_asking uuid, p_roles text, p_id uuid)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.organization WHERE id = p_id;
END $$;

CREATE FUNCTION list_organizations(p_asking uuid, p_roles text, p_after uuid, p_rows bigint, p_state bigint, p_external_id text)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.organization
    WHERE (p_after IS NULL OR id < p_after) AND (p_state = 0 OR state = p_state)
      AND (p_external_id = '' OR external_id = p_external_id)
    ORDER BY id DESC LIMIT p_rows;
END $$;

CREATE FUNCTION read_site(p_asking uuid, p_roles text, p_id uuid)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.site WHERE id = p_id;
END $$;

CREATE FUNCTION list_sites(p_asking uuid, p_roles text, p_after uuid, p_rows bigint, p_external_id text)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.site
    WHERE organization = p_asking AND (p_after IS NULL OR id < p_after)
      AND (p_external_id = '' OR external_id = p_external_id)
    ORDER BY id DESC LIMIT p_rows;
END $$;

CREATE FUNCTION list_api_keys(p_asking uuid, p_roles text, p_after uuid, p_rows bigint)
RETURNS TABLE (r_id uuid, r_organization uuid, r_display_name text, r_roles text, r_hint text, r_create_time bigint,
               r_revoke_time bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, organization, display_name, array_to_string(roles, ','), hint, runtime.micros(create_time),
                      runtime.micros(revoke_time)
    FROM identity.api_key
    WHERE organization = p_asking AND (p_after IS NULL OR id < p_after)
    ORDER BY id DESC LIMIT p_rows;
END $$;

-- One index probe by the hash, one by the organization's id; nothing for a revoked or unknown key.
CREATE FUNCTION authenticate(p_hash bytea)
RETURNS TABLE (r_organization uuid, r_key uuid, r_roles text, r_state smallint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT o.id, k.id,
                      array_to_string(ARRAY(SELECT unnest(k.roles) INTERSECT SELECT unnest(o.roles) ORDER BY 1), ','), o.state
    FROM identity.api_key k JOIN identity.organization o ON o.id = k.organization
    WHERE k.secret_hash = p_hash AND k.revoke_time IS NULL;
END $$;
