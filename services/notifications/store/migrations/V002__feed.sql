-- SPDX-License-Identifier: Apache-2.0
-- The instance's feed. `seq` is head + 1 under the lock of feed_state's row, which is held until the commit: there are no gaps, and
-- whoever has read up to a seq never meets a lower one later, whatever number of processes writes.

CREATE TABLE feed_state (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  head bigint NOT NULL DEFAULT 0,
  pruned bigint NOT NULL DEFAULT 0 CHECK (pruned <= head)  -- events up to here are gone
);
INSERT INTO feed_state DEFAULT VALUES;

CREATE TABLE feed_event (
  seq bigint PRIMARY KEY,
  event_id uuid NOT NULL UNIQUE,
  source text NOT NULL,
  type text NOT NULL,
  kind text NOT NULL GENERATED ALWAYS AS (split_part(type, '.', 1)) STORED,
  subject text NOT NULL,
  subject_version bigint NOT NULL,
  time timestamptz NOT NULL,
  parties uuid[] NOT NULL CHECK (cardinality(parties) > 0),
  payload_type text NOT NULL,
  payload bytea NOT NULL,
  add_time timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX feed_event_age ON feed_event (add_time);

-- Who sees what, for pages by party. The nil organization stands for the operator, who sees all.
CREATE TABLE feed_party (
  organization uuid NOT NULL,
  seq bigint NOT NULL REFERENCES feed_event ON DELETE CASCADE,
  PRIMARY KEY (organization, seq)
);
CREATE INDEX feed_party_event ON feed_party (seq);

ALTER TABLE feed_event ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed_event FORCE ROW LEVEL SECURITY;
ALTER TABLE feed_party ENABLE ROW LEVEL SECURITY;
ALTER TABLE feed_party FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON feed_event FOR ALL TO notifications_worker USING (true) WITH CHECK (true);
CREATE POLICY worker ON feed_party FOR ALL TO notifications_worker USING (true) WITH CHECK (true);
CREATE POLICY party ON feed_event FOR SELECT TO notifications_reader
  USING (runtime.asking() = ANY (parties) OR runtime.asking_role('operator'));
CREATE POLICY party ON feed_party FOR SELECT TO notifications_reader
  USING (organization = runtime.asking() OR runtime.asking_role('operator'));
GRANT SELECT ON feed_event, feed_party, feed_state TO notifications_reader;

CREATE FUNCTION ask(p_asking uuid, p_roles text) RETURNS void LANGUAGE sql AS $$
  SELECT set_config('millrace.organization', coalesce(p_asking::text, ''), true), set_config('millrace.roles', p_roles, true);
$$;

-- Whose list in feed_party the caller reads.
CREATE FUNCTION list_of(p_asking uuid, p_roles text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN 'operator' = ANY (string_to_array(p_roles, ',')) THEN '00000000-0000-0000-0000-000000000000'::uuid ELSE p_asking END;
$$;

CREATE FUNCTION read_event(p_asking uuid, p_roles text, p_id uuid) RETURNS SETOF feed_event LANGUAGE plpgsql AS $$
BEGIN
  PERFORM notifications.ask(p_asking, p_roles);
  RETURN QUERY SELECT * FROM notifications.feed_event WHERE event_id = p_id;
END $$;

-- p_types: types or kinds; empty for all. p_newest_first: those before p_from (null: from the end), else those after it.
CREATE FUNCTION list_events(p_asking uuid, p_roles text, p_from bigint, p_newest_first boolean, p_rows bigint, p_types text[],
                            p_subject text) RETURNS SETOF feed_event LANGUAGE plpgsql AS $$
DECLARE
  v_list uuid := notifications.list_of(p_asking, p_roles);
BEGIN
  PERFORM notifications.ask(p_asking, p_roles);
  IF p_newest_first THEN
    RETURN QUERY SELECT e.* FROM notifications.feed_party p JOIN notifications.feed_event e ON e.seq = p.seq
      WHERE p.organization = v_list AND (p_from IS NULL OR p.seq < p_from)
        AND (cardinality(p_types) = 0 OR e.type = ANY (p_types) OR e.kind = ANY (p_types))
        AND (p_subject = '' OR e.subject = p_subject)
      ORDER BY p.seq DESC LIMIT p_rows;
  ELSE
    RETURN QUERY SELECT e.* FROM notifications.feed_party p JOIN notifications.feed_event e ON e.seq = p.seq
      WHERE p.organization = v_list AND p.seq > p_from
        AND (cardinality(p_types) = 0 OR e.type = ANY (p_types) OR e.kind = ANY (p_types))
        AND (p_subject = '' OR e.subject = p_subject)
      ORDER BY p.seq LIMIT p_rows;
  END IF;
END $$;

-- Where a wait starts: after the event p_after_id, else after p_after, else at the head.
CREATE FUNCTION start_of_wait(p_asking uuid, p_roles text, p_after bigint, p_after_id uuid)
RETURNS TABLE (r_start bigint, r_head bigint, r_reset boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_pruned bigint;
  v_start bigint;
BEGIN
  PERFORM notifications.ask(p_asking, p_roles);
  SELECT head, pruned INTO r_head, v_pruned FROM notifications.feed_state;
  IF p_after_id IS NULL THEN
    v_start := coalesce(p_after, r_head);
  ELSE
    v_start := (SELECT seq FROM notifications.feed_event WHERE event_id = p_after_id);
  END IF;
  -- Beyond the head: the caller knows another database's feed.
  r_reset := v_start IS NULL OR v_start > r_head OR v_start < v_pruned;
  r_start := CASE WHEN r_reset THEN r_head ELSE v_start END;
  RETURN NEXT;
END $$;
