-- SPDX-License-Identifier: Apache-2.0
-- Where organizations have their events sent, and what became of it. Times of deliveries and attempts are wall time: a test
-- clock that jumps must not make a receiver look slow.

CREATE TABLE webhook_endpoint (
  id uuid PRIMARY KEY,
  organization uuid NOT NULL,
  sees_all boolean NOT NULL,  -- the operator's: every event is its own
  url text NOT NULL,
  types text[] NOT NULL,  -- types or kinds; all if empty
  description text NOT NULL,
  state text NOT NULL CHECK (state IN ('ENABLED', 'DISABLED', 'DELETED')),
  disabled_reason text NOT NULL CHECK (disabled_reason IN ('', 'GONE', 'RETRIES_EXHAUSTED')),
  disable_time timestamptz,
  -- Sealed with a key that derives from the instance's secret, bound to the id: signing needs the secret itself.
  secret bytea NOT NULL,
  old_secret bytea,
  old_secret_until timestamptz,
  version bigint NOT NULL CHECK (version > 0),
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  CHECK ((state = 'DISABLED') = (disabled_reason <> '')),
  CHECK ((old_secret IS NULL) = (old_secret_until IS NULL))
);
CREATE INDEX webhook_endpoint_by_organization ON webhook_endpoint (organization, id) WHERE state <> 'DELETED';
CREATE INDEX webhook_endpoint_of_all ON webhook_endpoint (id) WHERE state <> 'DELETED' AND sees_all;

-- One event on its way to one endpoint; written in the transaction in which the event gets its place in the feed. A claim moves
-- due_at ahead by a lease and raises the fence, so that what a process leaves behind comes up again, and it can end nothing
-- later. No foreign keys: an endpoint's log outlives it, and a feed that grows locks no endpoint.
CREATE TABLE webhook_delivery (
  id uuid PRIMARY KEY,
  n bigint GENERATED ALWAYS AS IDENTITY UNIQUE,  -- the order of lists
  organization uuid NOT NULL,
  endpoint uuid NOT NULL,
  event_id uuid NOT NULL,
  event_type text NOT NULL,
  trigger text NOT NULL CHECK (trigger IN ('EVENT', 'REPLAY', 'PING')),
  state text NOT NULL CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED')),
  failure text NOT NULL DEFAULT '',
  attempts int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  fence bigint NOT NULL DEFAULT 0,
  create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  end_time timestamptz,
  CHECK ((state = 'PENDING') = (end_time IS NULL)),
  CHECK ((state = 'FAILED') = (failure <> ''))
);
-- However often an event is taken in, an endpoint is told of it once.
CREATE UNIQUE INDEX webhook_delivery_once ON webhook_delivery (endpoint, event_id) WHERE trigger = 'EVENT';
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint, due_at, n) WHERE state = 'PENDING';
CREATE INDEX webhook_delivery_by_organization ON webhook_delivery (organization, n);
CREATE INDEX webhook_delivery_by_endpoint ON webhook_delivery (endpoint, n);
CREATE INDEX webhook_delivery_by_event ON webhook_delivery (event_id, n);
CREATE INDEX webhook_delivery_age ON webhook_delivery (create_time);

CREATE TABLE webhook_attempt (
  delivery uuid NOT NULL REFERENCES webhook_delivery ON DELETE CASCADE,
  number int NOT NULL,
  organization uuid NOT NULL,
  time timestamptz NOT NULL,
  status int NOT NULL,  -- 0: no answer
  error text NOT NULL,  -- why there was none
  latency_ms bigint NOT NULL,
  request text NOT NULL CHECK (length(request) <= 2048),
  response text NOT NULL CHECK (length(response) <= 2048),
  PRIMARY KEY (delivery, number)
);

ALTER TABLE webhook_endpoint ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_endpoint FORCE ROW LEVEL SECURITY;
ALTER TABLE webhook_delivery ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_delivery FORCE ROW LEVEL SECURITY;
ALTER TABLE webhook_attempt ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_attempt FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON webhook_endpoint FOR ALL TO notifications_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON webhook_delivery FOR ALL TO notifications_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON webhook_attempt FOR ALL TO notifications_worker USING (true) WITH CHECK (true);
CREATE POLICY party ON webhook_endpoint FOR SELECT TO notifications_reader
  USING (organization = runtime.asking() OR runtime.asking_role('operator'));
CREATE POLICY party ON webhook_delivery FOR SELECT TO notifications_reader
  USING (organization = runtime.asking() OR runtime.asking_role('operator'));
CREATE POLICY party ON webhook_attempt FOR SELECT TO notifications_reader
  USING (organization = runtime.asking() OR runtime.asking_role('operator'));
-- Not the secrets: readers never need them.
GRANT SELECT (id, organization, url, types, description, state, disabled_reason, disable_time, old_secret_until, version,
              create_time, update_time) ON webhook_endpoint TO notifications_reader;
GRANT SELECT ON webhook_delivery, webhook_attempt TO notifications_reader;

-- For :replay of a time.
CREATE INDEX feed_event_time ON feed_event (time, seq);

CREATE FUNCTION list_webhook_endpoints(p_asking uuid, p_roles text, p_after uuid, p_rows bigint, p_id uuid)
RETURNS TABLE (r_id uuid, r_organization uuid, r_url text, r_types text[], r_description text, r_state text, r_reason text,
               r_disable_time timestamptz, r_old_secret_until timestamptz, r_version bigint, r_create_time timestamptz,
               r_update_time timestamptz) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM notifications.ask(p_asking, p_roles);
  RETURN QUERY SELECT e.id, e.organization, e.url, e.types, e.description, e.state, e.disabled_reason, e.disable_time,
                      e.old_secret_until, e.version, e.create_time, e.update_time
    FROM notifications.webhook_endpoint e
    WHERE e.state <> 'DELETED' AND (p_after IS NULL OR e.id < p_after) AND (p_id IS NULL OR e.id = p_id)
    ORDER BY e.id DESC LIMIT p_rows;
END $$;

-- p_before: rows made before that one, newest first; null from the end. Nulls and '' filter nothing.
CREATE FUNCTION list_webhook_deliveries(p_asking uuid, p_roles text, p_before bigint, p_rows bigint, p_id uuid, p_endpoint uuid,
                                        p_event uuid, p_state text) RETURNS SETOF webhook_delivery LANGUAGE plpgsql AS $$
BEGIN
  PERFORM notifications.ask(p_asking, p_roles);
  RETURN QUERY EXECUTE 'SELECT d.* FROM notifications.webhook_delivery d WHERE true'
    || CASE WHEN 'operator' = ANY (string_to_array(p_roles, ',')) THEN '' ELSE ' AND d.organization = $1' END
    || CASE WHEN p_before IS NULL THEN '' ELSE ' AND d.n < $2' END
    || CASE WHEN p_id IS NULL THEN '' ELSE ' AND d.id = $4' END
    || CASE WHEN p_endpoint IS NULL THEN '' ELSE ' AND d.endpoint = $5' END
    || CASE WHEN p_event IS NULL THEN '' ELSE ' AND d.event_id = $6' END
    || CASE WHEN p_state = '' THEN '' ELSE ' AND d.state = $7' END
    || ' ORDER BY d.n DESC LIMIT $3'
    USING p_asking, p_before, p_rows, p_id, p_endpoint, p_event, p_state;
END $$;

CREATE FUNCTION list_webhook_attempts(p_asking uuid, p_roles text, p_deliveries uuid[])
RETURNS SETOF webhook_attempt LANGUAGE plpgsql AS $$
BEGIN
  PERFORM notifications.ask(p_asking, p_roles);
  RETURN QUERY SELECT a.* FROM notifications.webhook_attempt a WHERE a.delivery = ANY (p_deliveries)
    ORDER BY a.delivery, a.number;
END $$;
