-- Claiming jobs: a lease on each, its attempt counted.

-- Writes that a worker has begun an attempt. `last` is when the one before began: no two runs of a job start at the
-- same time, even if the clock was set back, as it tells their events apart. One HSET.
local function begin(k, worker, job_key, id, attempt, last, webhook, at)
  if last then at = math.max(at, (tonumber(last) or 0) + 1) end
  local number, started = whole(attempt), whole(at)
  redis.call('HSET', job_key, 'status', 'processing', 'worker', worker, 'attempts', number, 'started', started)
  if webhook then notify(k, id, webhook, 'started', started, number) end
end

-- Whether a job is plain and was never claimed: its entry says how many fields its record has then, and each change of
-- a record, from its first claim or its cancel on, adds others. One HLEN if its entry says so.
local function is_plain(job_key, fields_of_new)
  return fields_of_new ~= nil and redis.call('HLEN', job_key) == fields_of_new
end

-- Adds to `out` what `claim` replies of a job; without an attempt it is plain.
local function add_job(out, id, entry, name, args, kwargs, attempt, queued, options)
  local n = #out
  if attempt then
    out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = '', id, entry, name, args
    out[n + 6], out[n + 7], out[n + 8], out[n + 9] = kwargs, attempt, queued, options
  else
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, entry, name, args
  end
end

-- Starts one claimed entry: counts the attempt before anything runs. Returns nothing for an entry that must not run,
-- and adds it to `drop`: it belongs to no job, its job is gone or has ended, or the attempts are used up or its ttl is
-- over (then the job fails, and its id is added to `ended`). Of a plain job it returns id, function and args. What is
-- the same for all jobs of a call is made once: `now_text` is the time, as text.
local function start(k, worker, entry, fields, limits, limit, now_text, keep_ms, drop, ended)
  local id, name, args, kwargs, fields_of_new = fields_of(fields)
  local job_key = k.job .. id
  if is_plain(job_key, fields_of_new) and (limits[name] or limit) > 0 then
    redis.call('HSET', job_key, 'status', 'processing', 'worker', worker, 'attempts', '1', 'started', now_text)
    return id, name, args
  end
  local r = map_of(redis.call('HGETALL', job_key))
  if r['entry'] ~= entry or (r['status'] and r['status'] ~= 'processing') then
    drop[#drop + 1] = entry
    return nil
  end
  local now, attempts = tonumber(now_text), tonumber(r['attempts'] or 0)
  local queued = r['queued'] or entry_time(entry)
  local options = options_of(r['options'])
  local allowed, why = options.max_attempts or limits[name] or limit, nil
  if attempts >= allowed then
    why = { type = 'AttemptsExhausted',
      message = 'gave up after ' .. attempts .. ' attempts: the last one ended without a result' }
  end
  why = why or late_error(k, id, options, attempts, now)
  if why then
    keep_queued(job_key, entry)
    bury(k, job_key, id, map_of(fields), attempts, r['owner'], cjson.encode(why), end_ms(now, queued), keep_ms, worker)
    drop[#drop + 1] = entry
    ended[#ended + 1] = id
    return nil
  end
  begin(k, worker, job_key, id, attempts + 1, r['started'], r['webhook'], now)
  return id, name, args, kwargs, attempts + 1, queued, r['options'] or ''
end

-- Takes up to `count` jobs in the order that counts, by calls of `take` with rows of entries, while `goes_on` returns
-- how many more are wanted. Ends the order if no more wait. Returns whether stale ids were in the way of some.
-- Costs HMGET, XRANGE, HSET and XGROUP SETID, and for each ROUND what `pick` costs and XCLAIM.
local function take_in_order(k, order, worker, wanted, take)
  local is_settled, is_over, picked = settle(k, order), false, nil
  while not is_over and wanted() > 0 do
    local asked = math.min(wanted(), ROUND)
    picked = pick(k, order, asked, true)
    is_over = #picked < asked
    if #picked > 0 then
      picked[#picked + 1] = 'FORCE'
      take(redis.call('XCLAIM', k.stream, GROUP, worker, 0, unpack(picked)))
    end
  end
  save_order(k, order)
  local is_stuck = is_over and order.stale >= MOST_STALE
  if is_over and is_settled and not is_stuck then end_order(k) end
  return is_stuck or is_over and not is_settled
end

-- Claims for a worker, by arguments from `at` on: count, running, ready_ms, max_attempts, keep_ms, then pairs function
-- and max_attempts. `group` has the stream's counters, or what `group_unread` returns, and the worker would hold
-- `ahead` jobs. Returns what `claim` replies.
local function claim_by(k, group, worker, argv, at, ahead)
  local count, running, ready = tonumber(argv[at]), tonumber(argv[at + 1]), argv[at + 2]
  local limit, keep_ms, limits = tonumber(argv[at + 3]), tonumber(argv[at + 4]), {}
  for i = at + 5, #argv, 2 do limits[argv[i]] = tonumber(argv[i + 1]) end
  local now_text = whole(now_ms())
  local out, drop, ended, taken, bytes, first = {}, {}, {}, 0, 0, nil
  local function take(rows)
    for _, row in ipairs(rows) do
      local entry = row[1]
      local id, name, args, kwargs, attempt, queued, options =
        start(k, worker, entry, row[2], limits, limit, now_text, keep_ms, drop, ended)
      if id then
        add_job(out, id, entry, name, args, kwargs, attempt, queued, options)
        first = first or id
        taken = taken + 1
        bytes = bytes + #args
      end
    end
  end
  local order, is_stuck = load_order(k, group), false
  if order then
    is_stuck = take_in_order(k, order, worker, function() return bytes < REPLY_BYTES and count - taken or 0 end, take)
  end
  while not order and group['pending'] > 0 and taken < count and bytes < REPLY_BYTES do
    local pending = redis.call('XPENDING', k.stream, GROUP, '-', '+', math.min(count - taken, ROUND), RELEASED)
    if #pending == 0 then break end
    local entries = {}
    for i, row in ipairs(pending) do entries[i] = row[1] end
    take(redis.call('XCLAIM', k.stream, GROUP, worker, 0, unpack(entries)))
  end
  while not order and group['lag'] > 0 and taken < count and bytes < REPLY_BYTES do
    local asked = math.min(count - taken, ROUND)
    local rows = read_new(k, worker, asked)
    take(rows)
    if #rows < asked then break end
  end
  remove_entries(k, drop)
  publish_ended(k, ended)
  if taken < count then
    redis.call('ZADD', k.idle, ready, worker)
    call_back(k, 1, worker)
  else
    redis.call('ZREM', k.idle, worker)
  end
  if bytes >= REPLY_BYTES or is_stuck then wake(k, 1) end
  local worker_key = k.worker .. worker
  -- Not if the registration has expired: fields written now would never expire.
  if (first or running == 0) and redis.call('EXISTS', worker_key) == 1 then
    if first then
      redis.call('HSET', worker_key, 'state', 'busy', 'job', first, 'running', running + taken)
    else
      redis.call('HSET', worker_key, 'state', 'idle', 'job', '', 'running', 0, 'ahead', ahead)
    end
  end
  return out
end

-- claim(worker, count, running, ready_ms, max_attempts, keep_ms, then pairs function, max_attempts)
-- Replies flat, four items for a plain job (its attempt is the first, and its entry tells when it was queued): id,
-- entry, function, args; and nine for another: '', id, entry, function, args, kwargs, attempt, queued_ms, options.
-- A worker that got fewer jobs than it asked for is registered as idle in the same step, so no push can miss it. If it
-- got fewer because the reply is full, it or another worker is woken for the rest.
-- Costs a job: HSET, and HLEN if it is plain, or else HGETALL; ZSCORE with a ttl. Costs a call: EXISTS, XPENDING, TIME,
-- XREADGROUP, ZREM (or ZADD and ZRANGE), EXISTS and HSET; XREADGROUP again for each further ROUND, XPENDING and XCLAIM
-- for each ROUND of released jobs; XINFO GROUPS and XLEN in place of XPENDING if the order has ever counted, and what
-- `take_in_order` costs in place of all these if it counts now; before 7.2.5 XINFO GROUPS and XGROUP SETID with each
-- XREADGROUP.
local function claim(keys, argv)
  local k = keys_of(keys[1])
  return claim_by(k, group_unread(k), argv[1], argv, 2, 0)
end

export('claim', claim, 'allow-oom')
