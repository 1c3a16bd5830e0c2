-- What time alone brings about: due jobs, expired leases, dead workers, old dead letters.

-- Puts deferred jobs that are due into the stream, in the order that counts.
local function promote_due(k, now)
  local due = redis.call('ZRANGEBYSCORE', k.deferred, '-inf', whole(now), 'LIMIT', 0, CHUNK)
  if #due == 0 then return end
  local group = group_of(k)
  local seq, order, last = group['entries-read'] + group['lag'], load_order(k, group), nil
  local takes_turns = redis.call('HGET', k.order, 'turns') == '1'
  local is_settled = not order or settle(k, order)
  for _, id in ipairs(due) do
    local job_key = k.job .. id
    local r = redis.call('HMGET', job_key, 'function', 'args', 'kwargs', 'options', 'owner')
    if r[1] then
      seq = seq + 1
      local band = band_of(r[4])
      if not order and (takes_turns or band ~= NORMAL) then order = begin_order(k) end
      local entry = append(k, nil, id, r[1], r[2], r[3])
      last = entry
      redis.call('HSET', job_key, 'entry', entry, 'seq', whole(seq))
      if order then redis.call('HSET', job_key, 'lane', line_up(k, order, id, band, r[5] or '')) end
      redis.call('HDEL', job_key, 'function', 'args', 'kwargs', 'scheduled')
    end
    redis.call('ZREM', k.deferred, id)
  end
  if order then
    if is_settled then order.delivered = last or order.delivered end
    save_order(k, order)
  end
end

-- Workers of a release that does not know the order read nothing while it counts. If one is registered, the next jobs are
-- released, up to CHUNK in all: it takes those. Costs HGET a worker; if there is one what `pick` costs, and XCLAIM.
local function serve_older(k, group)
  local is_needed = false
  for _, worker in ipairs(redis.call('ZRANGE', k.workers, 0, -1)) do
    local r = redis.call('HMGET', k.worker .. worker, 'orders', 'state')
    if r[2] and not r[1] then is_needed = true end
  end
  local count = is_needed and CHUNK - released_of(k) or 0
  if count <= 0 then return end
  local order = load_order(k, group)
  settle(k, order)
  local entries = pick(k, order, count, false)
  entries[#entries + 1], entries[#entries + 2] = 'FORCE', 'JUSTID'
  if #entries > 2 then redis.call('XCLAIM', k.stream, GROUP, RELEASED, 0, unpack(entries)) end
  save_order(k, order)
end

-- Releases jobs whose lease has expired. XAUTOCLAIM looks up every pending entry in the stream, whatever its idle time,
-- so it is called only if XPENDING has found an expired lease.
local function release_expired(k, lease_ms)
  if #redis.call('XPENDING', k.stream, GROUP, 'IDLE', lease_ms, '-', '+', 1) == 0 then return end
  local cursor = '0-0'
  repeat
    local reply = redis.call('XAUTOCLAIM', k.stream, GROUP, RELEASED, lease_ms, cursor, 'COUNT', CHUNK, 'JUSTID')
    cursor = reply[1]
    for _, entry in ipairs(reply[2]) do
      local id = payload_of(k.stream, entry)['id'] or ''
      local r = redis.call('HMGET', k.job .. id, 'entry', 'lane', 'status')
      if r[1] == entry and r[2] and r[3] then
        hand_back(k, id, entry, r[2])
      elseif r[1] == entry then
        redis.call('HDEL', k.job .. id, 'status', 'worker')
      end
    end
  until cursor == '0-0'
end

-- Whether `every_ms` have passed since this was last true; and then also when that was. A time in the future means that
-- the clock was set back. The mark lasts, or goes when `every_ms` have passed.
local function is_time(key, now, every_ms, lasts)
  local last = tonumber(redis.call('GET', key) or nil)
  if last and last <= now and now - last < every_ms then return false end
  if lasts then redis.call('SET', key, whole(now)) else redis.call('SET', key, whole(now), 'PX', whole(every_ms)) end
  return true, last
end

-- The server's clock was set back, by `by` ms since the last sweep. What was to come later than `now + by` was meant by
-- the old clock, and comes that much earlier: otherwise a dead worker's leases and registration would live on, and
-- deferred jobs wait, until the clock is where it was. XPENDING says 0 for an entry that was delivered in what is now
-- the future, whatever its idle time was. It gets a third of a lease, the time of one heartbeat, so that a live worker
-- can renew it before it ends.
-- Costs XPENDING for each CHUNK of pending entries, XCLAIM for each that is set right, three commands a worker, and
-- ZADD for each deferred job and each with a ttl.
local function set_back(k, now, by, lease_ms)
  local start_at, idle = '-', whole(math.min(by, math.floor(lease_ms / 3)))
  while true do
    local pending = redis.call('XPENDING', k.stream, GROUP, start_at, '+', CHUNK)
    for _, row in ipairs(pending) do
      if row[3] == 0 then redis.call('XCLAIM', k.stream, GROUP, row[2], 0, row[1], 'IDLE', idle, 'JUSTID') end
      start_at = '(' .. row[1]
    end
    if #pending < CHUNK then break end
  end
  for _, key in ipairs({ k.workers, k.deferred, k.expiring }) do
    local ahead = redis.call('ZRANGEBYSCORE', key, '(' .. whole(now + by), '+inf', 'WITHSCORES')
    for i = 1, #ahead, 2 do
      redis.call('ZADD', key, whole(ahead[i + 1] - by), ahead[i])
      if key == k.workers then
        local worker_key = k.worker .. ahead[i]
        redis.call('PEXPIRE', worker_key, whole(redis.call('PTTL', worker_key) - by))
      end
    end
  end
end

-- Removes workers whose registration has expired, and consumers that have neither a registration nor a job.
local function prune(k, now, lease_ms)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', k.workers, '-inf', whole(now))) do
    redis.call('ZREM', k.workers, worker)
    redis.call('ZREM', k.idle, worker)
    redis.call('ZREM', k.ahead, worker)
  end
  -- All consumers are listed only if there are more of them than live workers. A live worker that has never held a job
  -- is no consumer yet and may make up for a dead one: then a later pruning finds the dead one.
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

-- Takes results that have expired out of those that are counted.
local function forget_results(k, now)
  local expired = redis.call('ZRANGEBYSCORE', k.results, '-inf', whole(now), 'LIMIT', 0, CHUNK)
  if #expired == 0 then return end
  local bytes = 0
  for _, member in ipairs(expired) do bytes = bytes + string.match(member, '^%d+') end
  redis.call('ZREM', k.results, unpack(expired))
  redis.call('DECRBY', k.results_bytes, whole(bytes))
end

-- When the next deferred job is due or the next ttl is over; nil if there is neither. Two ZRANGE.
local function next_due_of(k)
  local deferred = tonumber(redis.call('ZRANGE', k.deferred, 0, 0, 'WITHSCORES')[2] or nil)
  local expiring = tonumber(redis.call('ZRANGE', k.expiring, 0, 0, 'WITHSCORES')[2] or nil)
  return deferred and expiring and math.min(deferred, expiring) or deferred or expiring
end

-- sweep(interval_ms, lease_ms, dead_age_ms, dead_max, keep_ms): called often by every gateway and by some workers; the first
-- call in each interval does the work. Due deferred jobs return to the stream, jobs whose ttl is over fail, expired leases
-- are released, workers are woken for what waits. Replies ms until the next of the first two, or -1 if there is none; and
-- how many workers live.
local function sweep(keys, argv)
  local k = keys_of(keys[1])
  local now, interval, lease_ms = now_ms(), tonumber(argv[1]), tonumber(argv[2])
  local next_due = next_due_of(k)
  local is_due = next_due and next_due <= now
  local first, last = is_time(k.swept, now, interval, true)
  if first and last and last > now then set_back(k, now, last - now, lease_ms) end
  if is_due or first then
    promote_due(k, now)
    expire_unstarted(k, now, lease_ms, tonumber(argv[5]))
    local group = group_of(k)
    if group['ordered'] then serve_older(k, group) end
    local lag = group['lag']
    if first then
      release_expired(k, lease_ms)
      forget_results(k, now)
      look_at_batches(k, now)
      trim_index(k)
      if is_time(k.pruned, now, lease_ms) then
        prune(k, now, lease_ms)
        redis.call('XTRIM', k.dead, 'MAXLEN', argv[4])
        redis.call('XTRIM', k.dead, 'MINID', whole(math.max(0, now - argv[3])))
      end
    end
    local released = #redis.call('XPENDING', k.stream, GROUP, '-', '+', 100, RELEASED)
    wake(k, math.min(lag + released, 100))
    next_due = next_due_of(k)
  end
  return { next_due and math.max(0, next_due - now) or -1, redis.call('ZCARD', k.workers) }
end

-- prove(): proves that the server takes writes; most calls of a second write nothing, but the server refuses them all
-- the same if it can't write. TIME, GET, and SET once a second. Replies 1.
local function prove(keys)
  is_time(keys_of(keys[1]).proof, now_ms(), PROOF_MS)
  return 1
end

export('sweep', sweep, 'allow-oom')
export('prove', prove, 'allow-oom')
