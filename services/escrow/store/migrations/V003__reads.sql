-- SPDX-License-Identifier: Apache-2.0
-- Reads for a caller: one round trip each, behind row-level security.

-- Times are micros. The order of the columns is that of store/rows.cpp.
CREATE FUNCTION escrow_rows(asking uuid, roles text, wanted uuid, of_booking uuid, of_state text, older_than uuid, at_most int)
RETURNS TABLE (id uuid, booking uuid, buyer uuid, provider uuid, state text, currency text, price bigint, deposit bigint,
               captured bigint, fee bigint, payout bigint, returned bigint, missing bigint, reason text, payout_state text,
               payout_attempt int, payout_detail text, payout_time bigint, expire_time bigint, create_time bigint,
               update_time bigint, version bigint, payment_reference text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  everything boolean;
BEGIN
  PERFORM set_config('millrace.organization', coalesce(asking::text, ''), true), set_config('millrace.roles', roles, true);
  everything := runtime.asking_role('operator') OR runtime.asking_role('service');
  RETURN QUERY
  WITH page AS (
    SELECT e.* FROM (
      (SELECT * FROM escrow a WHERE NOT everything AND a.buyer = asking AND (wanted IS NULL OR a.id = wanted)
         AND (of_booking IS NULL OR a.booking = of_booking) AND (of_state IS NULL OR a.state = of_state)
         AND (older_than IS NULL OR a.id < older_than) ORDER BY a.id DESC LIMIT at_most)
      UNION
      (SELECT * FROM escrow b WHERE NOT everything AND b.provider = asking AND (wanted IS NULL OR b.id = wanted)
         AND (of_booking IS NULL OR b.booking = of_booking) AND (of_state IS NULL OR b.state = of_state)
         AND (older_than IS NULL OR b.id < older_than) ORDER BY b.id DESC LIMIT at_most)
      UNION
      (SELECT * FROM escrow c WHERE everything AND c.buyer IS NOT NULL AND (wanted IS NULL OR c.id = wanted)
         AND (of_booking IS NULL OR c.booking = of_booking) AND (of_state IS NULL OR c.state = of_state)
         AND (older_than IS NULL OR c.id < older_than) ORDER BY c.id DESC LIMIT at_most)
    ) e ORDER BY e.id DESC LIMIT at_most)
  SELECT p.id, p.booking, p.buyer, p.provider, p.state, p.currency, p.price, p.deposit, p.captured, p.fee, p.payout,
         p.returned, p.missing, p.reason, p.payout_state, p.payout_attempt, p.payout_detail, runtime.micros(p.payout_time),
         runtime.micros(p.expire_time), runtime.micros(p.create_time), runtime.micros(p.update_time), p.version,
         coalesce(r.reference, '')
  FROM page p LEFT JOIN payment_reference r ON r.organization = p.buyer ORDER BY p.id DESC;
END $$;

-- Entries of a page of transfers, newest transfer first; positions in order.
CREATE FUNCTION transfer_rows(asking uuid, roles text, of_escrow uuid, older_than uuid, at_most int)
RETURNS TABLE (id uuid, kind text, escrow uuid, at bigint, account_kind text, owner uuid, currency text, amount bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  everything boolean;
BEGIN
  PERFORM set_config('millrace.organization', coalesce(asking::text, ''), true), set_config('millrace.roles', roles, true);
  everything := runtime.asking_role('operator') OR runtime.asking_role('service');
  RETURN QUERY
  WITH page AS (
    SELECT t.* FROM (
      (SELECT * FROM transfer a WHERE NOT everything AND a.buyer = asking AND (of_escrow IS NULL OR a.escrow = of_escrow)
         AND (older_than IS NULL OR a.id < older_than) ORDER BY a.id DESC LIMIT at_most)
      UNION
      (SELECT * FROM transfer b WHERE NOT everything AND b.provider = asking AND (of_escrow IS NULL OR b.escrow = of_escrow)
         AND (older_than IS NULL OR b.id < older_than) ORDER BY b.id DESC LIMIT at_most)
      UNION
      (SELECT * FROM transfer c WHERE everything AND (of_escrow IS NULL OR c.escrow = of_escrow)
         AND (older_than IS NULL OR c.id < older_than) ORDER BY c.id DESC LIMIT at_most)
    ) t ORDER BY t.id DESC LIMIT at_most)
  SELECT p.id, p.kind, p.escrow, runtime.micros(p.time), e.kind, e.owner, e.currency, e.amount
  FROM page p JOIN entry e ON e.transfer = p.id ORDER BY p.id DESC, e.position;
END $$;

-- One row: available, held (as buyer), payable, payment reference.
CREATE FUNCTION balance_row(asking uuid, roles text, wanted_currency text)
RETURNS TABLE (available bigint, held bigint, payable bigint, payment_reference text)
LANGUAGE plpgsql AS $$
BEGIN
  -- One's own balance, whatever else one may see.
  PERFORM set_config('millrace.organization', coalesce(asking::text, ''), true), set_config('millrace.roles', roles, true);
  RETURN QUERY SELECT
    coalesce((SELECT a.balance FROM account a WHERE a.kind = 'available' AND a.owner = asking AND a.currency = wanted_currency), 0),
    coalesce((SELECT sum(e.price + e.deposit) FROM escrow e
              WHERE e.buyer = asking AND e.currency = wanted_currency AND e.state = 'HELD'), 0)::bigint,
    coalesce((SELECT a.balance FROM account a WHERE a.kind = 'payable' AND a.owner = asking AND a.currency = wanted_currency), 0),
    coalesce((SELECT r.reference FROM payment_reference r WHERE r.organization = asking), '');
END $$;

-- The ledger against itself, in one snapshot: name, number of faults, an example or the figures.
CREATE FUNCTION verify_ledger() RETURNS TABLE (name text, faults bigint, detail text) LANGUAGE sql STABLE AS $$
  WITH unbalanced AS (
    SELECT transfer FROM entry GROUP BY transfer, currency HAVING sum(amount) <> 0
  ), differing AS (
    SELECT coalesce(a.kind, s.kind) AS kind, coalesce(a.owner, s.owner) AS owner, coalesce(a.currency, s.currency) AS currency,
           coalesce(a.balance, 0) AS balance, coalesce(s.total, 0) AS total
    FROM account a FULL JOIN (SELECT kind, owner, currency, sum(amount) AS total FROM entry GROUP BY 1, 2, 3) s
      USING (kind, owner, currency)
    WHERE coalesce(a.balance, 0) <> coalesce(s.total, 0)
  ), negative AS (
    SELECT kind, owner, currency, balance FROM account WHERE balance < 0 AND kind NOT IN ('fee', 'custodian')
  ), wrong_hold AS (
    SELECT coalesce(e.id, a.owner) AS id FROM
      (SELECT id, currency, price + deposit AS total FROM escrow WHERE state = 'HELD') e
      FULL JOIN (SELECT owner, currency, balance FROM account WHERE kind = 'held' AND balance <> 0) a
        ON a.owner = e.id AND a.currency = e.currency
    WHERE coalesce(e.total, 0) <> coalesce(a.balance, 0)
    UNION ALL
    SELECT coalesce(e.provider, a.owner) FROM
      (SELECT provider, currency, sum(payout) AS total FROM escrow WHERE state = 'CAPTURED' GROUP BY 1, 2) e
      FULL JOIN (SELECT owner, currency, balance FROM account WHERE kind = 'payable' AND balance <> 0) a
        ON a.owner = e.provider AND a.currency = e.currency
    WHERE coalesce(e.total, 0) <> coalesce(a.balance, 0)
  )
  SELECT 'transfers_sum_to_zero', count(*),
         CASE WHEN count(*) = 0 THEN (SELECT count(*) FROM transfer) || ' transfers, ' || (SELECT count(*) FROM entry) || ' entries'
              ELSE count(*) || ' transfers do not, e.g. ' || min(transfer::text) END
  FROM unbalanced
  UNION ALL
  SELECT 'balances_equal_entries', count(*),
         CASE WHEN count(*) = 0 THEN (SELECT count(*) FROM account) || ' accounts'
              ELSE count(*) || ' accounts differ, e.g. ' || min(kind || '/' || owner || ' has ' || balance || ', entries say ' || total)
         END
  FROM differing
  UNION ALL
  SELECT 'bounded_not_negative', count(*),
         CASE WHEN count(*) = 0 THEN (SELECT count(*) FROM account WHERE kind NOT IN ('fee', 'custodian')) || ' bounded accounts'
              ELSE count(*) || ' are, e.g. ' || min(kind || '/' || owner || ' ' || balance) END
  FROM negative
  UNION ALL
  SELECT 'holds_equal_escrows', count(*),
         CASE WHEN count(*) = 0 THEN (SELECT count(*) FROM escrow WHERE state = 'HELD') || ' escrows held, '
                                     || (SELECT count(*) FROM escrow WHERE state = 'CAPTURED') || ' to be paid out'
              ELSE count(*) || ' differ, e.g. ' || min(id::text) END
  FROM wrong_hold
$$;
