#!lua name=@LIBRARY@
-- The job stream: every state change of a job is one atomic function here.
-- `@LIBRARY@` is replaced by a name with a hash of this file when it is loaded (stream.py),
-- so that two releases of the service can share one server during a rolling update.
--
-- Every function takes one key, the queue's prefix `{queue}` (a hash tag: all keys share a slot).
-- Times are the server's clock, in milliseconds since the epoch, and never a client's.
--
-- key                     type    meaning                                              expiry
-- {q}:stream              stream  jobs waiting or running: id, function, args[, kwargs] entry is deleted when its job ends
--   group `workers`               lag = jobs waiting, pending = jobs running (+ released)
--   consumer WORKER               holds what that worker runs; an entry's idle time is its lease
--   consumer `released`           holds what was handed back or lost its lease: claimed first
-- {q}:job:ID              hash    the job's record (fields below)                      none while outstanding, then keep_result
-- {q}:deferred            zset    job id by due time; the payload is in the record     member goes when due
-- {q}:dead                stream  dead letters: id, function, args, kwargs, owner,     trimmed by age and length
--                                 attempts, error
-- {q}:idempotency:KEY     string  "fingerprint id" of the first push with that key     24 h after that push
-- {q}:idle                zset    workers with free capacity, by the time they were ready member goes when woken, full
--                                                                                      or handed a job
-- {q}:worker:WORKER       hash    a worker's registration                              its heartbeat's expiry
-- {q}:workers             zset    worker ids by the expiry of their registration       pruned by sweep
-- {q}:swept               string  time of the last sweep                               one sweep interval
-- {q}:pruned              string  time of the last pruning                             one lease
-- {q}:health-check        string  arq's health line of the last worker that wrote it   its interval
-- {q}:scaler              hash    the scaler's memory: decision, state (JSON)          7 days after it was last written
-- channels: {q}:ended (ids of ended jobs), {q}:wake:WORKER ("", "cancel ID" or "run JOB": see hand_over),
--   {q}:wake: (no worker was free to wake)
--
-- record fields: seq (place in the order of pushes), entry (in {q}:stream, or {q}:dead when failed),
--   owner, queued (only where the entry's own time is not the push's), attempts, and once claimed:
--   status (absent means queued), worker, started, finished, result or error (JSON);
--   deferred jobs keep function, args, kwargs here.
-- fields of a registration that are read here: running, and takes (the library whose pushes may hand it a job).

local GROUP = 'workers'
local RELEASED = 'released'
local CHUNK = 1000 -- arguments that unpack() is safely given at once
local CLOCK_SLACK_MS = 1000 -- an entry's id this far ahead of the clock is not its time
local ROUND = 100 -- entries read at once, so that large payloads can be stopped in between
local REPLY_BYTES = 8 * 1024 * 1024 -- a reply ends with the payload or result that fills this
local MESSAGE_BYTES = 64 * 1024 -- a larger payload is no message: the server drops subscribers that are slow to read

-- Before 7.2.5 XREADGROUP tells neither the append-only file nor the replicas how many entries the group
-- has read (redis/redis#12898): after a restart the lag would be that of all jobs there ever were.
local FORGETS_ENTRIES_READ = redis.REDIS_VERSION_NUM < 0x00070205

local function keys_of(prefix)
  return {
    stream = prefix .. ':stream',
    job = prefix .. ':job:',
    deferred = prefix .. ':deferred',
    dead = prefix .. ':dead',
    idempotency = prefix .. ':idempotency:',
    idle = prefix .. ':idle',
    worker = prefix .. ':worker:',
    workers = prefix .. ':workers',
    swept = prefix .. ':swept',
    pruned = prefix .. ':pruned',
    scaler = prefix .. ':scaler',
    ended = prefix .. ':ended',
    wake = prefix .. ':wake:',
  }
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function whole(n) return string.format('%.0f', n) end

local function map_of(flat)
  local map = {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  return map
end

local function entry_ms(entry) return tonumber(string.match(entry, '^%d+')) end

-- The group's counters, or nil without it. Never writes.
local function find_group(k)
  local ok, groups = pcall(redis.call, 'XINFO', 'GROUPS', k.stream)
  if not ok or groups.err then return nil end
  for _, g in ipairs(groups) do
    local info = map_of(g)
    if info['name'] == GROUP then return info end
  end
  return nil
end

local function contains(list, item)
  for i = 1, #list do
    if list[i] == item then return true end
  end
  return false
end

-- The group's counters, exact; creates stream and group where they are missing.
-- XDEL leaves a mark (max-deleted-entry-id) that makes the server answer lag = nil while it is not
-- older than the group's last delivered entry, and still counts entries that were never read. What
-- waits is what the stream holds and nobody was given, so mark and count are set back to that here:
-- wherever a lag is needed, in case somebody else touched the stream, and after every deletion. If the
-- last delivered entry is among the `removed`, or `unread` ones are, even where the lag looks right: it
-- would be wrong after the next push or read.
local function group_of(k, removed, unread)
  local group = find_group(k)
  if not group then
    redis.call('XGROUP', 'CREATE', k.stream, GROUP, '0', 'MKSTREAM', 'ENTRIESREAD', '0')
    return group_of(k)
  end
  local read, waiting = group['entries-read'], math.max(0, redis.call('XLEN', k.stream) - group['pending'])
  local is_marked = removed and (unread > 0 or contains(removed, group['last-delivered-id']))
  if read and group['lag'] == waiting and not is_marked then return group end
  local info = map_of(redis.call('XINFO', 'STREAM', k.stream))
  if not read or read < group['pending'] then
    read = math.max(info['entries-added'] - waiting, group['pending'])
    redis.call('XGROUP', 'SETID', k.stream, GROUP, group['last-delivered-id'], 'ENTRIESREAD', whole(read))
  end
  if info['last-generated-id'] ~= '0-0' then
    redis.call('XSETID', k.stream, info['last-generated-id'],
      'ENTRIESADDED', whole(read + waiting), 'MAXDELETEDID', '0-1')
  end
  group['lag'], group['entries-read'] = waiting, read
  return group
end

-- Wakes up to `count` workers that have free capacity, longest ready first. A worker whose
-- subscription is gone receives nothing (PUBLISH answers 0), and the next one is tried. Where there is
-- none the scaler is told: jobs wait.
local function wake(k, count)
  local woken = 0
  while woken < count do
    local idle = redis.call('ZPOPMIN', k.idle)
    if #idle == 0 then
      redis.call('PUBLISH', k.wake, '')
      return
    end
    if redis.call('PUBLISH', k.wake .. idle[1], '') > 0 then woken = woken + 1 end
  end
end

local function publish_ended(k, ids)
  if #ids > 0 then redis.call('PUBLISH', k.ended, table.concat(ids, ' ')) end
end

-- Acknowledges and deletes entries, leaving lag and pending exact.
local function remove_entries(k, entries)
  local unread = 0
  for i = 1, #entries, CHUNK do
    local last = math.min(i + CHUNK - 1, #entries)
    unread = unread - redis.call('XACK', k.stream, GROUP, unpack(entries, i, last))
    unread = unread + redis.call('XDEL', k.stream, unpack(entries, i, last))
  end
  if #entries > 0 then group_of(k, entries, unread) end
end

local function append(k, id, function_name, args, kwargs)
  if kwargs and kwargs ~= '' then
    return redis.call('XADD', k.stream, '*', 'id', id, 'function', function_name, 'args', args, 'kwargs', kwargs)
  end
  return redis.call('XADD', k.stream, '*', 'id', id, 'function', function_name, 'args', args)
end

-- Entries that no worker was given yet, up to `count`; they are the worker's from now on.
local function read_new(k, worker, count)
  local read = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count, 'STREAMS', k.stream, '>')
  if not read then return {} end
  if FORGETS_ENTRIES_READ then
    local group = find_group(k)
    redis.call('XGROUP', 'SETID', k.stream, GROUP, group['last-delivered-id'], 'ENTRIESREAD',
      whole(group['entries-read'] or -1))
  end
  return read[1][2]
end

-- Whether the next entry will be the first to be claimed.
local function is_queue_empty(k, group)
  return group['lag'] == 0
    and (group['pending'] == 0 or #redis.call('XPENDING', k.stream, GROUP, '-', '+', 1, RELEASED) == 0)
end

-- Gives an entry that was just added to an empty queue to the worker that `wake` would wake, which saves that worker
-- the claim: the message says what a claim would reply, and the caller writes the record as `start` does. Only a
-- worker of this very release that runs nothing takes one; another is woken, as for a payload that is too large.
-- Returns the worker, or nil, and how many were told: 1, or 0 if nobody listens.
local function hand_over(k, id, entry, function_name, args, kwargs, queued)
  local is_small = #args + #kwargs <= MESSAGE_BYTES
  while true do
    local worker = redis.call('ZPOPMIN', k.idle)[1]
    if not worker then return nil, 0 end
    local worker_key, message = k.worker .. worker, ''
    local r = redis.call('HMGET', worker_key, 'takes', 'running')
    local takes = is_small and r[1] == '@LIBRARY@' and r[2] == '0'
    if takes then
      message = 'run ' .. entry .. ' ' .. queued .. ' ' .. #id .. ' ' .. #function_name .. ' ' .. #args .. ' '
        .. id .. function_name .. args .. kwargs
    end
    if redis.call('PUBLISH', k.wake .. worker, message) > 0 then
      if not takes then return nil, 1 end
      read_new(k, worker, 1)
      redis.call('HSET', worker_key, 'state', 'busy', 'job', id, 'running', 1)
      return worker, 1
    end
  end
end

local function payload_of(stream, entry)
  local rows = redis.call('XRANGE', stream, entry, entry)
  if #rows == 0 then return nil end
  return map_of(rows[1][2])
end

local function expire(key, keep_ms)
  if keep_ms == 0 then redis.call('DEL', key)
  elseif keep_ms > 0 then redis.call('PEXPIRE', key, whole(keep_ms)) end
end

-- A failed job's payload moves to the dead letters (nil: somebody deleted its entry).
local function bury(k, job_key, id, payload, attempts, owner, error_json, finished, keep_ms, worker)
  local entry = payload and redis.call('XADD', k.dead, '*', 'id', id, 'function', payload['function'],
    'args', payload['args'], 'kwargs', payload['kwargs'] or '', 'owner', owner or '',
    'attempts', attempts, 'error', error_json)
  redis.call('HSET', job_key, 'status', 'failed', 'entry', entry or '', 'finished', finished,
    'attempts', attempts, 'error', error_json, 'worker', worker)
  expire(job_key, keep_ms)
end

-- The record's queued time must outlive the entry that it is read from.
local function keep_queued(job_key, entry)
  redis.call('HSETNX', job_key, 'queued', whole(entry_ms(entry)))
end

-- A job does not end before it was queued, even if the server's clock was set back meanwhile.
local function end_ms(now, queued) return whole(math.max(now, tonumber(queued))) end

-- A pending entry goes to the front of the queue: still pending, but held by no worker.
local function hand_back(k, job_key, entry)
  redis.call('XCLAIM', k.stream, GROUP, RELEASED, 0, entry, 'JUSTID')
  redis.call('HDEL', job_key, 'status', 'worker')
end

local function owns(k, worker, id, attempt)
  local r = redis.call('HMGET', k.job .. id, 'status', 'worker', 'attempts', 'entry', 'owner', 'queued')
  return r[1] == 'processing' and r[2] == worker and r[3] == attempt, r
end

-- push(max_backlog, idempotency_ms, then per job: id, function, args, owner, options)
-- options: '' or JSON {kwargs, idempotency_key, fingerprint, defer_ms}. Replies per job:
-- 'accepted' | 'full' | 'conflict' | 'existing ID'. Pushing an id again changes nothing.
local function push(keys, argv)
  local k = keys_of(keys[1])
  local max_backlog, idempotency_ms = tonumber(argv[1]), argv[2]
  local group = group_of(k)
  local seq = group['entries-read'] + group['lag']
  local room = max_backlog - redis.call('XLEN', k.stream) - redis.call('ZCARD', k.deferred)
  local now, replies, appended, behind = now_ms(), {}, 0, false
  local is_empty, served = is_queue_empty(k, group), 0
  for i = 3, #argv, 5 do
    local id, options = argv[i], nil
    if argv[i + 4] ~= '' then options = cjson.decode(argv[i + 4]) end
    local job_key, idempotency_key, reply = k.job .. id, nil, nil
    if options and options.idempotency_key then
      idempotency_key = k.idempotency .. options.idempotency_key
      local first = redis.call('GET', idempotency_key)
      if first then
        local fingerprint, first_id = string.match(first, '^(%S*) (.*)$')
        reply = fingerprint == options.fingerprint and 'existing ' .. first_id or 'conflict'
      end
    end
    if not reply and redis.call('EXISTS', job_key) == 1 then reply = 'existing ' .. id end
    if not reply and room <= 0 then reply = 'full' end
    if not reply then
      reply = 'accepted'
      room = room - 1
      if options and options.defer_ms then
        redis.call('HSET', job_key, 'function', argv[i + 1], 'args', argv[i + 2],
          'kwargs', options.kwargs or '', 'queued', whole(now))
        redis.call('ZADD', k.deferred, whole(now + options.defer_ms), id)
      else
        local kwargs = options and options.kwargs or ''
        local entry = append(k, id, argv[i + 1], argv[i + 2], kwargs)
        seq = seq + 1
        appended = appended + 1
        -- Entry ids never go back, the clock may: then the id is no time.
        if appended == 1 then behind = entry_ms(entry) > now + CLOCK_SLACK_MS end
        if behind then redis.call('HSET', job_key, 'queued', whole(now)) end
        local worker, told
        if is_empty then
          local queued = whole(behind and now or entry_ms(entry))
          worker, told = hand_over(k, id, entry, argv[i + 1], argv[i + 2], kwargs, queued)
          is_empty, served = worker, served + told
        end
        if worker then
          redis.call('HSET', job_key, 'seq', whole(seq), 'entry', entry, 'status', 'processing', 'worker', worker,
            'attempts', 1, 'started', whole(now))
        else
          redis.call('HSET', job_key, 'seq', whole(seq), 'entry', entry)
        end
      end
      if argv[i + 3] ~= '' then redis.call('HSET', job_key, 'owner', argv[i + 3]) end
      if idempotency_key then
        redis.call('SET', idempotency_key, options.fingerprint .. ' ' .. id, 'PX', idempotency_ms)
      end
    end
    replies[#replies + 1] = reply
  end
  wake(k, appended - served)
  return replies
end

-- Starts one claimed entry: counts the attempt before anything runs. Returns nothing for an entry
-- that must not run: it is no job's, its job is gone or has ended, or has used up its attempts.
local function start(k, worker, entry, fields, limits, limit, now, keep_ms, drop, ended)
  local payload = map_of(fields)
  local id = payload['id'] or ''
  local job_key = k.job .. id
  local r = redis.call('HMGET', job_key, 'entry', 'status', 'attempts', 'queued', 'owner')
  if r[1] ~= entry or (r[2] and r[2] ~= 'processing') then
    drop[#drop + 1] = entry
    return nil
  end
  local attempts = tonumber(r[3] or 0)
  local queued = r[4] or whole(entry_ms(entry))
  local allowed = limits[payload['function']] or limit
  if attempts >= allowed then
    keep_queued(job_key, entry)
    bury(k, job_key, id, payload, attempts, r[5], cjson.encode({ type = 'AttemptsExhausted',
      message = 'gave up after ' .. attempts .. ' attempts: the last one ended without a result' }),
      end_ms(now, queued), keep_ms, worker)
    drop[#drop + 1] = entry
    ended[#ended + 1] = id
    return nil
  end
  redis.call('HSET', job_key, 'status', 'processing', 'worker', worker,
    'attempts', attempts + 1, 'started', whole(now))
  return id, payload, attempts + 1, queued
end

-- claim(worker, count, running, ready_ms, max_attempts, keep_ms, then pairs function, max_attempts)
-- Replies flat, 7 a job: id, entry, function, args, kwargs, attempt, queued_ms. A worker that got
-- fewer than it asked for is registered as idle in the same step, so no push can miss it; if it got
-- fewer because the reply is full, it or another is woken for the rest.
local function claim(keys, argv)
  local k = keys_of(keys[1])
  local worker, count, running, ready = argv[1], tonumber(argv[2]), tonumber(argv[3]), argv[4]
  local limit, keep_ms, limits = tonumber(argv[5]), tonumber(argv[6]), {}
  for i = 7, #argv, 2 do limits[argv[i]] = tonumber(argv[i + 1]) end
  group_of(k)
  local now = now_ms()
  local out, drop, ended, taken, bytes, first = {}, {}, {}, 0, 0, nil
  local function take(rows)
    for _, row in ipairs(rows) do
      local id, payload, attempt, queued = start(k, worker, row[1], row[2], limits, limit, now, keep_ms, drop, ended)
      if id then
        first = first or id
        taken = taken + 1
        bytes = bytes + #payload['args']
        local n = #out
        out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, row[1], payload['function'], payload['args']
        out[n + 5], out[n + 6], out[n + 7] = payload['kwargs'] or '', attempt, queued
      end
    end
  end
  while taken < count and bytes < REPLY_BYTES do
    local pending = redis.call('XPENDING', k.stream, GROUP, '-', '+', math.min(count - taken, ROUND), RELEASED)
    if #pending == 0 then break end
    local entries = {}
    for i, row in ipairs(pending) do entries[i] = row[1] end
    take(redis.call('XCLAIM', k.stream, GROUP, worker, 0, unpack(entries)))
  end
  while taken < count and bytes < REPLY_BYTES do
    local asked = math.min(count - taken, ROUND)
    local rows = read_new(k, worker, asked)
    take(rows)
    if #rows < asked then break end
  end
  remove_entries(k, drop)
  publish_ended(k, ended)
  if taken < count then redis.call('ZADD', k.idle, ready, worker) else redis.call('ZREM', k.idle, worker) end
  if bytes >= REPLY_BYTES then wake(k, 1) end
  local worker_key = k.worker .. worker
  -- Only a registration that has not expired: fields written now would never expire.
  if (first or running == 0) and redis.call('EXISTS', worker_key) == 1 then
    if first then
      redis.call('HSET', worker_key, 'state', 'busy', 'job', first, 'running', running + taken)
    else
      redis.call('HSET', worker_key, 'state', 'idle', 'job', '', 'running', 0)
    end
  end
  return out
end

-- finish(worker, then 5 a job: id, attempt, 'finished'|'failed', keep_ms, result or error JSON)
-- Acknowledges, deletes and publishes, if the worker still holds the lease and the job has not
-- ended. Replies per job: 'done' (also when this very finish was done before) | 'lost'.
local function finish(keys, argv)
  local k = keys_of(keys[1])
  local worker, now = argv[1], now_ms()
  local replies, remove, ended = {}, {}, {}
  for i = 2, #argv, 5 do
    local id, attempt, outcome, keep_ms, body = argv[i], argv[i + 1], argv[i + 2], tonumber(argv[i + 3]), argv[i + 4]
    local job_key = k.job .. id
    local own, r = owns(k, worker, id, attempt)
    if own then
      local entry = r[4]
      local queued = r[6] or whole(entry_ms(entry))
      local finished = end_ms(now, queued)
      if outcome == 'finished' then
        redis.call('HSET', job_key, 'status', 'finished', 'queued', queued, 'finished', finished, 'result', body)
        redis.call('HDEL', job_key, 'entry', 'seq')
        expire(job_key, keep_ms)
      else
        keep_queued(job_key, entry)
        bury(k, job_key, id, payload_of(k.stream, entry), attempt, r[5], body, finished, keep_ms, worker)
      end
      remove[#remove + 1] = entry
      ended[#ended + 1] = id
      replies[#replies + 1] = 'done'
    else
      local again = r[1] == outcome and r[2] == worker and r[3] == attempt
      replies[#replies + 1] = again and 'done' or 'lost'
    end
  end
  remove_entries(k, remove)
  publish_ended(k, ended)
  return replies
end

-- defer(worker, id, attempt, defer_ms, keep_ms): a retry. Later: waits outside the stream; at once (0):
-- goes to the front of the queue. The attempt stays counted. Replies 1, or 0 if the lease is lost.
-- A job whose entry somebody deleted has nothing to run again, and is failed (kept for keep_ms).
local function defer(keys, argv)
  local k = keys_of(keys[1])
  local worker, id, attempt, defer_ms = argv[1], argv[2], argv[3], tonumber(argv[4])
  local job_key = k.job .. id
  local own, r = owns(k, worker, id, attempt)
  if not own then return 0 end
  local entry = r[4]
  local payload = payload_of(k.stream, entry)
  keep_queued(job_key, entry)
  if not payload then
    bury(k, job_key, id, nil, attempt, r[5], cjson.encode({ type = 'PayloadMissing',
      message = 'the job can not be retried: its entry was deleted from the stream' }),
      whole(now_ms()), tonumber(argv[5]), worker)
    remove_entries(k, { entry })
    publish_ended(k, { id })
    return 1
  end
  if defer_ms == 0 then
    hand_back(k, job_key, entry)
    wake(k, 1)
    return 1
  end
  redis.call('HSET', job_key, 'function', payload['function'], 'args', payload['args'],
    'kwargs', payload['kwargs'] or '')
  redis.call('HDEL', job_key, 'status', 'worker', 'entry', 'seq')
  redis.call('ZADD', k.deferred, whole(now_ms() + defer_ms), id)
  remove_entries(k, { entry })
  return 1
end

-- release(worker, then pairs id, attempt): hands jobs back for immediate reclaim, uncounting the
-- attempt (the job is not to blame). Replies how many were still held.
local function release(keys, argv)
  local k = keys_of(keys[1])
  local released = 0
  for i = 2, #argv, 2 do
    local own, r = owns(k, argv[1], argv[i], argv[i + 1])
    if own then
      hand_back(k, k.job .. argv[i], r[4])
      redis.call('HINCRBY', k.job .. argv[i], 'attempts', -1)
      released = released + 1
    end
  end
  wake(k, released)
  return released
end

-- Releases what the worker holds and is not among the given `id attempt` marks; returns the entries.
-- Deleted entries leave the group's pending list too.
local function release_others(k, worker, known)
  local released, start_at = {}, '-'
  while true do
    local pending = redis.call('XPENDING', k.stream, GROUP, start_at, '+', CHUNK, worker)
    for _, row in ipairs(pending) do
      local entry = row[1]
      local payload = payload_of(k.stream, entry)
      if not payload then
        redis.call('XACK', k.stream, GROUP, entry)
      else
        local id = payload['id'] or ''
        local r = redis.call('HMGET', k.job .. id, 'attempts', 'status', 'worker')
        if r[2] == 'processing' and r[3] == worker and not known[id .. ' ' .. r[1]] then
          hand_back(k, k.job .. id, entry)
          redis.call('HINCRBY', k.job .. id, 'attempts', -1)
          released[#released + 1] = entry
        end
      end
      start_at = '(' .. entry
    end
    if #pending < CHUNK then break end
  end
  wake(k, #released)
  return released
end

-- release_unknown(worker, then pairs id, attempt that it runs): after a claim whose reply was lost, or a message.
-- Replies with the entries: messages of some may be on their way.
local function release_unknown(keys, argv)
  local k, known = keys_of(keys[1]), {}
  group_of(k)
  for i = 2, #argv, 2 do known[argv[i] .. ' ' .. argv[i + 1]] = true end
  return release_others(k, argv[1], known)
end

-- renew(worker, then pairs id, attempt): resets the idle time of what the worker still holds.
-- Replies with the ids that it does not hold any more (cancelled, reclaimed or ended).
local function renew(keys, argv)
  local k = keys_of(keys[1])
  local lost, held = {}, {}
  for i = 2, #argv, 2 do
    local own, r = owns(k, argv[1], argv[i], argv[i + 1])
    if own then held[#held + 1] = r[4] else lost[#lost + 1] = argv[i] end
  end
  for i = 1, #held, CHUNK do
    local chunk = { unpack(held, i, math.min(i + CHUNK - 1, #held)) }
    chunk[#chunk + 1] = 'JUSTID'
    redis.call('XCLAIM', k.stream, GROUP, argv[1], 0, unpack(chunk))
  end
  return lost
end

-- register(worker, expiry_ms, then pairs field, value): a heartbeat.
local function register(keys, argv)
  local k = keys_of(keys[1])
  local worker_key = k.worker .. argv[1]
  if #argv > 2 then redis.call('HSET', worker_key, unpack(argv, 3)) end
  redis.call('PEXPIRE', worker_key, argv[2])
  redis.call('ZADD', k.workers, whole(now_ms() + argv[2]), argv[1])
  return 1
end

-- leave(worker): a clean goodbye. Whatever it still holds is handed back, and a wake-up that it
-- may have been given goes to another worker.
local function leave(keys, argv)
  local k = keys_of(keys[1])
  local group = group_of(k)
  redis.call('ZREM', k.idle, argv[1])
  redis.call('ZREM', k.workers, argv[1])
  redis.call('DEL', k.worker .. argv[1])
  local released = release_others(k, argv[1], {})
  if #redis.call('XPENDING', k.stream, GROUP, '-', '+', 1, argv[1]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', k.stream, GROUP, argv[1])
  end
  if group['lag'] > 0 then wake(k, 1) end
  return #released
end

local function promote_due(k, now)
  local due = redis.call('ZRANGEBYSCORE', k.deferred, '-inf', whole(now), 'LIMIT', 0, CHUNK)
  if #due == 0 then return end
  local group = group_of(k)
  local seq = group['entries-read'] + group['lag']
  for _, id in ipairs(due) do
    local job_key = k.job .. id
    local r = redis.call('HMGET', job_key, 'function', 'args', 'kwargs')
    if r[1] then
      seq = seq + 1
      local entry = append(k, id, r[1], r[2], r[3])
      redis.call('HSET', job_key, 'entry', entry, 'seq', whole(seq))
      redis.call('HDEL', job_key, 'function', 'args', 'kwargs')
    end
    redis.call('ZREM', k.deferred, id)
  end
end

-- XAUTOCLAIM looks every pending entry up in the stream, whatever its idle time: it is only asked for if there is
-- an expired lease.
local function release_expired(k, lease_ms)
  if #redis.call('XPENDING', k.stream, GROUP, 'IDLE', lease_ms, '-', '+', 1) == 0 then return end
  local cursor = '0-0'
  repeat
    local reply = redis.call('XAUTOCLAIM', k.stream, GROUP, RELEASED, lease_ms, cursor, 'COUNT', CHUNK, 'JUSTID')
    cursor = reply[1]
    for _, entry in ipairs(reply[2]) do
      local job_key = k.job .. (payload_of(k.stream, entry)['id'] or '')
      if redis.call('HGET', job_key, 'entry') == entry then redis.call('HDEL', job_key, 'status', 'worker') end
    end
  until cursor == '0-0'
end

-- Whether `every_ms` have passed since this was last true. A mark from the future is the clock's,
-- which was set back, and is not waited for.
local function is_time(key, now, every_ms)
  local last = tonumber(redis.call('GET', key) or nil)
  if last and last <= now and now - last < every_ms then return false end
  redis.call('SET', key, whole(now), 'PX', whole(every_ms))
  return true
end

local function prune(k, now, lease_ms)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', k.workers, '-inf', whole(now))) do
    redis.call('ZREM', k.workers, worker)
    redis.call('ZREM', k.idle, worker)
  end
  -- All consumers are listed only if there are more of them than live workers. A dead one may be made up for by a
  -- live worker that has never held a job: then a later pruning finds it.
  redis.call('XGROUP', 'CREATECONSUMER', k.stream, GROUP, RELEASED)
  if find_group(k)['consumers'] <= redis.call('ZCARD', k.workers) + 1 then return end
  for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', k.stream, GROUP)) do
    local c = map_of(row)
    if c['name'] ~= RELEASED and c['pending'] == 0 and c['idle'] > lease_ms
      and redis.call('EXISTS', k.worker .. c['name']) == 0 then
      redis.call('XGROUP', 'DELCONSUMER', k.stream, GROUP, c['name'])
    end
  end
end

-- sweep(interval_ms, lease_ms, dead_age_ms, dead_max): what time alone must bring about, by
-- whoever comes first in each interval: deferred jobs that are due return to the stream, expired
-- leases are released, workers are woken for what waits. Replies ms until the next deferred job
-- is due, or -1.
local function sweep(keys, argv)
  local k = keys_of(keys[1])
  local now, interval, lease_ms = now_ms(), tonumber(argv[1]), tonumber(argv[2])
  local next_due = redis.call('ZRANGE', k.deferred, 0, 0, 'WITHSCORES')[2]
  local is_due = next_due and tonumber(next_due) <= now
  local first = is_time(k.swept, now, interval)
  if is_due or first then
    promote_due(k, now)
    local lag = group_of(k)['lag']
    if first then
      release_expired(k, lease_ms)
      if is_time(k.pruned, now, lease_ms) then
        prune(k, now, lease_ms)
        redis.call('XTRIM', k.dead, 'MAXLEN', argv[4])
        redis.call('XTRIM', k.dead, 'MINID', whole(math.max(0, now - argv[3])))
      end
    end
    local released = #redis.call('XPENDING', k.stream, GROUP, '-', '+', 100, RELEASED)
    wake(k, math.min(lag + released, 100))
    next_due = redis.call('ZRANGE', k.deferred, 0, 0, 'WITHSCORES')[2]
  end
  if not next_due then return -1 end
  return math.max(0, tonumber(next_due) - now)
end

-- cancel(id, keep_ms): a job that has not ended is over at once; if a worker runs it, that worker
-- is told to stop, and what it still produces is refused. Replies 'cancelled' | 'missing' | its
-- status if it has ended.
local function cancel(keys, argv)
  local k = keys_of(keys[1])
  local id, job_key = argv[1], k.job .. argv[1]
  local r = redis.call('HMGET', job_key, 'status', 'entry', 'worker', 'queued')
  local status, entry, worker = r[1], r[2], r[3]
  if not status and not entry and not r[4] then return 'missing' end
  if status and status ~= 'processing' then return status end
  if not entry then
    redis.call('ZREM', k.deferred, id)
  else
    keep_queued(job_key, entry)
    remove_entries(k, { entry })
  end
  redis.call('HSET', job_key, 'status', 'cancelled', 'finished', end_ms(now_ms(), r[4] or entry_ms(entry)))
  redis.call('HDEL', job_key, 'entry', 'seq', 'worker', 'function', 'args', 'kwargs')
  expire(job_key, tonumber(argv[2]))
  if worker then redis.call('PUBLISH', k.wake .. worker, 'cancel ' .. id) end
  publish_ended(k, { id })
  return 'cancelled'
end

-- Puts a dead letter back into the stream under its id, with all its attempts before it.
local function revive(k, entry, payload)
  local id, now = payload['id'], now_ms()
  local job_key = k.job .. id
  local group = group_of(k)
  local new = append(k, id, payload['function'], payload['args'], payload['kwargs'])
  redis.call('DEL', job_key)
  redis.call('HSET', job_key, 'entry', new, 'seq', whole(group['entries-read'] + group['lag'] + 1))
  if entry_ms(new) > now + CLOCK_SLACK_MS then redis.call('HSET', job_key, 'queued', whole(now)) end
  if payload['owner'] ~= '' then redis.call('HSET', job_key, 'owner', payload['owner']) end
  redis.call('XDEL', k.dead, entry)
  wake(k, 1)
end

-- retry(id): 'retried' | 'missing' | 'gone' (its dead letter was trimmed) | its status if not failed.
local function retry(keys, argv)
  local k = keys_of(keys[1])
  local r = redis.call('HMGET', k.job .. argv[1], 'status', 'entry', 'queued')
  if not (r[1] or r[2] or r[3]) then return 'missing' end
  if r[1] ~= 'failed' then return r[1] or 'queued' end
  local payload = r[2] ~= '' and payload_of(k.dead, r[2])
  if not payload then return 'gone' end
  revive(k, r[2], payload)
  return 'retried'
end

-- requeue(dead letter's entry): 1, or 0 if there is none, or its job runs or has ended otherwise.
local function requeue(keys, argv)
  local k = keys_of(keys[1])
  local payload = payload_of(k.dead, argv[1])
  if not payload then return 0 end
  local job_key = k.job .. payload['id']
  if redis.call('EXISTS', job_key) == 1 then
    local r = redis.call('HMGET', job_key, 'status', 'entry')
    if r[1] ~= 'failed' or r[2] ~= argv[1] then return 0 end
  end
  revive(k, argv[1], payload)
  return 1
end

-- dead_letters(after, count): XRANGE of the dead letters behind an entry ('-' for all).
local function dead_letters(keys, argv)
  return redis.call('XRANGE', keys_of(keys[1]).dead, argv[1], '+', 'COUNT', argv[2])
end

-- How many pending entries wait for a worker. Up to a round of them are counted one by one: that takes the same
-- with any number of workers. The group's summary lists every worker that holds a job.
local function released_of(k)
  local some = #redis.call('XPENDING', k.stream, GROUP, '-', '+', ROUND, RELEASED)
  if some < ROUND then return some end
  for _, row in ipairs(redis.call('XPENDING', k.stream, GROUP)[4] or {}) do
    if row[1] == RELEASED then return tonumber(row[2]) end
  end
  return 0
end

-- Jobs ahead, an upper bound: the released, and from the place at the push those not delivered since.
-- A deferred job comes behind all that wait now, and what is due before it.
local function ahead_of(k, id, seq, queue)
  if not seq then return queue.length + (redis.call('ZRANK', k.deferred, id) or 0) end
  return math.max(0, math.min(math.max(0, seq - queue.read) + queue.released, queue.length) - 1)
end

-- view(then pairs id, '1' with the result or '0' without): per job false, or
-- {status, owner, attempts, queued, started, finished, error, ahead, result}.
-- Replies fewer than asked for, but at least one, when the results fill a reply.
local function view(keys, argv)
  local k = keys_of(keys[1])
  local queue, bytes = nil, 0
  local replies = {}
  for i = 1, #argv, 2 do
    if bytes >= REPLY_BYTES then break end
    local job_key = k.job .. argv[i]
    local r = redis.call('HMGET', job_key, 'status', 'owner', 'attempts', 'queued', 'started', 'finished',
      'error', 'seq', 'entry')
    local status, queued, seq, entry = r[1], r[4], r[8], r[9]
    if not (status or queued or entry) then
      replies[#replies + 1] = false
    else
      local ahead = ''
      if not status then
        if not queue then
          local group = find_group(k)
          queue = { length = redis.call('XLEN', k.stream), read = group and group['entries-read'] or 0,
            released = group and released_of(k) or 0 }
        end
        ahead = ahead_of(k, argv[i], seq, queue)
      end
      local result = ''
      if argv[i + 1] == '1' and status == 'finished' then result = redis.call('HGET', job_key, 'result') or '' end
      bytes = bytes + #result
      replies[#replies + 1] = { status or 'queued', r[2] or '', r[3] or '0',
        queued or whole(entry_ms(entry)), r[5] or '', r[6] or '', r[7] or '', ahead, result }
    end
  end
  return replies
end

-- counts(): {stream length, waiting (lag), pending, released, deferred, dead, idle workers, workers}
local function counts(keys)
  local k = keys_of(keys[1])
  local group = find_group(k)
  local info = group or { lag = 0, pending = 0 }
  return { redis.call('XLEN', k.stream), info['lag'] or -1, info['pending'], group and released_of(k) or 0,
    redis.call('ZCARD', k.deferred), redis.call('XLEN', k.dead),
    redis.call('ZCARD', k.idle), redis.call('ZCARD', k.workers) }
end

-- workers(): per registered worker {id, flat fields}.
local function workers(keys)
  local k, replies = keys_of(keys[1]), {}
  for _, worker in ipairs(redis.call('ZRANGE', k.workers, 0, -1)) do
    local fields = redis.call('HGETALL', k.worker .. worker)
    if #fields > 0 then replies[#replies + 1] = { worker, fields } end
  end
  return replies
end

-- demand(): {now, arrived, waiting (lag, and released), running, the scaler's decision}. Arrived is what the stream
-- counts as added, less what was cancelled before a worker had it; a retry and a revived dead letter count anew.
-- It is -1 without a group, or where somebody else touched the stream; the next push puts that right.
local function demand(keys)
  local k = keys_of(keys[1])
  local group = find_group(k)
  local decision = redis.call('HGET', k.scaler, 'decision') or ''
  if not (group and group['lag'] and group['entries-read']) then return { whole(now_ms()), -1, 0, 0, decision } end
  local released = released_of(k)
  return { whole(now_ms()), group['entries-read'] + group['lag'], group['lag'] + released,
    group['pending'] - released, decision }
end

-- remember(expiry_ms, then pairs field, value): what the scaler will need after a restart.
local function remember(keys, argv)
  local k = keys_of(keys[1])
  redis.call('HSET', k.scaler, unpack(argv, 2))
  redis.call('PEXPIRE', k.scaler, argv[1])
  return 1
end

-- remembered(): the scaler's state, or ''.
local function remembered(keys)
  return redis.call('HGET', keys_of(keys[1]).scaler, 'state') or ''
end

-- open(): stream and group exist from here on.
local function open(keys)
  group_of(keys_of(keys[1]))
  return 1
end

-- health_check(ttl_ms, line)
local function health_check(keys, argv)
  redis.call('SET', keys[1] .. ':health-check', argv[2], 'PX', argv[1])
  return 1
end

-- Without 'allow-oom' a server that is out of memory refuses the call: so pushes fail then, while
-- all that ends jobs and frees memory goes on.
local function export(name, callback, ...)
  redis.register_function({ function_name = '@LIBRARY@_' .. name, callback = callback, flags = { ... } })
end

export('push', push)
export('open', open, 'allow-oom')
export('claim', claim, 'allow-oom')
export('finish', finish, 'allow-oom')
export('defer', defer, 'allow-oom')
export('release', release, 'allow-oom')
export('release_unknown', release_unknown, 'allow-oom')
export('renew', renew, 'allow-oom')
export('register', register, 'allow-oom')
export('leave', leave, 'allow-oom')
export('sweep', sweep, 'allow-oom')
export('cancel', cancel, 'allow-oom')
export('retry', retry)
export('requeue', requeue)
export('health_check', health_check, 'allow-oom')
export('dead_letters', dead_letters, 'no-writes')
export('view', view, 'no-writes')
export('counts', counts, 'no-writes')
export('workers', workers, 'no-writes')
export('demand', demand, 'no-writes')
export('remember', remember, 'allow-oom')
export('remembered', remembered, 'no-writes')
