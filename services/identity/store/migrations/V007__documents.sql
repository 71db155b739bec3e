-- SPDX-License-Identifier: Apache-2.0
-- What organizations prove themselves with. The bytes lie in the content store by their hash; `message` holds the contract's message
-- without what is computed for an answer.

CREATE TABLE document (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL REFERENCES organization,
  kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 5),
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  message bytea NOT NULL,
  create_time timestamptz NOT NULL
);
CREATE INDEX document_by_organization ON document (organization, id);
CREATE INDEX document_by_content ON document (sha256);

-- No role of an organization's but admin sees them, whoever else asks for it: they hold persons' papers.
ALTER TABLE document ENABLE ROW LEVEL SECURITY;
ALTER TABLE document FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON document FOR ALL TO identity_worker USING (true) WITH CHECK (true);
CREATE POLICY own ON document FOR SELECT TO identity_reader
  USING (organization = runtime.asking() AND runtime.asking_role('admin'));
CREATE POLICY office ON document FOR SELECT TO identity_reader USING (runtime.asking_role('operator'));
GRANT SELECT ON document TO identity_reader;

-- The document p_id, or a page of p_organization's (of all that the asking one sees, if null).
CREATE FUNCTION list_documents(p_asking uuid, p_roles text, p_id uuid, p_organization uuid, p_after uuid, p_rows bigint)
RETURNS TABLE (r_id uuid, r_message bytea, r_version bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM identity.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, message, 1::bigint FROM identity.document
    WHERE (p_id IS NULL OR id = p_id) AND (p_organization IS NULL OR organization = p_organization)
      AND (p_after IS NULL OR id < p_after)
    ORDER BY id DESC LIMIT p_rows;
END $$;
