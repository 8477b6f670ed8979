-- Events from SQL, in the caller's own transaction: what the gateway checks and
-- makes, for programs that have nothing but a connection to the database. The
-- limits are those of src/core/limits.h, the rules those of src/core/model.c
-- and src/store/validate.c.
SET LOCAL ROLE ingot_owner;

CREATE FUNCTION ingot.refuse(path text, problem text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION 'ingot: % %', path, problem USING ERRCODE = 'invalid_parameter_value';
END
$$;

-- Whether a JSON number rounds to infinity as a double. float8in would refuse
-- what rounds to zero as well.
CREATE FUNCTION ingot.overflows_double(number text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  -- 2^1024 - 2^970, the smallest magnitude that does
  least CONSTANT text :=
    '1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490'
    '1797758720709633028641669288791094655554785194040263065748867150582068190890200070838367'
    '6273854845817711531764475730270069855571366959622842914819860834936475292719074168444365'
    '510704342711559699508093042880177904174497792';
  parts     text[] := regexp_match(number, '^-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([-+]?)([0-9]+))?$');
  digits    text   := parts[1] || coalesce(parts[2], '');
  first     text   := ltrim(digits, '0');
  exponent  text   := ltrim(coalesce(parts[4], ''), '0');
  magnitude bigint := length(parts[1]) - (length(digits) - length(first));
BEGIN
  IF first = '' OR (length(exponent) > 10 AND parts[3] = '-') THEN -- no text is that long
    RETURN false;
  ELSIF length(exponent) > 10 THEN
    RETURN true;
  END IF;
  exponent := '0' || exponent;
  magnitude := magnitude + CASE parts[3] WHEN '-' THEN -exponent::bigint ELSE exponent::bigint END;
  RETURN magnitude > length(least)
    OR (magnitude = length(least) AND rpad(first, length(least), '0') COLLATE "C" >= least);
END
$$;

-- Raises unless the document is I-JSON (RFC 7493): the type json has seen to its
-- form, and lets through \u0000, unpaired surrogates, a key twice, any nesting
-- and any number. Visits every container, and the numbers only if there is a
-- long one somewhere.
CREATE FUNCTION ingot.check_json(document json, depth_max int DEFAULT 64) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  kinds   text[] := ARRAY['object', 'array'];
  wrong   record;
  problem text;
BEGIN
  IF strpos(document::text, '\u') > 0 THEN
    PERFORM json_strip_nulls(document); -- reads every escape, and raises
  END IF;
  IF document::text ~ '[eE]\+?[0-9]{3}|[0-9.]{200}' THEN
    kinds := kinds || 'number'::text;
  END IF;
  WITH RECURSIVE node (value, kind, depth) AS (
    SELECT document, json_typeof(document), 1
    UNION ALL
    SELECT child.value, child.kind, node.depth + 1
    FROM node, LATERAL (
      SELECT member, json_typeof(member)
      FROM (SELECT value FROM json_each(CASE node.kind WHEN 'object' THEN node.value END)
            UNION ALL
            SELECT value FROM json_array_elements(CASE node.kind WHEN 'array' THEN node.value END)
           ) AS members (member)
    ) AS child (value, kind)
    WHERE node.depth <= depth_max AND child.kind = ANY (kinds)
  )
  SELECT * INTO wrong FROM node
    WHERE CASE kind
      WHEN 'number' THEN ingot.overflows_double(value::text)
      WHEN 'array' THEN depth > depth_max
      WHEN 'object' THEN depth > depth_max
        OR (SELECT count(*) > count(DISTINCT key COLLATE "C") FROM json_object_keys(value) AS key)
      END
    LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF wrong.kind = 'number' THEN
    problem := 'a number is beyond the range of a double';
  ELSIF wrong.depth > depth_max THEN
    problem := 'it is nested too deep, 64 levels are allowed';
  ELSE
    SELECT format('duplicate key "%s"', left(key, 40)) INTO problem
      FROM json_object_keys(wrong.value) AS key GROUP BY key HAVING count(*) > 1 LIMIT 1;
  END IF;
  RAISE EXCEPTION 'ingot: the JSON is not acceptable: %', problem
    USING ERRCODE = 'invalid_text_representation';
END
$$;

-- ---- ids and times ----------------------------------------------------------

-- The second of a KSUID: its first four bytes.
CREATE FUNCTION ingot.ksuid_second(at timestamptz) RETURNS bytea
LANGUAGE sql STABLE
AS $$
  SELECT substring(int8send(floor(extract(epoch FROM at))::bigint - 1400000000) FROM 5)
$$;

-- Six bytes of order, then ten random ones: those of a random UUID that hold
-- neither its version nor its variant.
CREATE FUNCTION ingot.make_id(second bytea, place bigint) RETURNS bytea
LANGUAGE sql VOLATILE
AS $$
  SELECT second || substring(int8send(place) FROM 3)
         || substring(random FROM 1 FOR 6) || substring(random FROM 13 FOR 4)
  FROM uuid_send(gen_random_uuid()) AS random
$$;

CREATE FUNCTION ingot.read_string(value json, path text) RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
  IF json_typeof(value) <> 'string' THEN
    PERFORM ingot.refuse(path, 'must be a string');
  END IF;
  RETURN value #>> '{}';
END
$$;

CREATE FUNCTION ingot.read_id(value json, path text) RETURNS bytea
LANGUAGE plpgsql
AS $$
DECLARE
  id      text := ingot.read_string(value, path);
  problem text := ingot.ksuid_problem(id);
BEGIN
  IF problem IS NULL AND rtrim(id, '0') = '' THEN
    problem := 'all zero means none';
  END IF;
  IF problem IS NOT NULL THEN
    PERFORM ingot.refuse(path, 'must be a valid KSUID: ' || problem);
  END IF;
  RETURN ingot.ksuid_parse(id);
END
$$;

-- RFC 3339 with at most nine digits of a second, of which six are kept.
CREATE FUNCTION ingot.read_time(value json, path text) RETURNS timestamptz
LANGUAGE plpgsql
AS $$
DECLARE
  parts  text[] := regexp_match(ingot.read_string(value, path),
    '^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})'
    '(?:\.([0-9]{1,9}))?(?:[Zz]|([-+])([0-9]{2}):([0-9]{2}))$');
  year   int := parts[1];
  month  int := parts[2];
  day    int := parts[3];
  hour   int := parts[4];
  minute int := parts[5];
  second int := parts[6];
  west   int := CASE parts[8] WHEN '-' THEN -1 ELSE 1 END;
  east   interval := make_interval(hours => west * coalesce(parts[9], '0')::int,
                                   mins => west * coalesce(parts[10], '0')::int);
  whole  timestamptz;
BEGIN
  IF parts IS NULL OR parts[9]::int > 23 OR parts[10]::int > 59 THEN
    PERFORM ingot.refuse(path, 'must be a time of RFC 3339, as 2020-10-30T13:19:54.032Z');
  END IF;
  IF year < 1969 THEN
    PERFORM ingot.refuse(path, 'must be in the years 1970 to 9999 of UTC');
  END IF;
  IF month NOT BETWEEN 1 AND 12 OR hour > 23 OR minute > 59 OR second > 60
     OR day NOT BETWEEN 1
       AND extract(day FROM make_date(year, month, 1) + interval '1 month -1 day') THEN
    PERFORM ingot.refuse(path, 'must be a time on the calendar');
  END IF;
  whole := (make_date(year, month, day) + make_interval(hours => hour, mins => minute,
             secs => second)) AT TIME ZONE 'UTC' - east;
  IF second = 60 AND extract(epoch FROM whole)::bigint % 86400 <> 0 THEN
    PERFORM ingot.refuse(path, 'must have the second 60 only at 23:59:60 UTC');
  END IF;
  IF whole < '1970-01-01 00:00:00+00' OR whole >= '10000-01-01 00:00:00+00' THEN
    PERFORM ingot.refuse(path, 'must be in the years 1970 to 9999 of UTC');
  END IF;
  RETURN whole + rpad(left(coalesce(parts[7], ''), 6), 6, '0')::int * interval '1 microsecond';
END
$$;

CREATE FUNCTION ingot.check_name(name text, path text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  IF coalesce(name, '') = '' THEN
    PERFORM ingot.refuse(path, 'must not be empty');
  ELSIF octet_length(name) > 255 THEN
    PERFORM ingot.refuse(path, 'must not be longer than 255 bytes');
  ELSIF name ~ '[\x01-\x1f\x7f]' THEN
    PERFORM ingot.refuse(path, 'must be without control characters');
  END IF;
END
$$;

CREATE FUNCTION ingot.read_payload(value json, path text) RETURNS json
LANGUAGE plpgsql
AS $$
BEGIN
  IF octet_length(value::text) > 8388608 THEN
    PERFORM ingot.refuse(path, 'must not be longer than 8 MiB');
  END IF;
  RETURN value;
END
$$;

-- ---- jobs -------------------------------------------------------------------

-- The jobs of an event as ingot_jobs_encode() writes them: each body begins
-- behind the id.
CREATE FUNCTION ingot.encode_jobs(ids text[], bodies text[]) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT ('[' || coalesce(string_agg('{"id":"' || id || '"' || body, ',' ORDER BY number), '')
          || ']')::json
  FROM unnest(ids, bodies) WITH ORDINALITY AS job (id, body, number)
$$;

CREATE FUNCTION ingot.job_body(destination text, event text) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT ',"destination":' || to_json(destination) || ',"event":' || to_json(event)
$$;

-- When a job is due that has its birth as its only transition; NULL: at once.
CREATE FUNCTION ingot.read_birth(transitions json, path text, received_at timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
AS $$
DECLARE
  birth      json := CASE json_typeof(transitions) WHEN 'array' THEN transitions -> 0 END;
  field      text;
  value      json;
  state      text;
  created_at timestamptz;
BEGIN
  IF json_typeof(transitions) <> 'array' OR json_array_length(transitions) <> 1 THEN
    PERFORM ingot.refuse(path || '/Transitions', 'must be an array of one element');
  END IF;
  path := path || '/Transitions[0]';
  IF json_typeof(birth) = 'null' THEN
    RETURN NULL;
  ELSIF json_typeof(birth) <> 'object' THEN
    PERFORM ingot.refuse(path, 'must be an object');
  END IF;
  FOR field, value IN SELECT * FROM json_each(birth) LOOP
    IF field NOT IN ('id', 'attempt', 'state_before', 'state_after', 'error', 'created_at') THEN
      PERFORM ingot.refuse(path || '/' || left(field, 40), 'unknown field');
    END IF;
    CONTINUE WHEN json_typeof(value) = 'null';
    CASE field
      WHEN 'id' THEN PERFORM ingot.read_id(value, path || '/ID');
      WHEN 'state_after' THEN state := ingot.read_string(value, path || '/StateAfter');
      WHEN 'created_at' THEN created_at := ingot.read_time(value, path || '/CreatedAt');
      WHEN 'attempt' THEN
        IF value::text NOT IN ('0', '-0') THEN
          PERFORM ingot.refuse(path || '/Attempt', 'must be 0 at a job''s birth');
        END IF;
      WHEN 'state_before' THEN
        PERFORM ingot.refuse(path || '/StateBefore', 'must be null at a job''s birth');
      ELSE
        PERFORM ingot.refuse(path || '/Error', 'must be absent at a job''s birth');
    END CASE;
  END LOOP;
  IF state = 'awaiting' THEN
    RETURN coalesce(created_at, received_at);
  ELSIF state IS DISTINCT FROM 'acknowledged' THEN
    PERFORM ingot.refuse(path || '/StateAfter',
                         'must be acknowledged or awaiting at a job''s birth');
  END IF;
  RETURN NULL;
END
$$;

-- slot: no two jobs of an event may have the same.
CREATE FUNCTION ingot.read_job(job json, path text, received_at timestamptz,
                               OUT id text, OUT slot text, OUT body text)
LANGUAGE plpgsql
AS $$
DECLARE
  field       text;
  value       json;
  destination text;
  event       text;
  context     json;
  data        json;
  due_at      timestamptz;
BEGIN
  IF json_typeof(job) <> 'object' THEN
    PERFORM ingot.refuse(path, 'must be an object');
  END IF;
  FOR field, value IN SELECT * FROM json_each(job) LOOP
    IF field NOT IN ('id', 'destination', 'event', 'context', 'data', 'transitions', 'created_at')
    THEN
      PERFORM ingot.refuse(path || '/' || left(field, 40), 'unknown field');
    END IF;
    CONTINUE WHEN json_typeof(value) = 'null' AND field NOT IN ('context', 'data');
    CASE field
      WHEN 'id' THEN id := ingot.ksuid_text(ingot.read_id(value, path || '/ID'));
      WHEN 'destination' THEN destination := ingot.read_string(value, path || '/Destination');
      WHEN 'event' THEN event := ingot.read_string(value, path || '/Event');
      WHEN 'context' THEN context := ingot.read_payload(value, path || '/Context');
      WHEN 'data' THEN data := ingot.read_payload(value, path || '/Data');
      WHEN 'transitions' THEN due_at := ingot.read_birth(value, path, received_at);
      ELSE PERFORM ingot.read_time(value, path || '/CreatedAt');
    END CASE;
  END LOOP;
  PERFORM ingot.check_name(destination, path || '/Destination');
  PERFORM ingot.check_name(event, path || '/Event');
  slot := (event = '*')::text || ' ' || destination;
  body := ingot.job_body(destination, event)
    || coalesce(',"context":' || context::text, '') || coalesce(',"data":' || data::text, '')
    || coalesce(',"due_at":' || extract(epoch FROM date_trunc('second', due_at))::bigint * 1000000
                + extract(microseconds FROM due_at)::bigint % 1000000, '')
    || '}';
END
$$;

-- ---- events -----------------------------------------------------------------

-- number counts from 1. given are the ids of the jobs that came with the event,
-- NULL for one without; NULL as a whole if the jobs were made from the routes.
CREATE TYPE ingot.queued_event AS (
  number  bigint,
  id      bytea,
  source  text,
  name    text,
  context json,
  data    json,
  sent_at timestamptz,
  given   text[],
  ids     text[],
  bodies  text[]
);

CREATE FUNCTION ingot.read_jobs(jobs json, path text, received_at timestamptz,
                                OUT ids text[], OUT bodies text[])
LANGUAGE plpgsql
AS $$
DECLARE
  slots text[];
BEGIN
  IF json_typeof(jobs) <> 'array' THEN
    PERFORM ingot.refuse(path || '/Jobs', 'must be an array');
  ELSIF json_array_length(jobs) > 65535 THEN
    PERFORM ingot.refuse(path || '/Jobs', 'must not be more than 65535');
  END IF;
  SELECT coalesce(array_agg(job.id ORDER BY number), '{}'),
         coalesce(array_agg(job.body ORDER BY number), '{}'),
         array_agg(job.slot ORDER BY number)
    INTO ids, bodies, slots
    FROM json_array_elements(jobs) WITH ORDINALITY AS element (value, number),
         LATERAL ingot.read_job(value, format('%s/Jobs[%s]', path, number - 1), received_at) AS job;
  IF cardinality(slots) > (SELECT count(DISTINCT slot COLLATE "C") FROM unnest(slots) AS slot) THEN
    PERFORM ingot.refuse(path || '/Jobs',
      'must be at most two for a destination: the wildcard and the specific one');
  ELSIF (SELECT count(id) > count(DISTINCT id COLLATE "C") FROM unnest(ids) AS id) THEN
    PERFORM ingot.refuse(path || '/Jobs', 'must have an id each of its own');
  END IF;
END
$$;

-- Admission is by the database's clock: from 7 days ago to a day ahead.
CREATE FUNCTION ingot.check_admission(id bytea, path text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  made_at timestamptz := to_timestamp(
    1400000000 + ('x' || encode(substring(id FROM 1 FOR 4), 'hex'))::bit(32)::bigint);
BEGIN
  IF made_at < clock_timestamp() - interval '168 hours' THEN
    PERFORM ingot.refuse(path, 'is older than 7 days; give the event a new id');
  ELSIF made_at > clock_timestamp() + interval '24 hours' THEN
    PERFORM ingot.refuse(path, 'is more than a day ahead of the clock; give the event a new id');
  END IF;
END
$$;

-- An id that is made here holds the microsecond of its second, and counts.
CREATE FUNCTION ingot.read_event(value json, number bigint, received_at timestamptz,
                                 route_events text[], route_bodies text[])
RETURNS ingot.queued_event
LANGUAGE plpgsql
AS $$
DECLARE
  path   text := format('Queue/Events[%s]', number - 1);
  place  bigint := (extract(microseconds FROM received_at)::bigint % 1000000 << 28) + number;
  event  ingot.queued_event;
  ids    text[] := '{}';
  field  text;
  member json;
BEGIN
  IF json_typeof(value) <> 'object' THEN
    PERFORM ingot.refuse(path, 'must be an object');
  END IF;
  FOR field, member IN SELECT * FROM json_each(value) LOOP
    IF field = 'ingested_at' THEN
      PERFORM ingot.refuse(path || '/IngestedAt', 'is set by Ingot and cannot be given');
    ELSIF field NOT IN ('id', 'source', 'name', 'context', 'data', 'jobs', 'sent_at', 'received_at')
    THEN
      PERFORM ingot.refuse(path || '/' || left(field, 40), 'unknown field');
    END IF;
    CONTINUE WHEN json_typeof(member) = 'null' AND field NOT IN ('context', 'data');
    CASE field
      WHEN 'id' THEN event.id := ingot.read_id(member, path || '/ID');
      WHEN 'source' THEN event.source := ingot.read_string(member, path || '/Source');
      WHEN 'name' THEN event.name := ingot.read_string(member, path || '/Name');
      WHEN 'context' THEN event.context := ingot.read_payload(member, path || '/Context');
      WHEN 'data' THEN event.data := ingot.read_payload(member, path || '/Data');
      WHEN 'sent_at' THEN event.sent_at := ingot.read_time(member, path || '/SentAt');
      WHEN 'jobs' THEN
        SELECT read.ids, read.bodies INTO event.given, event.bodies
          FROM ingot.read_jobs(member, path, received_at) AS read;
      ELSE NULL; -- received_at is ours to say
    END CASE;
  END LOOP;
  IF event.id IS NULL THEN
    event.id := ingot.make_id(ingot.ksuid_second(received_at), place);
  ELSE
    PERFORM ingot.check_admission(event.id, path || '/ID');
  END IF;
  PERFORM ingot.check_name(event.source, path || '/Source');
  PERFORM ingot.check_name(event.name, path || '/Name');
  IF event.name = '*' THEN
    PERFORM ingot.refuse(path || '/Name', 'must not be "*", the wildcard of destinations');
  END IF;
  IF event.bodies IS NULL AND route_events IS NULL THEN
    RAISE EXCEPTION 'ingot: no routes are published, so nobody knows which jobs % makes', path
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Start the daemon once with its configuration, or give the event its jobs.';
  ELSIF event.bodies IS NULL THEN
    SELECT coalesce(array_agg(body ORDER BY n), '{}') INTO event.bodies
      FROM unnest(route_events, route_bodies) WITH ORDINALITY AS route (wanted, body, n)
      WHERE wanted IN (event.name, '*');
  END IF;
  event.number := number;
  FOR n IN 1..cardinality(event.bodies) LOOP
    ids := ids || coalesce(event.given[n], ingot.ksuid_text(
                             ingot.make_id(substring(event.id FROM 1 FOR 4), place + n)));
  END LOOP;
  event.ids := ids;
  RETURN event;
END
$$;

-- Whether an event that is stored is what is given again under its id.
CREATE FUNCTION ingot.is_same(stored ingot.events, given ingot.queued_event) RETURNS boolean
LANGUAGE sql STABLE
AS $$
  SELECT stored.source = given.source AND stored.name = given.name
    AND stored.context::text IS NOT DISTINCT FROM given.context::text
    AND stored.data::text IS NOT DISTINCT FROM given.data::text
    AND stored.sent_at IS NOT DISTINCT FROM given.sent_at
    AND (coalesce(cardinality(given.given), 0) = 0 OR (
      cardinality(given.given) = json_array_length(stored.jobs)
      AND stored.jobs::text = (
        SELECT ingot.encode_jobs(
                 array_agg(coalesce(given.given[number], job ->> 'id') ORDER BY number),
                 given.bodies)::text
        FROM json_array_elements(stored.jobs) WITH ORDINALITY AS element (job, number))))
$$;

-- Stores the events of {"events": [{…}]} with their jobs, all or none, and says
-- of each whether it was "stored" or "already there".
CREATE FUNCTION ingot.insert_queue(queue json) RETURNS TABLE (id text, status text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET jit = off
AS $$
DECLARE
  now          timestamptz := clock_timestamp();
  list         json;
  strange      text;
  routes       json;
  route_events text[];
  route_bodies text[];
  events       ingot.queued_event[];
  stored       bytea[];
  rival        ingot.queued_event;
BEGIN
  IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  IF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'ingot: events come in by SQL only in a database whose encoding is UTF8, not %',
      getdatabaseencoding() USING ERRCODE = 'feature_not_supported';
  END IF;
  IF octet_length(queue::text) > 16777216 THEN
    PERFORM ingot.refuse('Queue', 'must not be longer than 16 MiB; insert fewer events at a time');
  END IF;
  -- 64 levels for the payload of an event, 62 for that of a job
  PERFORM ingot.check_json(queue, 67);
  IF json_typeof(queue) = 'null' THEN
    RETURN;
  ELSIF json_typeof(queue) IS DISTINCT FROM 'object' THEN
    PERFORM ingot.refuse('Queue', 'must be an object');
  END IF;
  SELECT key INTO strange FROM json_object_keys(queue) AS key WHERE key <> 'events' LIMIT 1;
  IF FOUND THEN
    PERFORM ingot.refuse('Queue/' || left(strange, 40), 'unknown field');
  END IF;
  list := queue -> 'events';
  IF coalesce(json_typeof(list), 'null') = 'null' THEN
    RETURN;
  ELSIF json_typeof(list) <> 'array' THEN
    PERFORM ingot.refuse('Queue/Events', 'must be an array');
  ELSIF json_array_length(list) > 10000 THEN
    PERFORM ingot.refuse('Queue/Events', 'must not be more than 10000; insert fewer at a time');
  END IF;
  SELECT r.body INTO routes FROM ingot.routes AS r ORDER BY r.version DESC LIMIT 1;
  IF FOUND THEN -- the specific event of a destination, then its wildcard
    SELECT coalesce(array_agg(event ORDER BY number, event = '*'), '{}'),
           coalesce(array_agg(ingot.job_body(route ->> 'name', event) || '}'
                              ORDER BY number, event = '*'), '{}')
      INTO route_events, route_bodies
      FROM json_array_elements(routes -> 'destinations') WITH ORDINALITY AS r (route, number),
           json_array_elements_text(route -> 'events') AS event;
  END IF;
  SELECT array_agg(ingot.read_event(value, number, now, route_events, route_bodies) ORDER BY number)
    INTO events
    FROM json_array_elements(list) WITH ORDINALITY AS element (value, number);
  WITH inserted AS (
    INSERT INTO ingot.events AS e (id, source, name, context, data, jobs, sent_at, received_at)
      SELECT g.id, g.source, g.name, g.context, g.data, ingot.encode_jobs(g.ids, g.bodies),
             g.sent_at, now
      FROM unnest(events) AS g ORDER BY g.id, g.number
      ON CONFLICT DO NOTHING
      RETURNING e.id
  ) SELECT array_agg(inserted.id) INTO stored FROM inserted;
  IF cardinality(stored) IS DISTINCT FROM cardinality(events) THEN
    SELECT g.* INTO rival FROM unnest(events) AS g JOIN ingot.events AS e ON e.id = g.id
      WHERE NOT ingot.is_same(e, g) ORDER BY g.number LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION
        'ingot: Queue/Events[%]/ID is the id of another event: % is stored, with other contents',
        rival.number - 1, ingot.ksuid_text(rival.id)
        USING ERRCODE = 'unique_violation', HINT = 'Give the event another id.';
    END IF;
  END IF;
  RETURN QUERY
    SELECT ingot.ksuid_text(g.id),
           CASE WHEN s.id IS NULL OR row_number() OVER (PARTITION BY g.id ORDER BY g.number) > 1
                THEN 'already there' ELSE 'stored' END
    FROM unnest(events) AS g LEFT JOIN unnest(stored) AS s (id) ON s.id = g.id
    ORDER BY g.number;
END
$$;

-- Stores one event, and returns its id.
CREATE FUNCTION ingot.emit(name text, data json, source text DEFAULT 'sql',
                           context json DEFAULT NULL) RETURNS text
LANGUAGE sql
AS $$
  SELECT stored.id
  FROM ingot.insert_queue(concat('{"events":[{"source":', coalesce(to_json(source), 'null'),
    ',"name":', coalesce(to_json(name), 'null'), ',"context":' || context::text,
    ',"data":' || data::text, '}]}')::json) AS stored
$$;

RESET ROLE;
