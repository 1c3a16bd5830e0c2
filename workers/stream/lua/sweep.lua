-- What time alone brings about: due jobs, expired leases, dead workers, old dead letters.

-- Puts deferred jobs that are due into the stream.
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

-- Releases jobs whose lease has expired. XAUTOCLAIM looks up every pending entry in the stream, whatever its idle time,
-- so it is called only if XPENDING has found an expired lease.
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

-- Whether `every_ms` have passed since this was last true. A mark in the future means that the clock was set back; it
-- does not count.
local function is_time(key, now, every_ms)
  local last = tonumber(redis.call('GET', key) or nil)
  if last and last <= now and now - last < every_ms then return false end
  redis.call('SET', key, whole(now), 'PX', whole(every_ms))
  return true
end

-- Removes workers whose registration has expired, and consumers that have neither a registration nor a job.
local function prune(k, now, lease_ms)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', k.workers, '-inf', whole(now))) do
    redis.call('ZREM', k.workers, worker)
    redis.call('ZREM', k.idle, worker)
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

-- sweep(interval_ms, lease_ms, dead_age_ms, dead_max): called often by every worker and gateway; the first call in each
-- interval does the work. Due deferred jobs return to the stream, expired leases are released, workers are
-- woken for what waits. Replies ms until the next deferred job is due, or -1 if there is none.
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

-- prove(): proves that the server takes writes; most calls of a second write nothing, but the server refuses them all
-- the same if it can't write. TIME, GET, and SET once a second. Replies 1.
local function prove(keys)
  is_time(keys_of(keys[1]).proof, now_ms(), PROOF_MS)
  return 1
end

export('sweep', sweep, 'allow-oom')
export('prove', prove, 'allow-oom')
