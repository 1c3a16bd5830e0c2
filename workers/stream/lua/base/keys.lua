#!lua name=@LIBRARY@
-- The job stream: every change of a job is one atomic function of this library.
-- The files of this folder are joined into one text, this one first (library.py says in which order). `@LIBRARY@` is
-- replaced by a name that contains a hash of that text, so that two releases of the service can share one server
-- during a rolling update: each calls its own functions.
--
-- Every function takes one key, the queue's `{q}:stream`, and finds all others by it. `{q}` is a hash tag, so all keys
-- of a queue are in one slot of a cluster. Times are the server's clock, in milliseconds since the epoch; no client's
-- clock is used.
--
-- key                  type    meaning                                               expires or goes
-- {q}:stream           stream  jobs that wait or run: id, function, args[, kwargs]   an entry at its job's end
--   group `workers`            lag = jobs waiting, pending = jobs running or released
--   group `ordered`            is there while the order of what waits counts (order.lua)
--   consumer WORKER            holds what that worker runs; an entry's idle time is its lease
--   consumer `released`        holds what was handed back or lost its lease: claimed before new entries
-- {q}:job:ID           hash    the job's record (fields below)                       keep_result after its end
-- {q}:events:ID        stream  what a job tells while it runs (events.lua); an       a day after the last one;
--                              entry has one field, the event's kind                 with the record once it has ended
-- {q}:deferred         zset    job ids by due time; the payload is in the record     a member when it is due
-- {q}:expiring         zset    ids of jobs with a ttl, by the time until which they   a member when it is looked at
--                              must have been started                                then
-- {q}:order            hash    how far the order of what waits has come (order.lua)   never
-- {q}:turns            zset    lanes in which jobs wait, by whose turn it is          a member with its last job
-- {q}:lane:BAND:NAME   zset    ids of jobs that wait in a lane, by their place        a member when it is picked
-- {q}:dead             stream  dead letters: id, function, args, kwargs, owner,      trimmed by age and length
--                              attempts, error, options
-- {q}:batch:ID          hash    jobs that were pushed together: owner, count, queued,    when the records of all
--                              gone (so many of the first have no record any more)     its jobs have gone
-- {q}:batches           zset    batch ids by the time of the next look for that         with its batch
-- {q}:index:OWNER       stream  ids of an owner's jobs in the order of their pushes      an entry when none of its jobs
--                              (index.lua)                                           has a record any more
-- {q}:owners            hash    of each owner with an index, the last entry that was    an owner with its index
--                              looked at
-- {q}:staged:ID         list    inputs of a batch that is still being received          30 s after the last ones
-- {q}:idempotency:KEY  string  "fingerprint id" of the first push with that key      24 h after that push; it counts
--                                                                                    only while its job's record exists
-- {q}:idle             zset    workers with free slots, by the time they were ready  a worker when it is woken, full
--                                                                                    or handed a job
-- {q}:ahead            zset    workers that hold jobs ahead, by how many (ahead.lua)   a worker when it holds none
-- {q}:worker:WORKER    hash    a worker's registration                               its heartbeat's expiry
-- {q}:workers          zset    worker ids by the expiry of their registration        a member once that has passed
-- {q}:swept            string  time of the last sweep                                never: tells that the clock is back
-- {q}:pruned           string  time of the last pruning                              one lease
-- {q}:health-check     string  arq's health line of the last worker that wrote it    its interval
-- {q}:results          zset    "bytes id" of kept results by the time they expire,    a member once that has passed
--                              if their memory is limited
-- {q}:results-bytes    string  sum of those bytes                                    never
-- {q}:proof            string  time of the last proof that the server takes writes    1 s after that
-- {q}:scaler           hash    the scaler's memory: decision, facts, state (JSON)    7 days after its last write
-- {q}:history          stream  a day in steps of 10 s; an entry's id is its time,  2 days after its last write
--                              its field `step` is JSON
-- {q}:historian        string  the gateway that writes the history                   its lease
-- {q}:schemas          hash    schemas of the workers' models; of each digest: its   a day after its last renewal
--                              JSON, DIGEST:since (first publication), DIGEST:seen
--                              (last renewal)
-- {q}:limit:OWNER      hash    what an owner has used up of its limits (limits.lua,    2 days after its last push or
--                              uploads.lua)                                          upload
-- {q}:outstanding:OWNER set    its jobs that may not have ended, if they are limited  7 days after its last push
-- {q}:share:OWNER      set     its jobs that have not ended, if its share is limited  7 days after its last push
-- {q}:webhooks:...     queue   deliveries of webhooks: an internal queue with these same keys (webhooks.lua)
--
-- channel              message
-- {q}:ended            ids of jobs that ended, with spaces between
-- {q}:told             ids of jobs that have told something, with spaces between
-- {q}:answer:GATEWAY   the small end of a job whose push waits at that gateway, before the id on {q}:ended (see answer)
-- {q}:wake:WORKER      "" (there is work), "cancel ID", "run JOB" (see hand_over), "hold JOBS" (see
--                      hand_over_ahead) or "back" (see call_back)
-- {q}:wake:            "": a job waits and no worker was free to be woken; the scaler listens
--
-- Fields of a record: entry (in {q}:stream; in {q}:dead if the job failed; one that has finished keeps what it had, as to
-- delete a field costs more than its memory), seq (place in the order of pushes, if the entry's id does not end with it),
-- owner, queued (only if the entry's id does not tell the time of the push), attempts. From the first claim on: status
-- (absent means queued), worker, started, and at the end finished, and result or error (JSON). Beside a result there
-- may be notes: a JSON object with the pushed input, if the result has none, and with warnings. A deferred job keeps its
-- function, args and kwargs here, and one whose push asked for a time also scheduled. options: what the push asked for
-- (options.lua). unserved: since when (behind the number of attempts) workers without its function
-- have put it off. events: of its last run that told any: "started bytes"; progress: that run's last one. waits: the
-- gateway at which the job's push waits for its end, and behind a space the owner in whose share it counts (limits.lua);
-- either may be empty. lane: its band, place and name in the order (order.lua). webhook: whom it tells of what (JSON,
-- webhooks.lua).
-- Fields of a registration that are read here: orders (1: its release knows the order), running, state, takes (the
-- library whose pushes may hand it a job), ahead (how many jobs it would hold beside that, when it last became idle), and
-- functions (their names, a JSON array), and schema (its digest; `any` if the model takes any JSON).

local GROUP = 'workers'
local RELEASED = 'released'
local CHUNK = 1000 -- this many arguments are safe to give to one unpack()
local CLOCK_SLACK_MS = 1000 -- an entry's id that is further ahead of the clock than this does not tell the time
local PROOF_MS = 1000
local ROUND = 100 -- entries read at once; between two rounds a claim looks whether its reply is full
local REPLY_BYTES = 8 * 1024 * 1024 -- a reply ends with the payload or result that exceeds this
-- Larger payloads are not published. The server disconnects a subscriber whose output buffer outgrows
-- `client-output-buffer-limit pubsub`.
local MESSAGE_BYTES = 64 * 1024
-- A larger end is not sent to the push that waits: it is read once, by that gateway.
local ANSWER_BYTES = 16 * 1024

local keys_at = {} -- what keys_of has returned, by the stream

local function keys_of(stream)
  if keys_at[stream] then return keys_at[stream] end
  local prefix = string.sub(stream, 1, -8) -- without ':stream'
  keys_at[stream] = {
    stream = stream,
    job = prefix .. ':job:',
    events = prefix .. ':events:',
    deferred = prefix .. ':deferred',
    expiring = prefix .. ':expiring',
    order = prefix .. ':order',
    turns = prefix .. ':turns',
    lane = prefix .. ':lane:',
    dead = prefix .. ':dead',
    batch = prefix .. ':batch:',
    batches = prefix .. ':batches',
    index = prefix .. ':index:',
    owners = prefix .. ':owners',
    staged = prefix .. ':staged:',
    idempotency = prefix .. ':idempotency:',
    idle = prefix .. ':idle',
    ahead = prefix .. ':ahead',
    worker = prefix .. ':worker:',
    workers = prefix .. ':workers',
    swept = prefix .. ':swept',
    pruned = prefix .. ':pruned',
    results = prefix .. ':results',
    results_bytes = prefix .. ':results-bytes',
    health = prefix .. ':health-check',
    proof = prefix .. ':proof',
    scaler = prefix .. ':scaler',
    history = prefix .. ':history',
    historian = prefix .. ':historian',
    schemas = prefix .. ':schemas',
    limit = prefix .. ':limit:',
    outstanding = prefix .. ':outstanding:',
    share = prefix .. ':share:',
    ended = prefix .. ':ended',
    told = prefix .. ':told',
    answer = prefix .. ':answer:',
    wake = prefix .. ':wake:',
  }
  return keys_at[stream]
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A whole number as text. A number that is handed to a command is printed as a double, which takes longer.
local function whole(n) return string.format('%d', n) end

local function map_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

local function entry_ms(entry) return tonumber(string.match(entry, '^%d+')) end

-- The same as text, without a number in between.
local function entry_time(entry) return string.match(entry, '^%d+') end

local function contains(list, item)
  for i = 1, #list do
    if list[i] == item then return true end
  end
  return false
end

-- Without the flag 'allow-oom' a server that is out of memory refuses the call. Pushes and retries lack it: they are
-- refused then, while everything that ends jobs, and so frees memory, goes on.
local function export(name, callback, ...)
  redis.register_function({ function_name = '@LIBRARY@_' .. name, callback = callback, flags = { ... } })
end
