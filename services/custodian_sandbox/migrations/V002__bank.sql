-- SPDX-License-Identifier: Apache-2.0
-- The bank's books: its customer's account, everyone else in one account, and what moved between them.

CREATE TABLE account (
  number text PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('customer', 'world')),
  balance bigint NOT NULL DEFAULT 0,
  pay_in_cursor bigint NOT NULL DEFAULT 0,
  CHECK (kind = 'world' OR balance >= 0)
);
INSERT INTO account (number, kind) VALUES ('world', 'world');

-- A cursor is drawn under the account's row lock, so whoever has read up to one has missed none before it.
CREATE TABLE pay_in (
  id uuid PRIMARY KEY,
  account text NOT NULL REFERENCES account,
  cursor bigint NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  reference text NOT NULL,
  payer_name text NOT NULL,
  value_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (account, cursor)
);

-- The id is the customer's: the same instruction sent twice is paid once.
CREATE TABLE pay_out (
  id text PRIMARY KEY,
  account text NOT NULL REFERENCES account,
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  beneficiary_name text NOT NULL,
  beneficiary_account text NOT NULL,
  purpose text NOT NULL,
  state text NOT NULL CHECK (state IN ('PENDING', 'DONE', 'FAILED')),
  reason text NOT NULL DEFAULT '',
  value_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  settle_time timestamptz,
  CHECK (state <> 'PENDING' OR settle_time IS NOT NULL)
);
CREATE INDEX pay_out_pending ON pay_out (settle_time) WHERE state = 'PENDING';

-- Each movement names both accounts, so the books balance by their shape.
CREATE TABLE movement (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transfer text NOT NULL UNIQUE,
  from_account text NOT NULL REFERENCES account,
  to_account text NOT NULL REFERENCES account,
  amount bigint NOT NULL CHECK (amount > 0),
  time timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (from_account <> to_account)
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'movements are only appended';
END $$;
CREATE TRIGGER movement_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movement
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the customer is still to be told.
CREATE TABLE notice (
  id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('pay_in', 'pay_out')),
  transfer text NOT NULL,
  due_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts int NOT NULL DEFAULT 0,
  last_failure text NOT NULL DEFAULT '',
  deliver_time timestamptz
);
CREATE INDEX notice_due ON notice (due_time) WHERE deliver_time IS NULL;
