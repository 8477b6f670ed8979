-- As before, and also those that were stopped half-way through sending a commit: until
-- the rest of it comes they are "active" for the server, and wait for it in ClientRead
-- as those do that are idle in their transaction.
SET LOCAL ROLE ingot_owner;
CREATE OR REPLACE FUNCTION ingot.end_blockers(silence interval) RETURNS int LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(*)::int
  FROM (
    SELECT a.pid
    FROM (SELECT DISTINCT unnest(pg_blocking_pids(pid)) AS pid FROM pg_locks WHERE NOT granted) AS b
    JOIN pg_stat_activity AS a USING (pid)
    WHERE a.usename = session_user AND a.wait_event = 'ClientRead'
      AND a.state IN ('idle in transaction', 'active')
      AND a.state_change < clock_timestamp() - silence
    OFFSET 0) AS blockers
  WHERE pg_terminate_backend(pid)
$$;
RESET ROLE;
