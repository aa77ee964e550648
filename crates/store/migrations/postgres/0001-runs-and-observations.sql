-- Runs, what they saw, and views of it for people. Times are nanoseconds since 1970 in UTC.

CREATE TABLE runs (
    key BIGINT PRIMARY KEY,
    run TEXT COLLATE "C" NOT NULL UNIQUE,
    run_folded TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    started BIGINT NOT NULL,
    ended BIGINT,
    targets TEXT NOT NULL,          -- one a line
    fingerprint TEXT NOT NULL,
    resumed_from TEXT,
    complete BIGINT NOT NULL,
    exposed BIGINT NOT NULL,
    protected BIGINT NOT NULL,
    decoy BIGINT NOT NULL,
    other BIGINT NOT NULL,
    unfinished BIGINT NOT NULL,
    closed BIGINT NOT NULL,
    filtered BIGINT NOT NULL,
    silent BIGINT NOT NULL,
    absent BIGINT NOT NULL,
    alarms BIGINT NOT NULL,
    observations BIGINT NOT NULL,
    grade TEXT,
    vantage TEXT,
    log TEXT
);
CREATE INDEX runs_started ON runs (started);
CREATE INDEX runs_fingerprint ON runs (fingerprint, started);

-- What many endpoints have in common is kept once: a query looks through some thousand kinds, and
-- then knows by number which of a million observations it wants.
CREATE TABLE kinds (
    id BIGINT PRIMARY KEY,
    identity TEXT NOT NULL,  -- all other columns in one
    source TEXT COLLATE "C" NOT NULL,
    port BIGINT NOT NULL,
    transport TEXT COLLATE "C" NOT NULL,
    verdict TEXT,                   -- none: the endpoint is gone
    alarm BIGINT NOT NULL,
    protocol TEXT,
    auth TEXT,
    version TEXT,
    version_folded TEXT,
    version_key BIGINT,            -- major, minor and patch, 20 bits each
    findings TEXT NOT NULL,         -- `CODE SEVERITY CONFIDENCE`, one a line
    codes TEXT NOT NULL,            -- in lower case, a line feed before and after each
    severities BIGINT NOT NULL,    -- a bit each: info 1, low 2, medium 4, high 8, critical 16
    confidences BIGINT NOT NULL    -- a bit each: possible 1, likely 2, confirmed 4
);
CREATE INDEX kinds_identity ON kinds (md5(identity));

-- What the administrator's own files say of an address.
CREATE TABLE places (
    id BIGINT PRIMARY KEY,
    identity TEXT NOT NULL,  -- all other columns in one
    asn BIGINT,
    country TEXT,                   -- in lower case
    owner TEXT,
    owner_folded TEXT,
    tags TEXT NOT NULL,             -- one a line
    tags_folded TEXT NOT NULL       -- in lower case, a line feed before and after each
);
CREATE INDEX places_identity ON places (md5(identity));

CREATE TABLE observations (
    id BIGINT PRIMARY KEY,
    run BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    place BIGINT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    address BYTEA NOT NULL,          -- sorts as addresses do
    port BIGINT NOT NULL,
    transport TEXT COLLATE "C" NOT NULL,
    address_text TEXT NOT NULL,
    seen BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    current BIGINT NOT NULL,       -- 1: the last that its source saw of the endpoint
    gone BIGINT NOT NULL,          -- 1: asked again, and no longer there
    hostname TEXT,
    hostname_folded TEXT,
    payload_ratio DOUBLE PRECISION,
    digest BIGINT NOT NULL,
    pid BIGINT,
    process_start BIGINT           -- seconds since 1970
);
CREATE INDEX observations_endpoint ON observations (address, port, transport, source, seen);
CREATE INDEX observations_run ON observations (run);
CREATE INDEX current_endpoint ON observations (address, port, transport, source) WHERE current = 1;
CREATE INDEX current_kind ON observations (kind) WHERE current = 1;
CREATE INDEX current_place ON observations (place) WHERE current = 1;
CREATE INDEX current_first_seen ON observations (first_seen) WHERE current = 1;
CREATE INDEX current_seen ON observations (seen) WHERE current = 1;
CREATE INDEX current_payload_ratio ON observations (payload_ratio)
    WHERE current = 1 AND payload_ratio IS NOT NULL;
CREATE INDEX current_hostname ON observations (hostname_folded)
    WHERE current = 1 AND hostname_folded IS NOT NULL;

-- Long texts, out of the way of searches that do not read them.
CREATE TABLE documents (
    observation BIGINT PRIMARY KEY,
    text TEXT NOT NULL,             -- what free text searches in, in lower case
    document TEXT                   -- the record as it was written; none: the endpoint is gone
);

CREATE VIEW v_history AS
SELECT
    o.address_text AS address, o.port, o.transport, o.source,
    to_char(to_timestamp(o.seen / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS seen,
    to_char(to_timestamp(o.first_seen / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS first_seen,
    coalesce(k.verdict, 'gone') AS verdict,
    k.alarm, o.hostname, k.version, k.protocol, k.auth,
    replace(rtrim(k.findings, chr(10)), chr(10), ', ') AS findings,
    o.payload_ratio, p.asn, upper(p.country) AS country, p.owner,
    replace(rtrim(p.tags, chr(10)), chr(10), ', ') AS tags,
    o.pid, r.run, o.current, o.id AS observation
FROM observations o
JOIN runs r ON r.key = o.run
JOIN kinds k ON k.id = o.kind
JOIN places p ON p.id = o.place;

CREATE VIEW v_current AS
SELECT
    o.address_text AS address, o.port, o.transport, o.source,
    to_char(to_timestamp(o.seen / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS seen,
    to_char(to_timestamp(o.first_seen / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS first_seen,
    k.verdict, k.alarm, o.hostname, k.version, k.protocol, k.auth,
    replace(rtrim(k.findings, chr(10)), chr(10), ', ') AS findings,
    o.payload_ratio, p.asn, upper(p.country) AS country, p.owner,
    replace(rtrim(p.tags, chr(10)), chr(10), ', ') AS tags,
    o.pid, r.run, o.id AS observation
FROM observations o
JOIN runs r ON r.key = o.run
JOIN kinds k ON k.id = o.kind
JOIN places p ON p.id = o.place
WHERE o.current = 1 AND o.gone = 0;

CREATE VIEW v_runs AS
SELECT
    run, kind, source,
    to_char(to_timestamp(started / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started,
    to_char(to_timestamp(ended / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS ended,
    replace(rtrim(targets, chr(10)), chr(10), ', ') AS targets,
    complete, exposed, protected, decoy, other, unfinished, closed, filtered, silent, absent,
    alarms, observations, grade, vantage, resumed_from, log
FROM runs;

-- A row for each finding of the current state.
CREATE VIEW v_findings AS
SELECT
    split_part(f.line, ' ', 1) AS code,
    split_part(f.line, ' ', 2) AS severity,
    split_part(f.line, ' ', 3) AS confidence,
    o.address_text AS address, o.port, o.transport, o.source, o.hostname,
    to_char(to_timestamp(o.seen / 1000000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS seen,
    o.id AS observation
FROM kinds k
CROSS JOIN LATERAL unnest(string_to_array(rtrim(k.findings, chr(10)), chr(10))) AS f (line)
JOIN observations o ON o.kind = k.id AND o.current = 1 AND o.gone = 0
WHERE f.line <> '';
