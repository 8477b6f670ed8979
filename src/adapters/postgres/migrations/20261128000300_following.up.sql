-- Whoever follows finds a batch of events by one of them (docs/decisions/0018), and looks
-- only into the segments where something can be (docs/decisions/0019).
SET LOCAL ROLE ingot_owner;

-- The other events that the statement stored of which this is the first; NULL for
-- these. What is inserted by itself has its default and is followed by itself.
ALTER TABLE ingot.events ADD COLUMN batch bytea[] DEFAULT '{}';
ALTER TABLE ingot.events ALTER COLUMN batch SET STORAGE EXTERNAL; -- ids do not compress
DROP INDEX ingot.events_xid;
CREATE INDEX events_xid ON ingot.events (epoch, xid) WHERE batch IS NOT NULL;
GRANT INSERT (batch) ON ingot.events TO ingot_writer;

-- An added job belongs to an event of any age: its birth, which is number 0, sends a notice.
ALTER TABLE ingot.notices DROP CONSTRAINT notices_seq_check;
ALTER TABLE ingot.notices ADD CONSTRAINT notices_seq_check CHECK (seq BETWEEN 0 AND 65535);

CREATE OR REPLACE FUNCTION ingot.add_jobs(
  event_ids bytea[], numbers int[], ids bytea[], destinations text[], events text[],
  contexts json[], datas json[], parent_job_ids bytea[], dues timestamptz[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  WITH added AS (
    INSERT INTO ingot.added_jobs AS a
      (event_id, job, id, destination, event, context, data, parent_job_id, due_at)
    SELECT g.*
    FROM unnest(event_ids, numbers, ids, destinations, events, contexts, datas, parent_job_ids,
                dues) AS g (event_id, number, id, destination, event, context, data, parent_job_id,
                            due_at)
    ORDER BY g.event_id, g.number
    RETURNING a.event_id, a.job
  )
  INSERT INTO ingot.notices (event_id, job, seq) SELECT added.event_id, added.job, 0 FROM added;
END
$$;

-- As before, but eight events or more have one entry in events_xid.
CREATE OR REPLACE FUNCTION ingot.insert_events(
  ids bytea[], sources text[], names text[], contexts json[], datas json[], jobs json[],
  sent timestamptz[], received timestamptz[])
RETURNS SETOF bytea LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' SET jit = off SET work_mem = '64MB'
AS $$
BEGIN
  IF cardinality(ids) >= 8 THEN
    BEGIN
      INSERT INTO ingot.events
        (id, source, name, context, data, jobs, sent_at, received_at, batch)
      SELECT g.id, g.source, g.name, g.context, g.data, g.jobs, g.sent_at,
             coalesce(g.received_at, clock_timestamp()), CASE g.n WHEN 1 THEN ids[2:] END
      FROM (SELECT unnest(ids) AS id, unnest(sources) AS source, unnest(names) AS name,
                   unnest(contexts) AS context, unnest(datas) AS data, unnest(jobs) AS jobs,
                   unnest(sent) AS sent_at, unnest(received) AS received_at,
                   generate_subscripts(ids, 1) AS n) AS g;
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

-- As before, but a new segment stores its columns as the table does.
CREATE OR REPLACE FUNCTION ingot.make_segments() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  segment record;
  made    int := 0;
BEGIN
  FOR segment IN
    SELECT parent, name, bounds.*
    FROM generate_series(-7, 8) AS ahead,
         LATERAL (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date + ahead AS day) AS days,
         (VALUES ('events', true), ('added_jobs', true), ('transitions', true),
                 ('retirements', true), ('notices', false), ('heartbeats', false),
                 ('checkpoints', false)) AS parents (parent, by_id),
         LATERAL (SELECT parent || to_char(day, '_YYYYMMDD') AS name) AS names,
         LATERAL (SELECT ingot.segment_bound(day, by_id) AS first,
                         ingot.segment_bound(day + 1, by_id) AS behind) AS bounds
    WHERE to_regclass('ingot.' || name) IS NULL
  LOOP
    LOCK TABLE ONLY ingot.events IN SHARE UPDATE EXCLUSIVE MODE;
    CONTINUE WHEN to_regclass('ingot.' || segment.name) IS NOT NULL;
    EXECUTE format('CREATE TABLE ingot.%I (LIKE ingot.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS
                                           INCLUDING INDEXES INCLUDING STORAGE)',
                   segment.name, segment.parent);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON ingot.%I
                      FOR EACH STATEMENT EXECUTE FUNCTION ingot.refuse_change()', segment.name);
    EXECUTE format('ALTER TABLE ingot.%I ATTACH PARTITION ingot.%I FOR VALUES FROM (%L) TO (%L)',
                   segment.parent, segment.name, segment.first, segment.behind);
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;

-- What is visible now and was not to the snapshot "after". First a row of kind 0: this
-- snapshot, the mark for the next call, where the store is, and whether "after" is of this
-- life of it (is_ours). Then kind 1: events, 2: added jobs, 3: notices.
-- What the transactions "known" wrote is not looked at, nor what is still under way.
-- Mark: whoever has a higher number than mark_xid began to write after marked_at, and so
-- most segments need not be opened. They all are for the others, or without a mark. After
-- a day there is a new one. (A snapshot's xmax will not do: it is the number behind the
-- highest that has ended, and others that are higher may have been given before.)
CREATE FUNCTION ingot.follow(
  after pg_snapshot, after_epoch int, after_system bigint, mark_xid bigint,
  marked_at timestamptz, known bigint[])
RETURNS TABLE (
  kind int, event_id bytea, job int, id bytea, destination text, event text, jobs json,
  parent_job_id bytea, due_at timestamptz, created_at timestamptz, xid xid8,
  snapshot text, epoch int, system bigint, started_at timestamptz, in_recovery boolean,
  is_ours boolean, mark text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET jit = off SET work_mem = '64MB'
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_material = off SET enable_sort = off
SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  mine   CONSTANT int := (SELECT max(epoch) FROM ingot.epochs);
  next   CONSTANT bigint := pg_snapshot_xmax(after)::text::bigint;
  passed CONSTANT bigint[] :=
    known || ARRAY(SELECT pg_snapshot_xip(pg_current_snapshot())::text::bigint);
  first  xid8[]; -- of the ranges of transactions to be told of
  last   xid8[];
  marked boolean; -- whether all of them are
  lowest  bytea; -- where their events can be
  highest bytea;
  oldest  timestamptz; -- and their notices
  newest  timestamptz;
  seq     int;
  batch   bytea[];
  others  bytea[];
  numbers int[];
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
  IF marked_at > statement_timestamp() - interval '1 day' AND marked_at <= statement_timestamp() THEN
    mark := (extract(epoch FROM marked_at) * 1000000)::bigint || ':' || mark_xid || ':';
  ELSIF NOT in_recovery THEN
    mark := (extract(epoch FROM statement_timestamp()) * 1000000)::bigint || ':'
            || pg_current_xact_id()::text || ':';
  END IF;
  RETURN NEXT;
  IF is_ours IS NOT TRUE THEN
    RETURN;
  END IF;
  mark := NULL;
  snapshot := NULL;
  epoch := NULL;
  system := NULL;
  started_at := NULL;
  in_recovery := NULL;
  is_ours := NULL;
  FOR first, last, marked IN
    SELECT array_agg(r.first::text::xid8), array_agg(r.last::text::xid8),
           marked_at IS NOT NULL AND r.first > mark_xid
    FROM (
      SELECT x AS first, x AS last
      FROM (SELECT pg_snapshot_xip(after)::text::bigint AS x) AS unfinished
      WHERE x <> ALL (passed)
      UNION ALL
      SELECT coalesce(lag(k) OVER (ORDER BY k) + 1, next), k - 1
      FROM (SELECT DISTINCT unnest(passed || pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
                   AS k) AS ends
      WHERE k >= next
    ) AS r
    WHERE r.first <= r.last
    GROUP BY 3
  LOOP
    -- Ids are admitted from 7 days ago to a day ahead, by clocks that are less than a day off.
    lowest := CASE WHEN marked
                   THEN ingot.ksuid_second(greatest(marked_at - interval '8 days',
                                                    to_timestamp(1400000000)))
                   ELSE '' END;
    highest := CASE WHEN marked THEN ingot.ksuid_second(statement_timestamp() + interval '2 days')
                    ELSE decode(repeat('ff', 20), 'hex') END;
    oldest := CASE WHEN marked THEN marked_at - interval '1 day' ELSE '-infinity' END;
    newest := CASE WHEN marked THEN statement_timestamp() + interval '1 day' ELSE 'infinity' END;

    -- Of each batch one event is found by its transaction, and the others by their ids.
    kind := 1;
    job := NULL;
    others := '{}';
    FOR event_id, jobs, created_at, xid, batch IN
      SELECT e.id,
             CASE WHEN octet_length(e.jobs::text) <= 4096 THEN e.jobs
                  ELSE ingot.jobs_to_route(e.jobs) END,
             e.ingested_at, e.xid, e.batch
      FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
        SELECT * FROM ingot.events
        WHERE epoch = mine AND xid BETWEEN r.first AND r.last AND batch IS NOT NULL
          AND id BETWEEN lowest AND highest
        ORDER BY epoch, xid -- and so by that index
        OFFSET 0) AS e
      UNION ALL
      SELECT NULL, NULL, NULL, NULL, NULL -- there are no more
    LOOP
      IF event_id IS NOT NULL THEN
        RETURN NEXT;
      END IF;
      IF cardinality(batch) > 0 THEN
        others := others || ARRAY(SELECT i FROM unnest(batch) AS i WHERE i IS NOT NULL);
      END IF;
      CONTINUE WHEN event_id IS NOT NULL AND cardinality(others) < 1000 OR cardinality(others) = 0;
      others := ARRAY(SELECT unnest(others) AS i ORDER BY i);
      RETURN QUERY
      SELECT 1, e.id, NULL::int, NULL::bytea, NULL, NULL,
             CASE WHEN octet_length(e.jobs::text) <= 4096 THEN e.jobs
                  ELSE ingot.jobs_to_route(e.jobs) END,
             NULL::bytea, NULL::timestamptz, e.ingested_at, e.xid, NULL, NULL::int, NULL::bigint,
             NULL::timestamptz, NULL::boolean, NULL::boolean, NULL
      FROM ingot.events AS e
      WHERE e.id = ANY (others) -- and no segment is opened beside them
        AND e.id BETWEEN others[1] AND others[cardinality(others)];
      others := '{}';
    END LOOP;

    IF marked_at IS NULL THEN -- a cursor of when their births sent no notices
      RETURN QUERY
      SELECT 2, a.event_id, a.job, a.id, a.destination, a.event, NULL::json, a.parent_job_id,
             a.due_at, a.created_at, a.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz,
             NULL::boolean, NULL::boolean, NULL
      FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
        SELECT * FROM ingot.added_jobs WHERE epoch = mine AND xid BETWEEN r.first AND r.last
        OFFSET 0) AS a;
    END IF;

    kind := 3;
    jobs := NULL;
    numbers := '{}';
    FOR event_id, job, seq, created_at, xid IN
      SELECT n.event_id, n.job, n.seq, n.created_at, n.xid
      FROM unnest(first, last) AS r (first, last) CROSS JOIN LATERAL (
        SELECT * FROM ingot.notices
        WHERE epoch = mine AND xid BETWEEN r.first AND r.last
          AND created_at BETWEEN oldest AND newest AND (seq > 0 OR marked_at IS NOT NULL)
        OFFSET 0) AS n
      UNION ALL
      SELECT NULL, NULL, NULL, NULL, NULL
    LOOP
      IF seq > 0 THEN
        RETURN NEXT;
      ELSIF seq = 0 THEN
        others := others || event_id;
        numbers := numbers || job;
      END IF;
      CONTINUE WHEN event_id IS NOT NULL AND cardinality(others) < 1000 OR cardinality(others) = 0;
      lowest := (SELECT i FROM unnest(others) AS i ORDER BY i LIMIT 1);
      highest := (SELECT i FROM unnest(others) AS i ORDER BY i DESC LIMIT 1);
      RETURN QUERY
      SELECT 2, a.event_id, a.job, a.id, a.destination, a.event, NULL::json, a.parent_job_id,
             a.due_at, a.created_at, a.xid, NULL, NULL::int, NULL::bigint, NULL::timestamptz,
             NULL::boolean, NULL::boolean, NULL
      FROM unnest(others, numbers) AS k (event_id, job) CROSS JOIN LATERAL (
        SELECT * FROM ingot.added_jobs
        WHERE event_id = k.event_id AND job = k.job AND event_id BETWEEN lowest AND highest
        OFFSET 0) AS a;
      others := '{}';
      numbers := '{}';
    END LOOP;
  END LOOP;
END
$$;

-- For followers of before.
CREATE OR REPLACE FUNCTION ingot.follow(
  after pg_snapshot, after_epoch int, after_system bigint, known bigint[])
RETURNS TABLE (
  kind int, event_id bytea, job int, id bytea, destination text, event text, jobs json,
  parent_job_id bytea, due_at timestamptz, created_at timestamptz, xid xid8,
  snapshot text, epoch int, system bigint, started_at timestamptz, in_recovery boolean,
  is_ours boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT kind, event_id, job, id, destination, event, jobs, parent_job_id, due_at, created_at,
         xid, snapshot, epoch, system, started_at, in_recovery, is_ours
  FROM ingot.follow(after, after_epoch, after_system, NULL, NULL, known)
$$;

GRANT EXECUTE ON FUNCTION ingot.ksuid_second(timestamptz),
  ingot.follow(pg_snapshot, int, bigint, bigint, timestamptz, bigint[]) TO ingot_reader;
RESET ROLE;
