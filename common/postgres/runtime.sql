-- SPDX-License-Identifier: Apache-2.0
-- The instance's clock. Business time everywhere is runtime.now(): the database's clock plus the test clock's offset.
CREATE SCHEMA IF NOT EXISTS runtime;
CREATE TABLE IF NOT EXISTS runtime.clock (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  test boolean NOT NULL DEFAULT false,
  ahead interval NOT NULL DEFAULT '0' CHECK (ahead >= '0')
);
INSERT INTO runtime.clock DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE OR REPLACE FUNCTION runtime.now() RETURNS timestamptz LANGUAGE sql STABLE SECURITY DEFINER SET search_path = runtime
  AS $$ SELECT clock_timestamp() + ahead FROM runtime.clock $$;
-- A time as integer microseconds since 1970, the form in which times are read.
CREATE OR REPLACE FUNCTION runtime.micros(timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  AS $$ SELECT (extract(epoch FROM $1) * 1000000)::bigint $$;
-- The organization that asks, for row-level security policies; null if nobody is named.
CREATE OR REPLACE FUNCTION runtime.asking() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT nullif(current_setting('millrace.organization', true), '')::uuid $$;
CREATE OR REPLACE FUNCTION runtime.asking_role(wanted text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT wanted = ANY (string_to_array(coalesce(current_setting('millrace.roles', true), ''), ',')) $$;
GRANT USAGE ON SCHEMA runtime TO PUBLIC;
