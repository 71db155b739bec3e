-- SPDX-License-Identifier: Apache-2.0
-- What every service keeps beside its own tables: replay bytes, events, positions and due work. Run in the service's schema.

-- The outcome of a command, kept with its effect: 2xx and business refusals only. Kept 72 h.
CREATE TABLE idempotency (
  organization uuid NOT NULL,
  method text NOT NULL,
  key text NOT NULL,
  fingerprint bytea NOT NULL,
  outcome bytea NOT NULL,
  create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (organization, method, key)
);
CREATE INDEX idempotency_age ON idempotency (create_time);

-- Facts. `id` is drawn after the aggregate's lock, so within an aggregate it follows the versions; `seq` is stamped by the relay
-- on committed rows only, in id order, without gaps.
CREATE TABLE event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  seq bigint UNIQUE,
  event_id uuid NOT NULL UNIQUE,
  type text NOT NULL,
  aggregate text NOT NULL,
  aggregate_version bigint NOT NULL,
  time timestamptz NOT NULL,
  parties uuid[] NOT NULL,
  payload_type text NOT NULL,
  payload bytea NOT NULL,
  traceparent text NOT NULL DEFAULT ''
);
CREATE INDEX event_unstamped ON event (id) WHERE seq IS NULL;
CREATE TABLE event_log (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  head bigint NOT NULL DEFAULT 0
);
INSERT INTO event_log DEFAULT VALUES;

-- How far this service has applied another's log; moves in the same transaction as the effects.
CREATE TABLE position (
  source text PRIMARY KEY,
  seq bigint NOT NULL CHECK (seq >= 0)
);
-- An event that could not be applied parks its aggregate: later events of it are kept here too, in order, until released.
CREATE TABLE parked_event (
  source text NOT NULL,
  seq bigint NOT NULL,
  aggregate text NOT NULL,
  cause text NOT NULL,
  park_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (source, seq)
);
CREATE INDEX parked_event_aggregate ON parked_event (source, aggregate);

-- Due work: timers, saga steps, retries. The effect and the row's end commit together; `fence` grows with each claim, so that a
-- claimant that slept cannot end work that another one has taken.
CREATE TABLE task (
  id uuid PRIMARY KEY,
  kind text NOT NULL,
  subject uuid NOT NULL,
  due_at timestamptz NOT NULL,
  attempts int NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 0,
  payload bytea NOT NULL DEFAULT ''
);
CREATE INDEX task_due ON task (due_at, id);
CREATE INDEX task_subject ON task (subject);
