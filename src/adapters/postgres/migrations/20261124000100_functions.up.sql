-- What the adapter asks of the server in one round trip, and what would cost to
-- plan: functions, whose plans the server keeps for its session behind any pooler
-- (PROTOCOL 7). They run with the caller's rights, and their settings are theirs alone.
SET LOCAL ROLE ingot_owner;

-- ---- writing ---------------------------------------------------------------
-- An array is a column of rows. Rows go in in the order of their keys (PROTOCOL
-- 1.4); created_at, ingested_at, epoch and xid are left to their defaults.

-- The ids of the events that were stored, ascending; the others were there before.
CREATE FUNCTION ingot.add_events(
  ids bytea[], sources text[], names text[], contexts json[], datas json[], jobs json[],
  sent timestamptz[], received timestamptz[])
RETURNS SETOF bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  RETURN QUERY
  INSERT INTO ingot.events AS e (id, source, name, context, data, jobs, sent_at, received_at)
  SELECT g.id, g.source, g.name, g.context, g.data, g.jobs, g.sent_at,
         coalesce(g.received_at, clock_timestamp())
  FROM unnest(ids, sources, names, contexts, datas, jobs, sent, received) WITH ORDINALITY
       AS g (id, source, name, context, data, jobs, sent_at, received_at, n)
  ORDER BY g.id, g.n
  ON CONFLICT DO NOTHING
  RETURNING e.id;
END
$$;

-- The keys of the transitions that were stored, ascending; the others have lost.
CREATE FUNCTION ingot.add_transitions(
  event_ids bytea[], jobs int[], seqs int[], attempts int[], befores int[], afters int[],
  owners bytea[], dues timestamptz[], errors json[])
RETURNS TABLE (event_id bytea, job int, seq int) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  INSERT INTO ingot.transitions AS t
    (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
  SELECT g.event_id, g.job, g.seq, g.attempt, g.state_before, g.state_after, g.owner, g.due_at,
         g.error
  FROM unnest(event_ids, jobs, seqs, attempts, befores, afters, owners, dues, errors)
       WITH ORDINALITY AS g (event_id, job, seq, attempt, state_before, state_after, owner, due_at,
                             error, n)
  ORDER BY g.event_id, g.job, g.seq, g.n
  ON CONFLICT DO NOTHING
  RETURNING t.event_id, t.job, t.seq;
END
$$;

-- The ordinals of the transitions that were stored, where some hang on others
-- (parents: ordinals) or have a notice. First those that hang on nothing, in one
-- statement, then those that hang on what was stored just now, and so on (PROTOCOL 1.5).
CREATE FUNCTION ingot.add_chains(
  event_ids bytea[], jobs int[], seqs int[], attempts int[], befores int[], afters int[],
  owners bytea[], dues timestamptz[], errors json[], parents int[], notices int[])
RETURNS SETOF int LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
SET enable_nestloop = off
AS $$
DECLARE
  won int[];
BEGIN
  LOOP
    WITH given AS MATERIALIZED (
      SELECT g.*
      FROM unnest(event_ids, jobs, seqs, attempts, befores, afters, owners, dues, errors, parents,
                  notices) WITH ORDINALITY
           AS g (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error,
                 parent, notice, n)
      WHERE CASE WHEN won IS NULL THEN g.parent IS NULL ELSE g.parent IN (SELECT unnest(won)) END
    ), stored AS (
      INSERT INTO ingot.transitions AS t
        (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
      SELECT g.event_id, g.job, g.seq, g.attempt, g.state_before, g.state_after, g.owner, g.due_at,
             g.error
      FROM given g
      ORDER BY g.event_id, g.job, g.seq, g.n
      ON CONFLICT DO NOTHING
      RETURNING t.event_id, t.job, t.seq
    ), numbered AS MATERIALIZED (
      SELECT DISTINCT ON (event_id, job, seq) event_id, job, seq, g.n, g.notice
      FROM given g JOIN stored USING (event_id, job, seq)
      ORDER BY event_id, job, seq, g.n
    ), noticed AS (
      INSERT INTO ingot.notices (event_id, job, seq)
      SELECT event_id, job, seq FROM numbered WHERE notice = 1
    )
    SELECT array_agg(n::int) INTO won FROM numbered;
    EXIT WHEN won IS NULL;
    RETURN QUERY SELECT unnest(won);
  END LOOP;
END
$$;

-- Without ON CONFLICT, which takes a full slot for a taken number (PROTOCOL 1.5, 6.3).
CREATE FUNCTION ingot.add_jobs(
  event_ids bytea[], numbers int[], ids bytea[], destinations text[], events text[],
  contexts json[], datas json[], parent_job_ids bytea[], dues timestamptz[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  INSERT INTO ingot.added_jobs
    (event_id, job, id, destination, event, context, data, parent_job_id, due_at)
  SELECT g.*
  FROM unnest(event_ids, numbers, ids, destinations, events, contexts, datas, parent_job_ids, dues)
       AS g (event_id, number, id, destination, event, context, data, parent_job_id, due_at)
  ORDER BY g.event_id, g.number;
END
$$;

CREATE FUNCTION ingot.add_retirements(event_ids bytea[], actors text[], reasons text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off
AS $$
BEGIN
  INSERT INTO ingot.retirements (event_id, actor, reason)
  SELECT g.event_id, g.actor, g.reason
  FROM unnest(event_ids, actors, reasons) WITH ORDINALITY AS g (event_id, actor, reason, n)
  WHERE EXISTS (SELECT FROM ingot.events e WHERE e.id = g.event_id)
  ORDER BY g.event_id, g.n
  ON CONFLICT DO NOTHING;
END
$$;

-- ---- reading ---------------------------------------------------------------
-- Their settings leave the planner no way but by index from row to row, so that
-- the cost is that of what is asked for and not of all history.

-- Events, and what belongs to each, as one kind of row, ascending by event and job:
--   the event:     job -1, id, texts source and name, jobs, times sent, received, ingested
--   a born job:    its latest transition, if it has one
--   an added job:  id, texts destination and event, parent, times due, none, created; its latest
CREATE TYPE ingot.event_row AS (
  event_id bytea, job int, id bytea, first_text text, second_text text, context json, data json,
  jobs json, parent_job_id bytea, first_time timestamptz, second_time timestamptz,
  created_at timestamptz, retired_at timestamptz,
  seq int, attempt int, state_before int, state_after int, owner bytea, due_at timestamptz,
  error json, moved_at timestamptz);

-- The jobs of an event's row without their contexts and data, which may be large.
-- What cannot be read so is given as it is: whoever decodes it says what is wrong.
CREATE FUNCTION ingot.jobs_to_route(jobs json) RETURNS json LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT json_agg((SELECT json_object_agg(m.key, m.value) FROM json_each(j.job) m
                           WHERE m.key NOT IN ('context', 'data')) ORDER BY j.n)
          FROM json_array_elements(jobs) WITH ORDINALITY AS j (job, n));
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN jobs;
END
$$;

-- The ids are ascending and distinct; unknown ones give no rows.
CREATE FUNCTION ingot.read_events(ids bytea[], payload boolean) RETURNS SETOF ingot.event_row
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  first CONSTANT bytea := ids[1]; -- so that segments beside them are not even opened
  last  CONSTANT bytea := ids[cardinality(ids)];
BEGIN
  RETURN QUERY
  SELECT e.id, r.*
  FROM unnest(ids) AS g (id)
  CROSS JOIN LATERAL (
    SELECT * FROM ingot.events WHERE id = g.id AND id BETWEEN first AND last OFFSET 0
  ) AS e
  CROSS JOIN LATERAL (
    SELECT -1 AS job, NULL::bytea AS id, e.source, e.name,
           CASE WHEN payload THEN e.context END, CASE WHEN payload THEN e.data END,
           CASE WHEN payload OR octet_length(e.jobs::text) <= 4096 THEN e.jobs
                ELSE ingot.jobs_to_route(e.jobs) END,
           NULL::bytea, e.sent_at, e.received_at, e.ingested_at,
           (SELECT r.created_at FROM ingot.retirements r
            WHERE r.event_id = e.id AND r.event_id BETWEEN first AND last),
           NULL::int, NULL::int, NULL::int, NULL::int, NULL::bytea, NULL::timestamptz, NULL::json,
           NULL::timestamptz
    UNION ALL
    SELECT b.job, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           t.seq, t.attempt, t.state_before, t.state_after, t.owner, t.due_at,
           CASE WHEN payload THEN t.error END, t.created_at
    FROM generate_series(0, CASE json_typeof(e.jobs) WHEN 'array' THEN json_array_length(e.jobs)
                            ELSE 0 END - 1) AS b (job)
    CROSS JOIN LATERAL (
      SELECT * FROM ingot.transitions
      WHERE event_id = e.id AND event_id BETWEEN first AND last AND transitions.job = b.job
      ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
    ) AS t
    UNION ALL
    SELECT a.job, a.id, a.destination, a.event,
           CASE WHEN payload THEN a.context END, CASE WHEN payload THEN a.data END, NULL,
           a.parent_job_id, a.due_at, NULL, a.created_at, NULL,
           t.seq, t.attempt, t.state_before, t.state_after, t.owner, t.due_at,
           CASE WHEN payload THEN t.error END, t.created_at
    FROM ingot.added_jobs AS a
    LEFT JOIN LATERAL (
      SELECT * FROM ingot.transitions
      WHERE event_id = a.event_id AND event_id BETWEEN first AND last AND transitions.job = a.job
      ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
    ) AS t ON true
    WHERE a.event_id = e.id AND a.event_id BETWEEN first AND last
  ) AS r
  ORDER BY e.id, r.job;
END
$$;

-- The same of the first events from an id on that are not retired; discarded: only
-- those that have a discarded job, or had one.
CREATE FUNCTION ingot.find_events(behind bytea, how_many int, discarded boolean)
RETURNS SETOF ingot.event_row LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  ids bytea[];
BEGIN
  IF discarded THEN
    ids := ARRAY(
      SELECT d.event_id
      FROM (SELECT DISTINCT t.event_id FROM ingot.transitions t
            WHERE t.state_after = 6 AND t.event_id >= behind ORDER BY t.event_id OFFSET 0) AS d
      WHERE NOT EXISTS (SELECT FROM ingot.retirements r WHERE r.event_id = d.event_id OFFSET 0)
        AND EXISTS (SELECT FROM ingot.events e WHERE e.id = d.event_id OFFSET 0)
      ORDER BY d.event_id LIMIT how_many);
  ELSE
    ids := ARRAY(
      SELECT e.id FROM ingot.events e
      WHERE e.id >= behind
        AND NOT EXISTS (SELECT FROM ingot.retirements r WHERE r.event_id = e.id OFFSET 0)
      ORDER BY e.id LIMIT how_many);
  END IF;
  RETURN QUERY SELECT * FROM ingot.read_events(ids, false);
END
$$;

-- The transitions that are there of the keys, ascending.
CREATE FUNCTION ingot.read_transitions(event_ids bytea[], jobs int[], seqs int[])
RETURNS SETOF ingot.transitions LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  RETURN QUERY
  SELECT t.* FROM unnest(event_ids, jobs, seqs) AS g (event_id, job, seq)
  JOIN ingot.transitions t USING (event_id, job, seq)
  ORDER BY t.event_id, t.job, t.seq;
END
$$;

-- ---- following -------------------------------------------------------------
-- What is visible now and was not to the snapshot after: what transactions wrote
-- that began behind it, or that it saw unfinished (PROTOCOL 3.2). Being STABLE, the
-- function has one snapshot for all that it asks. The first row, of kind 0, says
-- where the follower stands; it is the only one when after is NULL, or not of this
-- life of the store (is_ours). Then kind 1: events, 2: added jobs, 3: notices.
CREATE FUNCTION ingot.follow(after pg_snapshot, after_epoch int, after_system bigint)
RETURNS TABLE (
  kind int, event_id bytea, job int, id bytea, destination text, event text, jobs json,
  parent_job_id bytea, due_at timestamptz, created_at timestamptz, xid xid8,
  snapshot text, epoch int, system bigint, started_at timestamptz, in_recovery boolean,
  is_ours boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  mine  CONSTANT int := (SELECT max(epoch) FROM ingot.epochs);
  first CONSTANT xid8[] := ARRAY(SELECT pg_snapshot_xip(after)) || pg_snapshot_xmax(after);
  last  CONSTANT xid8[] := ARRAY(SELECT pg_snapshot_xip(after)) || '18446744073709551615'::xid8;
BEGIN
  kind := 0;
  snapshot := pg_current_snapshot();
  xid := pg_snapshot_xmin(pg_current_snapshot());
  epoch := mine;
  system := (SELECT system_identifier FROM pg_control_system());
  started_at := pg_postmaster_start_time();
  in_recovery := pg_is_in_recovery();
  is_ours := after_epoch = mine AND after_system = system
             AND pg_snapshot_xmax(after) <= pg_snapshot_xmax(pg_current_snapshot());
  RETURN NEXT;
  IF is_ours IS NOT TRUE THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT 1, e.id, NULL::int, NULL::bytea, NULL, NULL,
         CASE WHEN octet_length(e.jobs::text) <= 4096 THEN e.jobs
              ELSE ingot.jobs_to_route(e.jobs) END,
         NULL::bytea, NULL::timestamptz, e.ingested_at, e.xid, NULL, NULL::int, NULL::bigint,
         NULL::timestamptz, NULL::boolean, NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.events WHERE epoch = mine AND xid BETWEEN r.first AND r.last OFFSET 0) AS e;
  RETURN QUERY
  SELECT 2, a.event_id, a.job, a.id, a.destination, a.event, NULL::json, a.parent_job_id, a.due_at,
         a.created_at, a.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz, NULL::boolean,
         NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.added_jobs WHERE epoch = mine AND xid BETWEEN r.first AND r.last
    OFFSET 0) AS a;
  RETURN QUERY
  SELECT 3, n.event_id, n.job, NULL::bytea, NULL, NULL, NULL::json, NULL::bytea,
         NULL::timestamptz, n.created_at, n.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz,
         NULL::boolean, NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.notices WHERE epoch = mine AND xid BETWEEN r.first AND r.last
    OFFSET 0) AS n;
END
$$;

-- ---- order -----------------------------------------------------------------
-- Ends those sessions of our own role that sit idle in a transaction for longer
-- than that and block others (PROTOCOL 1.3): a process that was stopped while it
-- held the next number of a chain. Returns how many they were.
CREATE FUNCTION ingot.end_blockers(silence interval) RETURNS int LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(*)::int
  FROM (
    SELECT a.pid
    FROM (SELECT DISTINCT unnest(pg_blocking_pids(pid)) AS pid FROM pg_locks WHERE NOT granted) AS b
    JOIN pg_stat_activity AS a USING (pid)
    WHERE a.usename = session_user AND a.state = 'idle in transaction'
      AND a.state_change < clock_timestamp() - silence
    OFFSET 0) AS blockers
  WHERE pg_terminate_backend(pid)
$$;

GRANT EXECUTE ON FUNCTION ingot.jobs_to_route(json), ingot.read_events(bytea[], boolean),
  ingot.find_events(bytea, int, boolean), ingot.read_transitions(bytea[], int[], int[]),
  ingot.follow(pg_snapshot, int, bigint) TO ingot_reader;
RESET ROLE;
