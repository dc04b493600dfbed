CREATE TABLE names (
    -- The names of named queues and of kinds, so that a job holds a number.
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,     -- in names
    kind INTEGER NOT NULL,      -- in names
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9), -- 0 is the most urgent
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),       -- 0 waits, 1 runs, 2 is a dead letter
    attempt INTEGER NOT NULL,   -- the attempt that runs or is next, from 0; of a dead letter how many were made
    due INTEGER,                -- milliseconds of Unix time; NULL: at once; 9223372036854775807: never
    crashes INTEGER NOT NULL,   -- how often in a row the process ended while the job ran
    failures INTEGER NOT NULL,  -- how many failed attempts there ever were; the latest 100 are in failures
    reason INTEGER,             -- of a dead letter: 0 retries exhausted, 1 discarded, 2 no handler, 3 shut down, 4 crashed
    place INTEGER,              -- of a dead letter: its place among them, the oldest first
    length INTEGER,             -- the bytes of a payload that is in payloads; NULL if it is here
    options TEXT,               -- the retry policy and timeout of this job alone, as JSON
    payload BLOB                -- of up to 256 bytes; NULL if it is in payloads
) STRICT;

CREATE TABLE payloads (
    -- Large ones have a table of their own, so that opening need not read them.
    id INTEGER PRIMARY KEY,     -- of the job
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE failures (
    job INTEGER NOT NULL,
    sequence INTEGER NOT NULL,  -- counts up from 0
    attempt INTEGER NOT NULL,   -- from 0
    error TEXT NOT NULL,
    at INTEGER NOT NULL,        -- milliseconds of Unix time
    PRIMARY KEY (job, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE settled (
    -- Jobs that are over, for as long as they are to be kept. The oldest first.
    number INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    queue INTEGER NOT NULL,     -- in names
    kind INTEGER NOT NULL,      -- in names
    attempt INTEGER NOT NULL,   -- the one that was the last, from 0
    outcome INTEGER NOT NULL,   -- 0 done, 1 cancelled, 2 a dead letter that was dropped
    at INTEGER                  -- milliseconds of Unix time
) STRICT;

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next_id INTEGER NOT NULL,   -- of the next job; no number is ever given twice
    time INTEGER                -- the latest time that was ever seen, in milliseconds of Unix time
) STRICT;

INSERT INTO meta VALUES (1, 1, NULL);

CREATE TRIGGER jobs_gone AFTER DELETE ON jobs WHEN OLD.length IS NOT NULL OR OLD.failures > 0 BEGIN
    -- For people: queue-sqlite removes these itself.
    DELETE FROM payloads WHERE id = OLD.id;
    DELETE FROM failures WHERE job = OLD.id;
END;

CREATE VIEW job_list AS
    -- For people.
    SELECT
        jobs.id,
        queues.name AS queue,
        kinds.name AS kind,
        jobs.priority,
        CASE jobs.state WHEN 0 THEN 'waits' WHEN 1 THEN 'runs' ELSE 'dead' END AS state,
        CASE
            WHEN jobs.state <> 0 THEN NULL
            WHEN jobs.due IS NULL THEN 'at once'
            WHEN jobs.due = 9223372036854775807 THEN 'never'
            ELSE coalesce(strftime('%Y-%m-%d %H:%M:%S', jobs.due / 1000, 'unixepoch'), 'after the year 9999')
        END AS due,
        jobs.attempt,
        jobs.crashes,
        CASE jobs.reason
            WHEN 0 THEN 'retries exhausted'
            WHEN 1 THEN 'discarded'
            WHEN 2 THEN 'no handler'
            WHEN 3 THEN 'shut down'
            WHEN 4 THEN 'crashed'
        END AS reason,
        (SELECT error FROM failures WHERE job = jobs.id ORDER BY sequence DESC LIMIT 1) AS last_error,
        jobs.options,
        CAST(coalesce(jobs.payload, (SELECT bytes FROM payloads WHERE payloads.id = jobs.id)) AS TEXT) AS payload
    FROM jobs
        JOIN names AS queues ON queues.id = jobs.queue
        JOIN names AS kinds ON kinds.id = jobs.kind;
