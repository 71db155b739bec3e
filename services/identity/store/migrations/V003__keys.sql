-- SPDX-License-Identifier: Apache-2.0
-- Keys with scopes, persons, expiry and rotation; the role admin. expire_time, previous_until and last_use_time are wall time.

-- The stored message grows by its field 8, roles: "admin".
UPDATE organization SET roles = array_append(roles, 'admin'), message = message || '\x420561646d696e'::bytea;
UPDATE api_key SET roles = array_append(roles, 'admin')
  WHERE display_name = 'first key' OR roles && ARRAY['operator', 'regulator'];

ALTER TABLE api_key
  ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',
  ADD COLUMN member uuid,
  ADD COLUMN expire_time timestamptz,
  ADD COLUMN last_use_time timestamptz,
  ADD COLUMN secret_version int NOT NULL DEFAULT 1 CHECK (secret_version > 0),
  ADD COLUMN previous_hash bytea UNIQUE CHECK (length(previous_hash) = 32),
  ADD COLUMN previous_until timestamptz,
  -- Public keys of the key as an OAuth client: an ApiKey message with that field alone.
  ADD COLUMN public_keys bytea NOT NULL DEFAULT '',
  ADD CHECK ((previous_hash IS NULL) = (previous_until IS NULL));

DROP FUNCTION list_api_keys(uuid, text, uuid, bigint);
CREATE FUNCTION list_api_keys(p_asking uuid, p_roles text, p_id uuid, p_after uuid, p_rows bigint)
RETURNS TABLE (r_id uuid, r_organization uuid, r_display_name text, r_roles text, r_scopes text, r_member uuid, r_hint text,
               r_secret_version int, r_previous_until bigint, r_create_time bigint, r_revoke_time bigint, r_expire_time bigint,
               r_last_use_time bigint, r_version bigint, r_public_keys bytea) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, organization, display_name, array_to_string(roles, ','), array_to_string(scopes, ','), member, hint,
                      secret_version, runtime.micros(previous_until), runtime.micros(create_time), runtime.micros(revoke_time),
                      runtime.micros(expire_time), runtime.micros(last_use_time), version, public_keys
    FROM identity.api_key
    WHERE organization = p_asking AND (p_id IS NULL OR id = p_id) AND (p_after IS NULL OR id < p_after)
    ORDER BY id DESC LIMIT p_rows;
END $$;

-- By the hash of the present secret, or of the one before it while that is valid too. Nothing for a revoked, expired or unknown key.
DROP FUNCTION authenticate(bytea);
CREATE FUNCTION authenticate(p_hash bytea)
RETURNS TABLE (r_organization uuid, r_key uuid, r_roles text, r_state smallint, r_member uuid, r_scopes text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT o.id, k.id,
                      array_to_string(ARRAY(SELECT unnest(k.roles) INTERSECT SELECT unnest(o.roles) ORDER BY 1), ','), o.state,
                      k.member, array_to_string(k.scopes, ',')
    FROM (SELECT * FROM identity.api_key WHERE secret_hash = p_hash
          UNION ALL
          SELECT * FROM identity.api_key WHERE previous_hash = p_hash AND previous_until > clock_timestamp()) k
    JOIN identity.organization o ON o.id = k.organization
    WHERE k.revoke_time IS NULL AND (k.expire_time IS NULL OR k.expire_time > clock_timestamp());
END $$;
