-- Fewer steps of the executor for each row that is written or read
-- (docs/decisions/0012). The functions that are replaced promise what they did.
SET LOCAL ROLE ingot_owner;

-- ---- writing ---------------------------------------------------------------
-- As before, but arrays that are unpacked in the list of columns go straight into
-- the insert; unnest() of them all in FROM would first put its rows in store.

CREATE OR REPLACE FUNCTION ingot.insert_events(
  ids bytea[], sources text[], names text[], contexts json[], datas json[], jobs json[],
  sent timestamptz[], received timestamptz[])
RETURNS SETOF bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  IF cardinality(ids) >= 8 THEN
    BEGIN
      INSERT INTO ingot.events (id, source, name, context, data, jobs, sent_at, received_at)
      SELECT g.id, g.source, g.name, g.context, g.data, g.jobs, g.sent_at,
             coalesce(g.received_at, clock_timestamp())
      FROM (SELECT unnest(ids) AS id, unnest(sources) AS source, unnest(names) AS name,
                   unnest(contexts) AS context, unnest(datas) AS data, unnest(jobs) AS jobs,
                   unnest(sent) AS sent_at, unnest(received) AS received_at) AS g;
      RETURN NEXT NULL;
      RETURN;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END IF;
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

CREATE OR REPLACE FUNCTION ingot.insert_transitions(
  event_ids bytea[], jobs int[], seqs int[], attempts int[], befores int[], afters int[],
  owners bytea[], dues timestamptz[], errors json[])
RETURNS TABLE (event_id bytea, job int, seq int) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
#variable_conflict use_column
BEGIN
  IF cardinality(event_ids) >= 8 THEN
    BEGIN
      INSERT INTO ingot.transitions
        (event_id, job, seq, attempt, state_before, state_after, owner, due_at, error)
      SELECT unnest(event_ids), unnest(jobs), unnest(seqs), unnest(attempts), unnest(befores),
             unnest(afters), unnest(owners), unnest(dues), unnest(errors);
      RETURN NEXT;
      RETURN;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END IF;
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

-- ---- reading ---------------------------------------------------------------
-- Events as rows of ingot.event_row, each with the newest transition of the highest of
-- its jobs that has one, which is newest_job: all that is to be known of an event with
-- one job. That of the jobs below it is newest_of_lower_jobs()'s. Events to which
-- jobs were added come last, with the rows that ingot.read_events() gives of them.
-- The ids are ascending and distinct; unknown ones give no rows.
CREATE FUNCTION ingot.events_with_newest(ids bytea[], payload boolean)
RETURNS TABLE (
  event_id bytea, job int, id bytea, first_text text, second_text text, context json, data json,
  jobs json, parent_job_id bytea, first_time timestamptz, second_time timestamptz,
  created_at timestamptz, retired_at timestamptz,
  seq int, attempt int, state_before int, state_after int, owner bytea, due_at timestamptz,
  error json, moved_at timestamptz, newest_job int)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  first   CONSTANT bytea := ids[1]; -- so that segments beside them are not even opened
  last    CONSTANT bytea := ids[cardinality(ids)];
  retired CONSTANT boolean :=
    EXISTS (SELECT FROM ingot.retirements WHERE event_id BETWEEN first AND last);
  grown   bytea[] := '{}';
BEGIN
  IF EXISTS (SELECT FROM ingot.added_jobs WHERE event_id BETWEEN first AND last) THEN
    grown := ARRAY(SELECT DISTINCT event_id FROM ingot.added_jobs
                   WHERE event_id = ANY (ids) AND event_id BETWEEN first AND last
                   ORDER BY event_id);
  END IF;
  -- To plan anew costs as much as to choose the segment of some hundred events one by one.
  IF cardinality(ids) >= 100 THEN
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
  END IF;
  RETURN QUERY
  SELECT e.id, -1, NULL::bytea, e.source, e.name,
         CASE WHEN payload THEN e.context END, CASE WHEN payload THEN e.data END,
         CASE WHEN payload OR octet_length(e.jobs::text) <= 4096 THEN e.jobs
              ELSE ingot.jobs_to_route(e.jobs) END,
         NULL::bytea, e.sent_at, e.received_at, e.ingested_at,
         CASE WHEN retired THEN (SELECT r.created_at FROM ingot.retirements r
                                 WHERE r.event_id = e.id AND r.event_id BETWEEN first AND last) END,
         t.seq, t.attempt, t.state_before::int, t.state_after::int, t.owner, t.due_at,
         CASE WHEN payload THEN t.error END, t.created_at, t.job
  FROM ingot.events AS e
  LEFT JOIN LATERAL (
    SELECT * FROM ingot.transitions
    WHERE event_id = e.id AND event_id BETWEEN first AND last
    ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
  ) AS t ON true
  -- An array that the planner does not know: it would weigh each of its elements.
  WHERE e.id = ANY (ARRAY(SELECT unnest(ids))) AND e.id BETWEEN first AND last
    AND e.id <> ALL (grown)
  ORDER BY e.id;
  IF cardinality(grown) > 0 THEN
    RETURN QUERY SELECT r.*, NULL::int FROM ingot.read_events(grown, payload) AS r;
  END IF;
END
$$;

-- The newest transitions, if they have one, of all jobs of each event that are below a
-- number. The ids are ascending and distinct.
CREATE FUNCTION ingot.newest_of_lower_jobs(event_ids bytea[], jobs int[], payload boolean)
RETURNS TABLE (
  event_id bytea, job int, seq int, attempt int, state_before int, state_after int, owner bytea,
  due_at timestamptz, error json, created_at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  first CONSTANT bytea := event_ids[1];
  last  CONSTANT bytea := event_ids[cardinality(event_ids)];
BEGIN
  IF cardinality(event_ids) >= 100 THEN
    PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
  END IF;
  RETURN QUERY
  SELECT t.event_id, t.job, t.seq, t.attempt, t.state_before::int, t.state_after::int, t.owner,
         t.due_at, CASE WHEN payload THEN t.error END, t.created_at
  FROM unnest(event_ids, jobs) AS g (event_id, behind)
  CROSS JOIN generate_series(0, g.behind - 1) AS b (job)
  CROSS JOIN LATERAL (
    SELECT * FROM ingot.transitions
    WHERE event_id = g.event_id AND event_id BETWEEN first AND last AND transitions.job = b.job
    ORDER BY event_id DESC, job DESC, seq DESC LIMIT 1
  ) AS t;
END
$$;

-- ---- following -------------------------------------------------------------
-- As before, but what the transactions "known" wrote is not even looked at: their
-- numbers are left out of the ranges that are. If nothing is left, no segment is opened.
CREATE OR REPLACE FUNCTION ingot.follow(
  after pg_snapshot, after_epoch int, after_system bigint, known bigint[])
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
  next  CONSTANT bigint := pg_snapshot_xmax(after)::text::bigint;
  first xid8[]; -- of the ranges of transactions to be told of
  last  xid8[];
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
  SELECT array_agg(r.first::text::xid8), array_agg(r.last::text::xid8) INTO first, last
  FROM (
    SELECT x AS first, x AS last
    FROM (SELECT pg_snapshot_xip(after)::text::bigint AS x) AS unfinished WHERE x <> ALL (known)
    UNION ALL
    SELECT coalesce(lag(k) OVER (ORDER BY k) + 1, next), k - 1
    FROM (SELECT DISTINCT unnest(known || pg_snapshot_xmax(snapshot::pg_snapshot)::text::bigint) AS k
         ) AS ends
    WHERE k >= next
  ) AS r
  WHERE r.first <= r.last;
  IF first IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
  SELECT 1, e.id, NULL::int, NULL::bytea, NULL, NULL,
         CASE WHEN octet_length(e.jobs::text) <= 4096 THEN e.jobs
              ELSE ingot.jobs_to_route(e.jobs) END,
         NULL::bytea, NULL::timestamptz, e.ingested_at, e.xid, NULL, NULL::int, NULL::bigint,
         NULL::timestamptz, NULL::boolean, NULL::boolean
  FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
    SELECT * FROM ingot.events WHERE epoch = mine AND xid BETWEEN r.first AND r.last
    OFFSET 0) AS e;
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

GRANT EXECUTE ON FUNCTION ingot.events_with_newest(bytea[], boolean),
  ingot.newest_of_lower_jobs(bytea[], int[], boolean) TO ingot_reader;
RESET ROLE;
