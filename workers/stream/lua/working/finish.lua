-- How an attempt ends: finish, defer (a retry), put off (the worker lacks the function), release.

-- Gives up results and events, those first that expire first, until no more than `most` bytes are kept; among them
-- those that have expired meanwhile, whose records are gone. `kept` is how many bytes are kept now.
local function give_up_results(k, kept, most)
  local error_json = cjson.encode({ type = 'ResultGivenUp',
    message = 'the result was given up before its time: results may take ' .. whole(most) .. ' bytes of memory' })
  while kept > most do
    local oldest = redis.call('ZPOPMIN', k.results)[1]
    if not oldest then return end
    local size, id = string.match(oldest, '^(%d+) (.*)$')
    if redis.call('HDEL', k.job .. id, 'result', 'notes') > 0 then
      redis.call('HSET', k.job .. id, 'error', error_json)
      redis.call('DEL', k.events .. id)
    end
    kept = redis.call('DECRBY', k.results_bytes, size)
  end
end

-- Counts a result with its events among those that may take at most `most` bytes. Costs ZADD and INCRBY.
local function count_result(k, now, id, size, keep_ms, most)
  if keep_ms == 0 then return end
  redis.call('ZADD', k.results, keep_ms < 0 and '+inf' or whole(now + keep_ms), size .. ' ' .. id)
  local kept = redis.call('INCRBY', k.results_bytes, size)
  if kept > most then give_up_results(k, kept, most) end
end

-- Ends jobs by arguments `from` up to `to`. Returns what `finish` replies, and what `remove_entries` returns.
local function finish_by(k, worker, most, plain_keep_ms, argv, from, to)
  local now = now_ms()
  local now_text = whole(now)
  local lost, remove, ended, i, place = {}, {}, {}, from, 0
  while i <= to do
    local id, attempt, outcome, keep_ms, body, notes = argv[i], '1', 'finished', plain_keep_ms, argv[i + 1], ''
    local job_key, r
    if id ~= '' then
      job_key, i = k.job .. id, i + 2
      r = redis.call('HMGET', job_key, 'status', 'worker', 'attempts', 'entry')
    else
      id, attempt, outcome, keep_ms, body, notes = unpack(argv, i + 1, i + 6)
      job_key, i = k.job .. id, i + 7
      -- As `owns` does, with nothing that is rarely needed.
      r = redis.call('HMGET', job_key, 'status', 'worker', 'attempts', 'entry', 'queued', 'events', 'waits', 'webhook')
    end
    if r[1] == 'processing' and r[2] == worker and r[3] == attempt then
      local entry, finished = r[4], now_text
      -- As `end_ms` does; texts of times have as many digits, so they compare as numbers do.
      if (r[5] or entry) >= now_text then finished = end_ms(now, r[5] or entry_time(entry)) end
      if outcome == 'finished' then
        if r[6] or r[7] then redis.call('HDEL', job_key, 'progress', 'waits') end
        if notes == '' then
          redis.call('HSET', job_key, 'status', 'finished', 'finished', finished, 'result', body)
        else
          redis.call('HSET', job_key, 'status', 'finished', 'finished', finished, 'result', body, 'notes', notes)
        end
        if r[8] then notify(k, id, r[8], 'finished', finished, '') end
        local started = r[6] and redis.call('HGET', job_key, 'started')
        if keep_ms == '0' then
          redis.call('DEL', job_key)
        elseif keep_ms ~= '-1' then
          redis.call('PEXPIRE', job_key, keep_ms)
        end
        local told = r[6] and end_events(k, id, outcome, tonumber(keep_ms), { started, attempt, r[6] }) or 0
        if most > 0 then count_result(k, now, id, #body + #notes + told, tonumber(keep_ms), most) end
      else
        keep_queued(job_key, entry)
        local owner = redis.call('HGET', job_key, 'owner')
        bury(k, job_key, id, payload_of(k.stream, entry), attempt, owner, body, finished, tonumber(keep_ms), worker)
      end
      if r[7] then
        local gateway = leave_share(k, id, r[7])
        if gateway ~= '' and keep_ms ~= '0' then answer(k, gateway, id) end
      end
      remove[#remove + 1] = entry
      ended[#ended + 1] = id
    elseif not (r[1] == outcome and r[2] == worker and r[3] == attempt) then
      lost[#lost + 1] = place
    end
    place = place + 1
  end
  local group = remove_entries(k, remove)
  publish_ended(k, ended)
  return lost, group
end

-- finish(worker, results_memory_bytes, keep_ms of plain jobs, then the jobs: id, result JSON of a plain one without
--   notes, and '', id, attempt, 'finished'|'failed', keep_ms, result or error JSON, notes JSON or '' of any)
-- A job is plain if `claim` said so, and if its attempt has told no events: then nothing else is looked for in its
-- record. Acknowledges, deletes and publishes each job that the worker still holds and that has not ended. Results may
-- take so many bytes; 0 is any number.
-- Replies the places (from 0) of those that were not done; one that this very finish did before counts as done.
-- Costs a job: HMGET, HSET and PEXPIRE (DEL if nothing is kept), HDEL with events or if its push waits, and then also
-- what `answer` costs. Costs a call: TIME, XACK, XDEL, XINFO GROUPS, XLEN and PUBLISH; XINFO STREAM and XSETID if the
-- last delivered entry is among the deleted; of some jobs XPENDING, and EXISTS and XTRIM in place of XDEL, XINFO GROUPS
-- and XLEN if they are the oldest.
local function finish(keys, argv)
  return (finish_by(keys_of(keys[1]), argv[1], tonumber(argv[2]), argv[3], argv, 4, #argv))
end

-- finish_and_claim(worker, results_memory_bytes, keep_ms of plain jobs, how many arguments tell of ends, these as in
--   `finish`, how many jobs have been started that were held ahead, 3 for each of them as in `start_ahead`,
--   how many more to hold ahead, how many are held or -1 (see `hold`), then what `claim` takes behind the worker)
-- All in one step, as what is free by the ends is claimed for: it costs the server one call in place of two, and a
-- worker that runs one job at a time waits for one. A count of -1 claims nothing and leaves the worker as it is.
-- Replies {what `finish` replies, what `start_ahead` returns, what `claim` replies, the same of what is held}. Costs
-- what these cost, without the EXISTS and XPENDING of `claim` if entries were deleted by XDEL.
local function finish_and_claim(keys, argv)
  local k, worker = keys_of(keys[1]), argv[1]
  local ended = 4 + tonumber(argv[4])
  local begun = ended + 1 + 3 * tonumber(argv[ended + 1])
  local begins = start_ahead(k, worker, argv, ended + 2, begun)
  local ends, group = finish_by(k, worker, tonumber(argv[2]), argv[3], argv, 5, ended)
  group = group or group_unread(k)
  local ahead, held = tonumber(argv[begun + 1]), tonumber(argv[begun + 2])
  local claimed = tonumber(argv[begun + 3]) >= 0 and claim_by(k, group, worker, argv, begun + 3, ahead) or {}
  return { ends, begins, claimed, hold(k, group, worker, ahead, held) }
end

-- Takes a held job out of the stream until `due`.
local function set_aside(k, job_key, id, entry, payload, due)
  redis.call('HSET', job_key, 'function', payload['function'], 'args', payload['args'],
    'kwargs', payload['kwargs'] or '')
  redis.call('HDEL', job_key, 'status', 'worker', 'entry', 'seq')
  redis.call('ZADD', k.deferred, whole(due), id)
  remove_entries(k, { entry })
end

-- Fails a held job. Without a payload (somebody deleted the entry) it leaves no dead letter.
local function fail(k, job_key, id, entry, payload, attempts, owner, kind, message, keep_ms, worker)
  bury(k, job_key, id, payload, attempts, owner, cjson.encode({ type = kind, message = message }),
    whole(now_ms()), keep_ms, worker)
  remove_entries(k, { entry })
  publish_ended(k, { id })
end

local MISSING = 'the job can not be retried: its entry was deleted from the stream'

-- defer(worker, id, attempt, defer_ms, keep_ms): a retry. The attempt stays counted. With defer_ms > 0 the job waits
-- outside the stream; with 0 it goes to the front of the queue. Replies 1, or 0 if the lease is lost.
-- If somebody deleted the job's entry, there is nothing to run again: the job fails and is kept for keep_ms.
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
    fail(k, job_key, id, entry, nil, attempt, r[5], 'PayloadMissing', MISSING, tonumber(argv[5]), worker)
    return 1
  end
  if defer_ms == 0 then
    hand_back(k, id, entry, r[11])
    wake(k, 1)
    return 1
  end
  set_aside(k, job_key, id, entry, payload, now_ms() + defer_ms)
  return 1
end

-- Whether a live worker's registration names the function. One of an older release names none, and may have it.
-- Two commands a worker; asked for only when a job is about to fail.
local function is_served(k, function_name)
  for _, worker in ipairs(redis.call('ZRANGE', k.workers, 0, -1)) do
    local r = redis.call('HMGET', k.worker .. worker, 'functions', 'state')
    if r[1] and contains(cjson.decode(r[1]), function_name) or (r[2] and not r[1]) then return true end
  end
  return false
end

-- put_off(worker, id, attempt, least_ms, most_ms, stretch, patience_ms, keep_ms): the worker lacks the job's function.
-- The attempt is uncounted, and the job waits outside the stream for `stretch` times as long as it has been put off
-- before, that within the bounds: 1, 1, 2, 4 ... s. The caller draws `stretch` at random: two workers that get each
-- other's jobs would otherwise do so again and again. If a job has been put off for patience_ms and no live worker has
-- its function, it fails.
-- Replies ms until it is due, 0 if it failed, or -1 if the lease is lost.
local function put_off(keys, argv)
  local k = keys_of(keys[1])
  local worker, id, attempt, keep_ms = argv[1], argv[2], argv[3], tonumber(argv[8])
  local job_key, now = k.job .. id, now_ms()
  local own, r = owns(k, worker, id, attempt)
  if not own then return -1 end
  local entry, attempts = r[4], tonumber(attempt) - 1
  local payload = payload_of(k.stream, entry)
  keep_queued(job_key, entry)
  if not payload then
    fail(k, job_key, id, entry, nil, attempts, r[5], 'PayloadMissing', MISSING, keep_ms, worker)
    return 0
  end
  -- An attempt in between was by a worker that had the function: the count starts anew.
  local of, since = string.match(redis.call('HGET', job_key, 'unserved') or '', '^(%d+) (%d+)$')
  since = tonumber(of or nil) == attempts and math.min(tonumber(since), now) or now
  if now - since >= tonumber(argv[7]) and not is_served(k, payload['function']) then
    fail(k, job_key, id, entry, payload, attempts, r[5], 'FunctionNotFound',
      "function '" .. payload['function'] .. "' not found", keep_ms, worker)
    return 0
  end
  local wait = math.ceil(tonumber(argv[6]) * math.max(tonumber(argv[4]), math.min(tonumber(argv[5]), now - since)))
  redis.call('HSET', job_key, 'attempts', attempts, 'unserved', attempts .. ' ' .. whole(since))
  set_aside(k, job_key, id, entry, payload, now + wait)
  return wait
end

-- release(worker, then pairs id, attempt): hands jobs back for immediate claim. The attempt is uncounted, as the job is
-- not to blame. Replies how many of them were still held.
local function release(keys, argv)
  local k = keys_of(keys[1])
  local released = 0
  for i = 2, #argv, 2 do
    local own, r = owns(k, argv[1], argv[i], argv[i + 1])
    if own then
      hand_back(k, argv[i], r[4], r[11])
      redis.call('HINCRBY', k.job .. argv[i], 'attempts', -1)
      released = released + 1
    end
  end
  wake(k, released)
  return released
end

export('finish', finish, 'allow-oom')
export('finish_and_claim', finish_and_claim, 'allow-oom')
export('defer', defer, 'allow-oom')
export('put_off', put_off, 'allow-oom')
export('release', release, 'allow-oom')
