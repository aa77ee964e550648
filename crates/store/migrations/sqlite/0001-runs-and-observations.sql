-- Runs, what they saw, and views of it for people. Times are nanoseconds since 1970 in UTC.

CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    run_folded TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER,
    targets TEXT NOT NULL,          -- one a line
    fingerprint TEXT NOT NULL,
    resumed_from TEXT,
    complete INTEGER NOT NULL,
    exposed INTEGER NOT NULL,
    protected INTEGER NOT NULL,
    decoy INTEGER NOT NULL,
    other INTEGER NOT NULL,
    unfinished INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    filtered INTEGER NOT NULL,
    silent INTEGER NOT NULL,
    absent INTEGER NOT NULL,
    alarms INTEGER NOT NULL,
    observations INTEGER NOT NULL,
    grade TEXT,
    vantage TEXT,
    log TEXT
);
CREATE INDEX runs_started ON runs (started);
CREATE INDEX runs_fingerprint ON runs (fingerprint, started);

-- What many endpoints have in common is kept once: a query looks through some thousand kinds, and
-- then knows by number which of a million observations it wants.
CREATE TABLE kinds (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,  -- all other columns in one
    source TEXT NOT NULL,
    port INTEGER NOT NULL,
    transport TEXT NOT NULL,
    verdict TEXT,                   -- none: the endpoint is gone
    alarm INTEGER NOT NULL,
    protocol TEXT,
    auth TEXT,
    version TEXT,
    version_folded TEXT,
    version_key INTEGER,            -- major, minor and patch, 20 bits each
    findings TEXT NOT NULL,         -- `CODE SEVERITY CONFIDENCE`, one a line
    codes TEXT NOT NULL,            -- in lower case, a line feed before and after each
    severities INTEGER NOT NULL,    -- a bit each: info 1, low 2, medium 4, high 8, critical 16
    confidences INTEGER NOT NULL    -- a bit each: possible 1, likely 2, confirmed 4
);

-- What the administrator's own files say of an address.
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,  -- all other columns in one
    asn INTEGER,
    country TEXT,                   -- in lower case
    owner TEXT,
    owner_folded TEXT,
    tags TEXT NOT NULL,             -- one a line
    tags_folded TEXT NOT NULL       -- in lower case, a line feed before and after each
);

CREATE TABLE observations (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    kind INTEGER NOT NULL REFERENCES kinds (id),
    place INTEGER NOT NULL REFERENCES places (id),
    source TEXT NOT NULL,
    address BLOB NOT NULL,          -- sorts as addresses do
    port INTEGER NOT NULL,
    transport TEXT NOT NULL,
    address_text TEXT NOT NULL,
    seen INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    current INTEGER NOT NULL,       -- 1: the last that its source saw of the endpoint
    gone INTEGER NOT NULL,          -- 1: asked again, and no longer there
    hostname TEXT,
    hostname_folded TEXT,
    payload_ratio REAL,
    digest INTEGER NOT NULL,
    pid INTEGER,
    process_start INTEGER           -- seconds since 1970
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
    observation INTEGER PRIMARY KEY REFERENCES observations (id),
    text TEXT NOT NULL,             -- what free text searches in, in lower case
    document TEXT                   -- the record as it was written; none: the endpoint is gone
);

CREATE VIEW v_history AS
SELECT
    o.address_text AS address, o.port, o.transport, o.source,
    strftime('%Y-%m-%dT%H:%M:%SZ', o.seen / 1000000000, 'unixepoch') AS seen,
    strftime('%Y-%m-%dT%H:%M:%SZ', o.first_seen / 1000000000, 'unixepoch') AS first_seen,
    coalesce(k.verdict, 'gone') AS verdict,
    k.alarm, o.hostname, k.version, k.protocol, k.auth,
    replace(rtrim(k.findings, char(10)), char(10), ', ') AS findings,
    o.payload_ratio, p.asn, upper(p.country) AS country, p.owner,
    replace(rtrim(p.tags, char(10)), char(10), ', ') AS tags,
    o.pid, r.run, o.current, o.id AS observation
FROM observations o
JOIN runs r ON r.key = o.run
JOIN kinds k ON k.id = o.kind
JOIN places p ON p.id = o.place;

CREATE VIEW v_current AS
SELECT
    o.address_text AS address, o.port, o.transport, o.source,
    strftime('%Y-%m-%dT%H:%M:%SZ', o.seen / 1000000000, 'unixepoch') AS seen,
    strftime('%Y-%m-%dT%H:%M:%SZ', o.first_seen / 1000000000, 'unixepoch') AS first_seen,
    k.verdict, k.alarm, o.hostname, k.version, k.protocol, k.auth,
    replace(rtrim(k.findings, char(10)), char(10), ', ') AS findings,
    o.payload_ratio, p.asn, upper(p.country) AS country, p.owner,
    replace(rtrim(p.tags, char(10)), char(10), ', ') AS tags,
    o.pid, r.run, o.id AS observation
FROM observations o
JOIN runs r ON r.key = o.run
JOIN kinds k ON k.id = o.kind
JOIN places p ON p.id = o.place
WHERE o.current = 1 AND o.gone = 0;

CREATE VIEW v_runs AS
SELECT
    run, kind, source,
    strftime('%Y-%m-%dT%H:%M:%SZ', started / 1000000000, 'unixepoch') AS started,
    strftime('%Y-%m-%dT%H:%M:%SZ', ended / 1000000000, 'unixepoch') AS ended,
    replace(rtrim(targets, char(10)), char(10), ', ') AS targets,
    complete, exposed, protected, decoy, other, unfinished, closed, filtered, silent, absent,
    alarms, observations, grade, vantage, resumed_from, log
FROM runs;

-- A row for each finding of the current state.
CREATE VIEW v_findings AS
WITH RECURSIVE finding (kind, line, rest) AS (
    SELECT id, '', findings FROM kinds
    UNION ALL
    SELECT kind, substr(rest, 1, instr(rest, char(10)) - 1), substr(rest, instr(rest, char(10)) + 1)
    FROM finding WHERE rest <> ''
),
word (kind, code, rest) AS (
    SELECT kind, substr(line, 1, instr(line, ' ') - 1), substr(line, instr(line, ' ') + 1)
    FROM finding WHERE line <> ''
)
SELECT
    w.code,
    substr(w.rest, 1, instr(w.rest, ' ') - 1) AS severity,
    substr(w.rest, instr(w.rest, ' ') + 1) AS confidence,
    o.address_text AS address, o.port, o.transport, o.source, o.hostname,
    strftime('%Y-%m-%dT%H:%M:%SZ', o.seen / 1000000000, 'unixepoch') AS seen,
    o.id AS observation
FROM word w
JOIN observations o ON o.kind = w.kind AND o.current = 1 AND o.gone = 0;
