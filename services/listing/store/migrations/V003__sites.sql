-- SPDX-License-Identifier: Apache-2.0
-- What stands on a site moves with it: resources are found by their site, and a site's row orders who puts a resource there and the
-- news of its move.

CREATE TABLE site (
  id uuid PRIMARY KEY,
  version bigint NOT NULL CHECK (version > 0),
  -- millrace.type.Place, WGS 84.
  place bytea NOT NULL
);
ALTER TABLE site ENABLE ROW LEVEL SECURITY;
ALTER TABLE site FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON site FOR ALL TO listing_worker USING (true) WITH CHECK (true);

-- The message's own site_id (field 8, 30 bytes): "sit_…".
ALTER TABLE resource ADD COLUMN site text CHECK (site <> '');
UPDATE resource SET site = substring(encode(message, 'escape') FROM E'B\x1E(sit_[0-9A-HJKMNP-TV-Z]{26})');
CREATE INDEX resource_site ON resource (site) WHERE site IS NOT NULL;
