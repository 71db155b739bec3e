-- SPDX-License-Identifier: Apache-2.0
-- Facts are the truth and stay as they are; a credit row is what follows from them and can be computed again from the log.

-- What was heard of a booking that was confirmed.
CREATE TABLE trade (
  booking uuid PRIMARY KEY,
  buyer uuid NOT NULL,
  provider uuid NOT NULL,
  value bigint NOT NULL,
  currency text NOT NULL,
  close_time timestamptz  -- set: closed, so it may be reviewed
);

CREATE TABLE fact (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order in which facts were judged
  id uuid NOT NULL UNIQUE,
  organization uuid NOT NULL,
  role smallint NOT NULL CHECK (role IN (1, 2)),
  dimension smallint NOT NULL CHECK (dimension BETWEEN 1 AND 6),
  good int NOT NULL CHECK (good BETWEEN 0 AND 1000),
  weight int NOT NULL CHECK (weight > 0),
  counterparty uuid NOT NULL,
  booking uuid NOT NULL,
  cause uuid NOT NULL,
  settled boolean NOT NULL,
  time timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  CHECK (organization <> counterparty)
);
CREATE INDEX fact_log ON fact (organization, role, seq);
CREATE INDEX fact_page ON fact (organization, id DESC);

CREATE TABLE credit (
  organization uuid NOT NULL,
  role smallint NOT NULL CHECK (role IN (1, 2)),
  grade text NOT NULL CHECK (grade IN ('N', 'AAA', 'AA', 'A', 'B', 'C', 'D')),
  grade_time timestamptz,
  score int NOT NULL CHECK (score BETWEEN 3000 AND 9000),
  score_low int NOT NULL,
  score_high int NOT NULL,
  bad_rate int NOT NULL,
  settled int NOT NULL,
  counterparties int NOT NULL,
  evidence_time timestamptz,
  tier int NOT NULL CHECK (tier BETWEEN 1 AND 4),
  tier_version bigint NOT NULL,
  suspended boolean NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (organization, role),
  CHECK (score_low <= score AND score <= score_high)
) WITH (fillfactor = 80);

CREATE TABLE review (
  id uuid PRIMARY KEY,
  booking uuid NOT NULL REFERENCES trade,
  author uuid NOT NULL,
  subject uuid NOT NULL,
  subject_role smallint NOT NULL CHECK (subject_role IN (1, 2)),
  rating int NOT NULL CHECK (rating BETWEEN 1 AND 5),
  comment text NOT NULL,
  deadline timestamptz NOT NULL,
  create_time timestamptz NOT NULL,
  publish_time timestamptz,
  version bigint NOT NULL,
  UNIQUE (booking, author)
);
CREATE INDEX review_author ON review (author, id DESC);
CREATE INDEX review_subject ON review (subject, id DESC);

-- Facts are append only: by privilege for the worker, by trigger for everybody.
REVOKE UPDATE, DELETE, TRUNCATE ON fact FROM credit_worker;
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = '42501';
END $$;
CREATE TRIGGER fact_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON fact EXECUTE FUNCTION refuse_change();

-- Who may see: grade and summary everybody with a key; facts their organization; a review its author, and its subject once it is
-- published; the operator everything.
GRANT SELECT ON fact, credit, review TO credit_reader;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['trade', 'fact', 'credit', 'review'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY worker ON %I TO credit_worker USING (true) WITH CHECK (true)', name);
  END LOOP;
END $$;
CREATE POLICY seen ON credit FOR SELECT TO credit_reader
  USING (runtime.asking() IS NOT NULL OR runtime.asking_role('service'));
CREATE POLICY seen ON fact FOR SELECT TO credit_reader
  USING (organization = runtime.asking() OR runtime.asking_role('operator'));
CREATE POLICY seen ON review FOR SELECT TO credit_reader
  USING (author = runtime.asking() OR (subject = runtime.asking() AND publish_time IS NOT NULL)
         OR runtime.asking_role('operator'));

CREATE FUNCTION ask(p_asking uuid, p_roles text) RETURNS void LANGUAGE sql AS $$
  SELECT set_config('millrace.organization', coalesce(p_asking::text, ''), true), set_config('millrace.roles', p_roles, true);
$$;

-- With the business time, to tell what is stale.
CREATE FUNCTION read_credit(p_asking uuid, p_roles text, p_organization uuid, p_role bigint)
RETURNS TABLE (r_now bigint, r_organization uuid, r_role int, r_grade text, r_grade_time bigint, r_score int, r_low int,
               r_high int, r_bad_rate int, r_settled int, r_counterparties int, r_evidence_time bigint, r_tier int,
               r_tier_version bigint, r_suspended boolean, r_version bigint)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM credit.ask(p_asking, p_roles);
  RETURN QUERY SELECT runtime.micros(runtime.now()), organization, role::int, grade, runtime.micros(grade_time), score, score_low,
                      score_high, bad_rate, settled, counterparties, runtime.micros(evidence_time), tier, tier_version, suspended,
                      version
    FROM credit.credit WHERE organization = p_organization AND (p_role = 0 OR role = p_role) ORDER BY role;
END $$;

CREATE FUNCTION list_facts(p_asking uuid, p_roles text, p_organization uuid, p_role bigint, p_after uuid, p_rows bigint)
RETURNS TABLE (r_id uuid, r_organization uuid, r_role int, r_dimension int, r_good int, r_weight int, r_counterparty uuid,
               r_booking uuid, r_cause uuid, r_settled boolean, r_time bigint)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM credit.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, organization, role::int, dimension::int, good, weight, counterparty, booking, cause, settled,
                      runtime.micros(time)
    FROM credit.fact
    WHERE organization = p_organization AND (p_role = 0 OR role = p_role) AND (p_after IS NULL OR id < p_after)
    ORDER BY id DESC LIMIT p_rows;
END $$;

-- The whole log of one role, in its order: what an explanation is computed from.
CREATE FUNCTION read_log(p_asking uuid, p_roles text, p_organization uuid, p_role bigint)
RETURNS TABLE (r_id uuid, r_organization uuid, r_role int, r_dimension int, r_good int, r_weight int, r_counterparty uuid,
               r_booking uuid, r_cause uuid, r_settled boolean, r_time bigint)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM credit.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, organization, role::int, dimension::int, good, weight, counterparty, booking, cause, settled,
                      runtime.micros(time)
    FROM credit.fact WHERE organization = p_organization AND role = p_role ORDER BY seq;
END $$;

CREATE FUNCTION list_reviews(p_asking uuid, p_roles text, p_booking uuid, p_after uuid, p_rows bigint)
RETURNS TABLE (r_id uuid, r_booking uuid, r_author uuid, r_subject uuid, r_subject_role int, r_rating int, r_comment text,
               r_deadline bigint, r_create_time bigint, r_publish_time bigint, r_version bigint)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM credit.ask(p_asking, p_roles);
  RETURN QUERY SELECT id, booking, author, subject, subject_role::int, rating, comment, runtime.micros(deadline),
                      runtime.micros(create_time), runtime.micros(publish_time), version
    FROM credit.review
    WHERE (author = p_asking OR subject = p_asking OR runtime.asking_role('operator'))
      AND (p_booking IS NULL OR booking = p_booking) AND (p_after IS NULL OR id < p_after)
    ORDER BY id DESC LIMIT p_rows;
END $$;
