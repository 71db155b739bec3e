-- SPDX-License-Identifier: Apache-2.0
-- Approvals by two persons. `message` holds the contract's message without what is computed for an answer.

CREATE TABLE approval (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL REFERENCES organization,
  state smallint NOT NULL CHECK (state BETWEEN 1 AND 6),
  method text NOT NULL,
  -- SHA-256 of the method and the whole request, secrets included; the request itself is kept without them.
  fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
  requester uuid NOT NULL REFERENCES member,
  decider uuid REFERENCES member,
  expire_time timestamptz NOT NULL,
  use_time timestamptz,
  message bytea NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  CONSTRAINT two_persons CHECK (decider <> requester),
  -- REQUESTED and WITHDRAWN have no decider, APPROVED, DECLINED and USED have one, EXPIRED may.
  CHECK (state = 5 OR (decider IS NULL) = (state IN (1, 4))),
  CHECK ((use_time IS NOT NULL) = (state = 6))
);
CREATE INDEX approval_by_organization ON approval (organization, id);

ALTER TABLE approval ENABLE ROW LEVEL SECURITY;
ALTER TABLE approval FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON approval FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY own ON approval FOR SELECT TO identity_reader USING (organization = runtime.asking());
CREATE POLICY service ON approval FOR SELECT TO identity_reader USING (runtime.asking_role('service'));
GRANT SELECT ON approval TO identity_reader;

CREATE FUNCTION list_approvals(p_asking uuid, p_roles text, p_id uuid, p_after uuid, p_rows bigint, p_state bigint)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, version FROM identity.approval
    WHERE organization = p_asking AND (p_id IS NULL OR id = p_id) AND (p_after IS NULL OR id < p_after)
      AND (p_state = 0 OR state = p_state)
    ORDER BY id DESC LIMIT p_rows;
END $$;

-- What a command under an approval is compared with, and whether who approved still is an active person who may.
CREATE FUNCTION check_approval(p_id uuid)
RETURNS TABLE (r_organization uuid, r_state smallint, r_method text, r_fingerprint bytea, r_requester uuid, r_expire_time bigint,
               r_use_time bigint, r_now bigint, r_decider boolean) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(NULL, 'service');
  RETURN QUERY SELECT a.organization, a.state, a.method, a.fingerprint, a.requester, runtime.micros(a.expire_time),
                      runtime.micros(a.use_time), runtime.micros(runtime.now()),
                      EXISTS (SELECT FROM identity.member m WHERE m.id = a.decider AND m.state = 2 AND 'operator' = ANY (m.roles))
    FROM identity.approval a WHERE a.id = p_id;
END $$;
