-- Jobs that are pushed together: all of them or none. A job's id is its batch's and its place in eight hexadecimal
-- digits.

local STAGED_MS = 30 * 1000 -- of inputs whose gateway has died

-- stage(id, then inputs): keeps inputs of a batch that is still being received. Nobody sees them. Replies 1.
-- Costs RPUSH and PEXPIRE.
local function stage(keys, argv)
  local key = keys_of(keys[1]).staged .. argv[1]
  redis.call('RPUSH', key, unpack(argv, 2))
  redis.call('PEXPIRE', key, whole(STAGED_MS))
  return 1
end

-- unstage(id): forgets them. Replies 1.
local function unstage(keys, argv)
  redis.call('DEL', keys_of(keys[1]).staged .. argv[1])
  return 1
end

-- The reply for a batch whose id or idempotency key is known, or nil.
local function known_batch(k, id, more)
  if more.idempotency_key then
    local first = redis.call('GET', k.idempotency .. more.idempotency_key)
    local fingerprint, first_id = string.match(first or '', '^(%S*) (.*)$')
    if first_id and redis.call('EXISTS', k.batch .. first_id) == 1 then
      return fingerprint == more.fingerprint and 'existing ' .. first_id or 'conflict'
    end
  end
  return redis.call('EXISTS', k.batch .. id) == 1 and 'existing ' .. id or nil
end

-- Puts a job of a batch into the stream, or aside until it is `due`. `record` has fields that all jobs of the batch
-- have, `plain_owner` is as for `append`. `lane_of_next` lines it up and returns its lane, if the order counts. Costs
-- XADD and HSET, or HSET and ZADD.
local function add_to_batch(k, id, function_name, args, ids, due, record, plain_owner, lane_of_next)
  if due then
    redis.call('HSET', k.job .. id, 'function', function_name, 'args', args, 'kwargs', '', 'queued', ids.ms,
      'scheduled', 1, unpack(record))
    redis.call('ZADD', k.deferred, whole(due), id)
  else
    local entry = append(k, ids, id, function_name, args, '', plain_owner)
    redis.call('HSET', k.job .. id, 'entry', entry, unpack(record))
    keep_place(k.job .. id, entry, ids)
    if lane_of_next then redis.call('HSET', k.job .. id, 'lane', lane_of_next(id)) end
    return entry
  end
end

-- push_batch(id, max_backlog, idempotency_ms, whether names take turns: 1 or 0, function, owner, options, count, then
--   the inputs unless they were staged)
-- options: '' or JSON {idempotency_key, fingerprint, defer_ms, due_ms, options, webhook, limits, bytes, priority}, for
--   each job as in `push`; `bytes` is the size of all inputs.
-- Replies 'accepted' | 'full' | 'conflict' | 'existing ID' | 'limited WHICH MS' | 'lost' (the staged inputs are not
-- there any more).
-- Costs a job: XADD and HSET, or HSET and ZADD if deferred; ZADD with a ttl; HSET and ZADD if the order counts; LPOP
-- for each ROUND of staged ones.
local function push_batch(keys, argv)
  local k = keys_of(keys[1])
  local id, function_name, owner, count = argv[1], argv[5], argv[6], tonumber(argv[8])
  local more = argv[7] ~= '' and cjson.decode(argv[7]) or {}
  local known = known_batch(k, id, more)
  if known then return known end
  local group = group_of(k)
  if tonumber(argv[2]) - group['length'] - redis.call('ZCARD', k.deferred) < count then return 'full' end
  local staged = k.staged .. id
  if #argv == 8 and redis.call('LLEN', staged) ~= count then return 'lost' end

  local now, record = now_ms(), {}
  local entry_ids = ids_from(group['entries-read'] + group['lag'], now)
  if more.limits then
    local ids = {}
    for place = 0, count - 1 do ids[place + 1] = batch_job_id(id, place) end
    local reply = limited(k, now, owner, ids, more.limits, more.bytes or 0, tonumber(argv[2]))
    if reply then return reply end
  end
  local due, ttl = due_of(more, now), options_of(more.options).ttl_ms
  if owner ~= '' then record = { 'owner', owner } end
  for _, name in ipairs({ 'options', 'webhook' }) do
    if more[name] then
      record[#record + 1] = name
      record[#record + 1] = more[name]
    end
  end
  if more.limits and more.limits.share then
    record[#record + 1] = 'waits'
    record[#record + 1] = ' ' .. owner
  end
  local plain_owner = #record == (owner ~= '' and 2 or 0) and owner or nil
  local order, band, last = load_order(k, group), BANDS[more.priority or 'normal'], nil
  local is_settled = not order or settle(k, order)
  if not (order or due) and (band ~= NORMAL or argv[4] == '1') then order = begin_order(k) end
  if order then order.takes_turns = argv[4] == '1' end
  local lane_of_next = order and function(job_id) return line_up(k, order, job_id, band, owner) end
  local function add(place, args)
    local job_id = batch_job_id(id, place)
    last = add_to_batch(k, job_id, function_name, args, entry_ids, due, record, plain_owner, lane_of_next)
    if ttl then redis.call('ZADD', k.expiring, whole((due or now) + ttl), job_id) end
  end
  if #argv > 8 then
    for place = 0, count - 1 do add(place, argv[place + 9]) end
  else
    for first = 0, count - 1, ROUND do
      for i, args in ipairs(redis.call('LPOP', staged, ROUND)) do add(first + i - 1, args) end
    end
  end
  if order then
    if is_settled then order.delivered = last or order.delivered end
    save_order(k, order)
  end
  redis.call('HSET', k.batch .. id, 'owner', owner, 'count', count, 'queued', whole(now))
  redis.call('ZADD', k.batches, whole(now + BATCH_LOOK_MS), id)
  add_to_index(k, owner, 'batch', id .. ' ' .. count)
  if more.idempotency_key then
    redis.call('SET', k.idempotency .. more.idempotency_key, more.fingerprint .. ' ' .. id, 'PX', argv[3])
  end
  if not due then wake(k, count) end
  if not due and band == HIGH then call_back(k, count) end
  return 'accepted'
end

-- batch(id): false, or {owner, count, queued}. One HMGET.
local function batch(keys, argv)
  local r = redis.call('HMGET', keys_of(keys[1]).batch .. argv[1], 'owner', 'count', 'queued')
  if not r[2] then return false end
  return r
end

-- batch_jobs(id, first place, count): flat, per job: its status, or 'gone' without a record; and when it ended, or ''.
-- One HMGET a job.
local function batch_jobs(keys, argv)
  local k, replies = keys_of(keys[1]), {}
  for place = tonumber(argv[2]), tonumber(argv[2]) + tonumber(argv[3]) - 1 do
    local r = redis.call('HMGET', k.job .. batch_job_id(argv[1], place), 'status', 'finished', 'entry', 'queued', 'scheduled')
    local status = r[1]
    if not status then
      status = (r[3] and 'queued') or (r[4] and (r[5] and 'scheduled' or 'queued')) or 'gone'
    end
    local n = #replies
    replies[n + 1], replies[n + 2] = status, r[2] or ''
  end
  return replies
end

-- cancel_batch(id, first place, count, keep_ms): cancels those of these jobs that have not ended. Replies how many.
local function cancel_batch(keys, argv)
  local k, removed, ended = keys_of(keys[1]), {}, {}
  for place = tonumber(argv[2]), tonumber(argv[2]) + tonumber(argv[3]) - 1 do
    local id = batch_job_id(argv[1], place)
    local outcome, is_new = cancel_job(k, id, tonumber(argv[4]), removed)
    if outcome == 'cancelled' and is_new then ended[#ended + 1] = id end
  end
  remove_entries(k, removed)
  publish_ended(k, ended)
  return #ended
end

export('stage', stage)
export('unstage', unstage, 'allow-oom')
export('push_batch', push_batch)
export('batch', batch, 'no-writes')
export('batch_jobs', batch_jobs, 'no-writes')
export('cancel_batch', cancel_batch, 'allow-oom')
