-- Most rows of a large commit are alike but for their event: first claims, and first
-- attempts that succeeded. What they have in common is sent once (docs/decisions/0015).
SET LOCAL ROLE ingot_owner;

-- Stores a transition of each event that has no such number yet; the ids ascend. Returns
-- the ids of those that were stored, or one NULL for all of them.
CREATE FUNCTION ingot.insert_alike(
  event_ids bytea[], job int, seq int, attempt int, state_before int, state_after int, owner bytea)
RETURNS SETOF bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
#variable_conflict use_variable
BEGIN
  BEGIN
    INSERT INTO ingot.transitions
      (event_id, job, seq, attempt, state_before, state_after, owner)
    SELECT unnest(event_ids), job, seq, attempt, state_before, state_after, owner;
    RETURN NEXT NULL;
    RETURN;
  EXCEPTION WHEN unique_violation THEN
    NULL;
  END;
  RETURN QUERY
  INSERT INTO ingot.transitions AS t
    (event_id, job, seq, attempt, state_before, state_after, owner)
  SELECT g.event_id, job, seq, attempt, state_before, state_after, owner
  FROM unnest(event_ids) WITH ORDINALITY AS g (event_id, n)
  ORDER BY g.n
  ON CONFLICT DO NOTHING
  RETURNING t.event_id;
END
$$;
RESET ROLE;
