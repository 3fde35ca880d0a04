-- galloc's first schema. Never edited once released: a change is a new file.
-- Times are milliseconds of the store's own clock (`…_ms`, see store/clock) or of the wall clock since the epoch (`…_at_ms`). Money is micros of
-- a currency. States and classes are small numbers; their names stand in daemon/core (state.h, outcome.h), and the CHECKs here repeat the ranges.

CREATE TABLE meta (                 -- values of the store as a whole: store_id, incarnation (raised by a restore), schema_sha256,
                                    -- backup_at_ms (of a copy, and of what was restored from one), restored_at_ms,
                                    -- boot_id, and with every transaction: batch, event_seq, lease_number, now_ms, boot_ms (CLOCK_BOOTTIME at now_ms)
  name  TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE node (                 -- a life of a daemon; leases of former lives are told by it
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  incarnation   INTEGER NOT NULL,
  boot_id       TEXT NOT NULL,
  pid           INTEGER NOT NULL,
  started_at_ms INTEGER NOT NULL,
  started_ms    INTEGER NOT NULL,                                         -- store clock: for starts that follow one another fast
  stopped_at_ms INTEGER
) STRICT;

CREATE TABLE pool (                 -- a list of agents; name is NULL for the pool of one run. AUTOINCREMENT here and below: what was purged never
                                    -- comes back as another's number
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT UNIQUE,
  created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE agent (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  pool         INTEGER NOT NULL REFERENCES pool(id),
  agent_id     TEXT NOT NULL CHECK (length(agent_id) > 0),
  is_listed    INTEGER NOT NULL DEFAULT 1 CHECK (is_listed IN (0, 1)),    -- 0: left the pool's list; kept because rows point at it
  capacity     INTEGER CHECK (capacity >= 0),                             -- NULL: no limit
  is_available INTEGER NOT NULL DEFAULT 1 CHECK (is_available IN (0, 1)),
  until_at_ms  INTEGER,                                                   -- unavailable until then; NULL: without a date
  attributes   TEXT NOT NULL,                                             -- a JSON object, as it came
  UNIQUE (pool, agent_id)
) STRICT;

CREATE TABLE ledger (               -- who holds how many places; a standing pool has one, and so has a run with agents of its own
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  pool   INTEGER NOT NULL REFERENCES pool(id),
  resets INTEGER NOT NULL DEFAULT 0                                       -- how often all places were given back: rows of before hold none any more
) STRICT;
CREATE INDEX ledger_pool ON ledger(pool);

CREATE TABLE ledger_agent (
  ledger INTEGER NOT NULL REFERENCES ledger(id),
  agent  INTEGER NOT NULL REFERENCES agent(id),
  base   INTEGER NOT NULL DEFAULT 0 CHECK (base >= 0),                    -- since the last reset: starting load, and places of rows that are gone
  held   INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),                    -- base + rows of the ledger's runs that took a place with this agent since then
  PRIMARY KEY (ledger, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_agent_agent ON ledger_agent(agent);                   -- for the foreign key, when a run's agents go with it

CREATE TABLE run (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id         TEXT NOT NULL UNIQUE,                                    -- "r-…", what people see
  name           TEXT,
  state          INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
  pauses         INTEGER NOT NULL DEFAULT 0 CHECK (pauses >= 0),          -- a bit a cause (core/state.h)
  pause_text     TEXT,
  is_open        INTEGER NOT NULL DEFAULT 0 CHECK (is_open IN (0, 1)),
  ledger         INTEGER REFERENCES ledger(id),
  endpoint       TEXT NOT NULL,
  profile        TEXT NOT NULL,
  priority       INTEGER NOT NULL DEFAULT 0,
  plan           TEXT NOT NULL,                                           -- JSON of the frozen plan (core/plan.h)
  source_name    TEXT,
  source_sha256  TEXT,
  plan_sha256    TEXT NOT NULL,                                           -- of the plan and the pool's name or agents: with the source it tells a repeat
  parts          INTEGER NOT NULL DEFAULT 0,
  import_ms      INTEGER NOT NULL DEFAULT 0,                              -- when it was made or its last part came; store clock: a left import is cancelled
  created_at_ms  INTEGER NOT NULL,
  started_at_ms  INTEGER,
  finished_at_ms INTEGER,
  created_by     INTEGER NOT NULL,                                        -- uid
  event_seq      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX run_name   ON run(name) WHERE name IS NOT NULL;               -- a run is told by its name too
CREATE INDEX run_source ON run(source_sha256) WHERE source_sha256 IS NOT NULL;
CREATE INDEX run_ledger ON run(ledger);                                   -- for the foreign key, when the ledger goes with its run
CREATE INDEX run_ended  ON run(finished_at_ms) WHERE state >= 2;

CREATE TABLE run_count (            -- counters of a run; moved in the transaction that moves its rows
  run   INTEGER NOT NULL REFERENCES run(id),
  kind  INTEGER NOT NULL,                                                 -- enum store_count_kind (store/store.h): state, class, token, cost, …
  value INTEGER NOT NULL,
  PRIMARY KEY (run, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE import_part (
  run     INTEGER NOT NULL REFERENCES run(id),
  part    INTEGER NOT NULL CHECK (part > 0),
  sha256  TEXT NOT NULL,
  row_count INTEGER NOT NULL,
  answer  TEXT NOT NULL,                                                  -- JSON, given again to a replay
  PRIMARY KEY (run, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE assignment (           -- narrow and hot
  id             INTEGER PRIMARY KEY,                                     -- rises with (part, row): the order of the run
  run            INTEGER NOT NULL REFERENCES run(id),
  key            TEXT NOT NULL,
  part           INTEGER NOT NULL,
  row            INTEGER NOT NULL,
  state          INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
  hold           INTEGER NOT NULL DEFAULT 0 CHECK (hold BETWEEN 0 AND 2), -- 1: a transient failure not yet confirmed; 2: rejected before the first success
  is_late        INTEGER NOT NULL DEFAULT 0 CHECK (is_late IN (0, 1)),    -- failed twice or more: waits behind those never tried
  not_before_ms  INTEGER NOT NULL DEFAULT 0,                              -- 0: fresh. Store clock
  lease          INTEGER,                                                 -- the number that fences; NULL unless leased
  attempts       INTEGER NOT NULL DEFAULT 0,
  failures       INTEGER NOT NULL DEFAULT 0,                              -- transient failures, confirmed or not
  retries_spent  INTEGER NOT NULL DEFAULT 0,
  reasks_spent   INTEGER NOT NULL DEFAULT 0,
  fulls_spent    INTEGER NOT NULL DEFAULT 0,
  goes_alone     INTEGER NOT NULL DEFAULT 0 CHECK (goes_alone IN (0, 1)), -- an outside worker was lost with it: a lease of its own from now on
  lost_alone     INTEGER NOT NULL DEFAULT 0,                              -- so often lost as the only row of a lease
  token_cap      INTEGER NOT NULL DEFAULT 0,                              -- raised after a truncated answer; 0: the endpoint's
  pack_most      INTEGER NOT NULL DEFAULT 0,                              -- goes with at most so many in a call, since more of them failed; 0: as the run says
  class          INTEGER,                                                 -- of the last attempt; the cause of a failure
  agent          INTEGER,                                                 -- set while succeeded. No foreign key: all rows would be looked through for each
                                                                          -- agent that goes with its run. doctor looks
  resets         INTEGER NOT NULL DEFAULT 0,                              -- ledger.resets when it took its place: it holds the place while they are the same
  UNIQUE (run, key),
  CHECK ((state = 1) = (lease IS NOT NULL))
) STRICT;
CREATE INDEX assignment_fresh   ON assignment(run, id) WHERE state = 0 AND not_before_ms = 0;
CREATE INDEX assignment_waiting ON assignment(run, is_late, not_before_ms) WHERE state = 0 AND not_before_ms > 0;
CREATE INDEX assignment_leased  ON assignment(lease) WHERE state = 1;
CREATE INDEX assignment_run     ON assignment(run);                        -- and by id: the order of the run, for lists, results and sweeps
CREATE INDEX assignment_held    ON assignment(run) WHERE state = 0 AND hold = 2;
CREATE INDEX assignment_unjudged ON assignment(id) WHERE state = 0 AND hold = 1;
CREATE INDEX assignment_failed  ON assignment(run, class, id) WHERE state = 3;

CREATE TABLE payload (              -- the input as it came
  assignment INTEGER PRIMARY KEY REFERENCES assignment(id),
  fields     TEXT NOT NULL,                                               -- a JSON object, byte for byte
  sha256     BLOB NOT NULL CHECK (length(sha256) = 32)
) STRICT;

CREATE TABLE result (               -- the decision, or the words of the failure
  assignment     INTEGER PRIMARY KEY REFERENCES assignment(id),
  body           TEXT NOT NULL,                                           -- JSON: reason, confidence, decided_by, model, message, http_status, latency_ms
  sha256         BLOB NOT NULL CHECK (length(sha256) = 32),
  finished_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE lease (                -- a batch in one worker's hands
  number      INTEGER PRIMARY KEY,                                        -- only grows: from meta.lease_number
  run         INTEGER NOT NULL REFERENCES run(id),
  worker      TEXT,                                                       -- NULL: the built-in worker
  ttl_ms      INTEGER,                                                    -- NULL: the built-in worker
  deadline_ms INTEGER,                                                    -- store clock; NULL: as long as this life of the daemon
  row_count   INTEGER NOT NULL DEFAULT 0,                                 -- handed out
  ended_at_ms INTEGER,                                                    -- an outside worker's: kept for a while, for late results
  node        INTEGER NOT NULL REFERENCES node(id)
) STRICT;
CREATE INDEX lease_deadline ON lease(deadline_ms) WHERE worker IS NOT NULL AND ended_at_ms IS NULL;
CREATE INDEX lease_ended    ON lease(ended_at_ms) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX lease_run      ON lease(run);                                 -- for the foreign key, when a run is purged

CREATE TABLE call (                 -- one API request, of one attempt or several; a test request of the endpoint has none
  id           INTEGER PRIMARY KEY,
  endpoint     TEXT NOT NULL,
  state        INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),            -- open, done, lost, released
  kind         INTEGER NOT NULL DEFAULT 0 CHECK (kind BETWEEN 0 AND 2),   -- 0: of attempts; 1: the endpoint's own test request; 2: of a run that was
                                                                          -- purged, kept for as long as the endpoint's limits look back
  node         INTEGER NOT NULL,
  sent_at_ms   INTEGER NOT NULL,                                          -- when it was made durable; just before the send
  attempt_count INTEGER NOT NULL DEFAULT 1,                               -- attempts that it carries
  ended_at_ms  INTEGER,
  class        INTEGER,
  http_status  INTEGER,
  tokens_in       INTEGER, tokens_cached INTEGER, tokens_out INTEGER, tokens_thought INTEGER, tokens_tool INTEGER,
  cost_micros  INTEGER,                                                   -- NULL: unknown
  currency     TEXT,
  latency_ms   INTEGER,
  local_port   INTEGER
) STRICT;
CREATE INDEX call_loose     ON call(kind, sent_at_ms) WHERE kind > 0;
CREATE INDEX call_open_test ON call(id) WHERE state = 0 AND kind = 1;   -- the others are found by attempt_open

CREATE TABLE reserve (              -- money spoken for: what a call of a budgeted run or endpoint may cost at most, from before it is sent until its cost is
                                    -- known; a call whose end is unknown keeps it. run_count has the sum of a run
  call   INTEGER PRIMARY KEY,
  run    INTEGER NOT NULL,
  micros INTEGER NOT NULL CHECK (micros > 0)
) STRICT;
CREATE INDEX reserve_run ON reserve(run);

CREATE TABLE attempt (              -- one try for one assignment
  assignment   INTEGER NOT NULL REFERENCES assignment(id),
  n            INTEGER NOT NULL CHECK (n > 0),
  lease        INTEGER NOT NULL,
  call         INTEGER,                                                   -- NULL: an outside worker, or no call was made
  class        INTEGER,                                                   -- NULL: open
  agent        INTEGER,                                                   -- whom the answer named, where that is a candidate
  excluded     INTEGER,                                                   -- the agent that was full
  token_cap    INTEGER,
  tokens_in    INTEGER,
  tokens_out   INTEGER,                                                   -- candidates and thoughts
  cost_micros  INTEGER,
  message      TEXT,                                                      -- why it was not well, in the provider's or our words
  raw          TEXT,                                                      -- what the model said, of an answer that was not valid; cut
  uid          INTEGER,                                                   -- who decided, where a person did; call is NULL then, and lease 0
  decision     TEXT,                                                      -- of a decision that a person changed since: the result's body as it was; message
                                                                          -- tells who changed it, and why
  started_at_ms INTEGER NOT NULL,
  ended_at_ms  INTEGER,
  PRIMARY KEY (assignment, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_open ON attempt(assignment, n) WHERE class IS NULL;  -- in flight: what a crash leaves to be told as lost

CREATE TABLE sweep (                -- an operator's change of many rows, on its way; a restart goes on with it
  id       INTEGER PRIMARY KEY,
  run      INTEGER NOT NULL REFERENCES run(id),
  verb     INTEGER NOT NULL,                                              -- enum store_sweep_verb
  uid      INTEGER NOT NULL DEFAULT 0,                                    -- who asked; 0 too where nobody did
  reason   TEXT,                                                          -- why, in the asker's words
  selector TEXT NOT NULL,                                                 -- JSON
  after_id INTEGER NOT NULL DEFAULT 0,
  changed  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX sweep_run ON sweep(run);

CREATE TABLE purge (                -- a run that is gone for everybody: its rows follow in steps, the run's own the last; a restart goes on with it
  run        INTEGER PRIMARY KEY REFERENCES run(id),
  is_release INTEGER NOT NULL CHECK (is_release IN (0, 1)),               -- its places are given back; else ledger_agent.base keeps them
  pool       INTEGER,                                                     -- of the run alone: goes with it
  row_count  INTEGER NOT NULL,                                            -- assignments still to go
  seq        INTEGER NOT NULL                                             -- when it was marked: the oldest goes first
) STRICT;

CREATE TABLE endpoint_setting (     -- what `endpoint set` changed; wins over the file
  endpoint    TEXT NOT NULL,
  name        TEXT NOT NULL,
  value       TEXT NOT NULL,
  set_at_ms   INTEGER NOT NULL,
  set_by      INTEGER NOT NULL,
  until_at_ms INTEGER,
  PRIMARY KEY (endpoint, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint_state (
  endpoint       TEXT PRIMARY KEY,
  down_class     INTEGER,                                                 -- credentials, billing, config; NULL: up
  down_text      TEXT,
  down_at_ms     INTEGER,
  quota_until_at_ms INTEGER,                                              -- a day's quota: asleep until then
  learned        TEXT                                                     -- JSON of the pacer
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint_sum (         -- what an endpoint's calls came to, ever; moved in the transaction that ends them
  endpoint           TEXT PRIMARY KEY,
  currency           TEXT,                                                -- of the last call that had a cost
  calls              INTEGER NOT NULL DEFAULT 0,                          -- done or lost, test requests apart
  test_calls         INTEGER NOT NULL DEFAULT 0,
  tokens_in          INTEGER NOT NULL DEFAULT 0, tokens_cached INTEGER NOT NULL DEFAULT 0, tokens_out INTEGER NOT NULL DEFAULT 0,
  tokens_thought     INTEGER NOT NULL DEFAULT 0, tokens_tool   INTEGER NOT NULL DEFAULT 0,
  cost_micros        INTEGER NOT NULL DEFAULT 0,
  cost_unknown_calls INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint_class (       -- its calls by the class in which they ended, test requests apart
  endpoint TEXT NOT NULL,
  class    INTEGER NOT NULL,
  calls    INTEGER NOT NULL,
  PRIMARY KEY (endpoint, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint_gone (        -- of these sums, what calls came to whose rows are gone: so that doctor can recount the sums
  endpoint TEXT NOT NULL,
  kind     INTEGER NOT NULL,                                              -- enum store_count_kind
  value    INTEGER NOT NULL,
  PRIMARY KEY (endpoint, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoint_day (         -- calls sent on a day (Pacific) that have ended, for a quota a day; days of before stay for a while: a clock may be set back
  endpoint   TEXT NOT NULL,
  ends_at_ms INTEGER NOT NULL,                                            -- the midnight at which the day ends
  calls      INTEGER NOT NULL,
  cost_micros INTEGER NOT NULL DEFAULT 0,                                 -- of these calls, with what stays reserved for those whose end is unknown
  PRIMARY KEY (endpoint, ends_at_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (                -- what people did
  id     INTEGER PRIMARY KEY,
  at_ms  INTEGER NOT NULL,
  uid    INTEGER NOT NULL,
  pid    INTEGER NOT NULL,
  verb   TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT NOT NULL,                                                   -- JSON: what, why, the old value
  seq    INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency (          -- answers given again to the same Idempotency-Key; kept for 7 days
  key       TEXT PRIMARY KEY,
  sha256    TEXT NOT NULL,
  run       INTEGER NOT NULL REFERENCES run(id),
  part      INTEGER,                                                      -- of an append, whose answer import_part has; NULL: the run itself was made
  made_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_made ON idempotency(made_at_ms);
CREATE INDEX idempotency_run  ON idempotency(run);

CREATE TABLE rollup (               -- history for charts, a row a run and minute; bounded
  run        INTEGER NOT NULL,
  minute     INTEGER NOT NULL,                                            -- wall clock
  succeeded  INTEGER NOT NULL,
  failed     INTEGER NOT NULL,
  calls      INTEGER NOT NULL,
  refused    INTEGER NOT NULL,
  PRIMARY KEY (run, minute)
) STRICT, WITHOUT ROWID;
