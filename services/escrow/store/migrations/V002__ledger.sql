-- SPDX-License-Identifier: Apache-2.0
-- The ledger: what is written in it stays. Balances follow the entries under row locks; the database itself refuses what does not
-- sum to zero and what overdraws.

CREATE TABLE account (
  kind text NOT NULL CHECK (kind IN ('available', 'held', 'payable', 'fee', 'suspense', 'custodian')),
  owner uuid NOT NULL,  -- an organization, an escrow (held), or the nil id
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  balance bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (kind, owner, currency),
  CONSTRAINT account_not_negative CHECK (balance >= 0 OR kind IN ('fee', 'custodian'))
) WITH (fillfactor = 75);

CREATE TABLE transfer (
  id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('hold', 'capture', 'void', 'expire', 'pay_in', 'pay_out', 'withdrawal')),
  escrow uuid,
  buyer uuid,
  provider uuid,
  time timestamptz NOT NULL
);
CREATE INDEX transfer_buyer ON transfer (buyer, id DESC);
CREATE INDEX transfer_provider ON transfer (provider, id DESC);
CREATE INDEX transfer_escrow ON transfer (escrow, id DESC);

CREATE TABLE entry (
  transfer uuid NOT NULL REFERENCES transfer,
  position smallint NOT NULL,
  kind text NOT NULL,
  owner uuid NOT NULL,
  currency text NOT NULL,
  amount bigint NOT NULL CHECK (amount <> 0),
  PRIMARY KEY (transfer, position),
  FOREIGN KEY (kind, owner, currency) REFERENCES account
);

CREATE TABLE escrow (
  id uuid PRIMARY KEY,
  booking uuid NOT NULL UNIQUE,
  buyer uuid,     -- null: a tombstone, voided before its hold came
  provider uuid,
  state text NOT NULL CHECK (state IN ('AWAITING', 'HELD', 'CAPTURED', 'PAID_OUT', 'VOIDED', 'EXPIRED')),
  currency text NOT NULL,
  price bigint NOT NULL CHECK (price >= 0),
  deposit bigint NOT NULL CHECK (deposit >= 0),
  captured bigint NOT NULL CHECK (captured BETWEEN 0 AND price),
  fee bigint NOT NULL,
  payout bigint NOT NULL CHECK (payout >= 0),
  returned bigint NOT NULL CHECK (returned BETWEEN 0 AND price + deposit),
  missing bigint NOT NULL CHECK (missing >= 0),
  reason text NOT NULL,
  payout_state text NOT NULL CHECK (payout_state IN ('NONE', 'SENT', 'UNKNOWN', 'DONE', 'FAILED')),
  payout_attempt int NOT NULL,
  payout_detail text NOT NULL,
  payout_time timestamptz,
  expire_time timestamptz NOT NULL,
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  version bigint NOT NULL,
  CHECK (captured = fee + payout),
  CHECK (state NOT IN ('CAPTURED', 'PAID_OUT') OR captured + returned = price + deposit),
  CHECK (buyer IS NOT NULL OR state IN ('VOIDED', 'EXPIRED'))
);
CREATE INDEX escrow_buyer ON escrow (buyer, id DESC);
CREATE INDEX escrow_provider ON escrow (provider, id DESC);
CREATE INDEX escrow_awaiting ON escrow (buyer, currency) WHERE state = 'AWAITING';
CREATE INDEX escrow_held ON escrow (buyer, currency) WHERE state = 'HELD';
CREATE INDEX escrow_captured ON escrow (provider) WHERE state = 'CAPTURED';

-- Each instruction to pay, written before it is sent. The id is what the custodian knows it by.
CREATE TABLE pay_out (
  id uuid PRIMARY KEY,
  escrow uuid NOT NULL REFERENCES escrow,
  attempt int NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  beneficiary_name text NOT NULL,
  state text NOT NULL CHECK (state IN ('SENT', 'UNKNOWN', 'DONE', 'FAILED')),
  reason text NOT NULL,
  send_time timestamptz NOT NULL,
  UNIQUE (escrow, attempt)
);
CREATE INDEX pay_out_open ON pay_out (id) WHERE state IN ('SENT', 'UNKNOWN');

CREATE TABLE pay_in (
  custodian_id text PRIMARY KEY,
  transfer uuid NOT NULL UNIQUE REFERENCES transfer,
  organization uuid,  -- null: in suspense
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  reference text NOT NULL,
  payer_name text NOT NULL,
  value_time timestamptz NOT NULL
);
CREATE INDEX pay_in_organization ON pay_in (organization, transfer DESC);

-- What the custodian's notices said; hints only.
CREATE TABLE notice (
  notice_id text PRIMARY KEY,
  kind text NOT NULL,
  transfer_id text NOT NULL,
  receive_time timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- How far the custodian's list of pay-ins has been read.
CREATE TABLE custodian_cursor (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  cursor bigint NOT NULL DEFAULT 0
);
INSERT INTO custodian_cursor DEFAULT VALUES;

CREATE TABLE payment_reference (
  reference text PRIMARY KEY,
  organization uuid NOT NULL UNIQUE
);
-- What was heard of an organization: from credit its tier as provider, from identity its name and whether it is suspended.
CREATE TABLE party (
  organization uuid PRIMARY KEY,
  tier int NOT NULL DEFAULT 3,
  tier_version bigint NOT NULL DEFAULT 0,
  name text NOT NULL DEFAULT '',
  suspended boolean NOT NULL DEFAULT false,
  organization_version bigint NOT NULL DEFAULT 0
);

-- Append only: by privilege for the worker, by trigger for everybody.
REVOKE UPDATE, DELETE, TRUNCATE ON transfer, entry, pay_in, notice FROM escrow_worker;
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = '42501';
END $$;
CREATE TRIGGER transfer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entry EXECUTE FUNCTION refuse_change();

-- All entries of a transfer come in one statement, and sum to zero in each currency.
CREATE FUNCTION check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  wrong uuid;
BEGIN
  SELECT transfer INTO wrong FROM added GROUP BY transfer, currency HAVING sum(amount) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'transfer % does not sum to zero', wrong USING ERRCODE = '23514';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER entry_balanced AFTER INSERT ON entry REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION check_balanced();

-- Who may see: an escrow's parties see it and its transfers with every entry; a payer sees its pay-ins; the operator and other
-- services see all. Accounts: one's own.
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['account', 'transfer', 'entry', 'escrow', 'pay_out', 'pay_in', 'payment_reference'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY worker ON %I FOR ALL TO escrow_worker USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY instance ON %I FOR SELECT TO escrow_reader USING '
                   '(runtime.asking_role(''operator'') OR runtime.asking_role(''service''))', name);
    EXECUTE format('GRANT SELECT ON %I TO escrow_reader', name);
  END LOOP;
END $$;
CREATE POLICY own ON account FOR SELECT TO escrow_reader USING (kind IN ('available', 'payable') AND owner = runtime.asking());
CREATE POLICY parties ON transfer FOR SELECT TO escrow_reader USING (runtime.asking() IN (buyer, provider));
CREATE POLICY parties ON entry FOR SELECT TO escrow_reader
  USING (EXISTS (SELECT 1 FROM transfer t WHERE t.id = entry.transfer AND runtime.asking() IN (t.buyer, t.provider)));
CREATE POLICY parties ON escrow FOR SELECT TO escrow_reader USING (runtime.asking() IN (buyer, provider));
CREATE POLICY provider ON pay_out FOR SELECT TO escrow_reader
  USING (EXISTS (SELECT 1 FROM escrow e WHERE e.id = pay_out.escrow AND e.provider = runtime.asking()));
CREATE POLICY own ON pay_in FOR SELECT TO escrow_reader USING (organization = runtime.asking());
CREATE POLICY own ON payment_reference FOR SELECT TO escrow_reader USING (organization = runtime.asking());
