-- A worker's registration and what it holds.

-- register(worker, expiry_ms, then pairs field, value): a heartbeat. Replies 1 if the worker has to publish the schema
-- that its field `schema` names, otherwise 0; 1 if it is registered as idle, otherwise 0; ms since the last sweep, -1 if
-- there was none; and how many workers live.
-- Costs TIME, HSET, PEXPIRE, ZADD, ZSCORE, GET and ZCARD, and what `renew_schema` costs.
local function register(keys, argv)
  local k, now, schema = keys_of(keys[1]), now_ms(), nil
  local worker, expiry_ms = argv[1], argv[2]
  local worker_key = k.worker .. worker
  for i = 3, #argv, 2 do
    if argv[i] == 'schema' then schema = argv[i + 1] end
  end
  if #argv > 2 then redis.call('HSET', worker_key, 'orders', 1, unpack(argv, 3)) end
  redis.call('PEXPIRE', worker_key, expiry_ms)
  redis.call('ZADD', k.workers, whole(now + expiry_ms), worker)
  local swept = tonumber(redis.call('GET', k.swept) or nil)
  return { renew_schema(k, schema, now) and 1 or 0, redis.call('ZSCORE', k.idle, worker) and 1 or 0,
    swept and now - swept or -1, redis.call('ZCARD', k.workers) }
end

-- renew(worker, then pairs id, attempt): resets the idle time of what the worker still holds.
-- Replies with the ids that it does not hold any more (cancelled, claimed by others or ended).
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

-- Releases what the worker holds, except those whose 'id attempt' is a key of `known`; returns the entries.
-- Entries that somebody deleted are taken off the group's pending list.
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
        local r = redis.call('HMGET', k.job .. id, 'attempts', 'status', 'worker', 'entry', 'lane')
        if r[2] == 'processing' and r[3] == worker and not known[id .. ' ' .. r[1]] then
          hand_back(k, id, entry, r[5])
          redis.call('HINCRBY', k.job .. id, 'attempts', -1)
          released[#released + 1] = entry
        elseif not r[2] and r[4] == entry and not known[id .. ' 1'] then -- held ahead
          release_entries(k, { entry })
          released[#released + 1] = entry
        end
      end
      start_at = '(' .. entry
    end
    if #pending < CHUNK then break end
  end
  redis.call('ZREM', k.ahead, worker)
  wake(k, #released)
  return released
end

-- release_unknown(worker, then pairs id, attempt that it runs): for a worker that may have missed a claim's reply or
-- a message. Replies with the released entries; messages that hand over some of them may still be on their way.
local function release_unknown(keys, argv)
  local k, known = keys_of(keys[1]), {}
  group_of(k)
  for i = 2, #argv, 2 do known[argv[i] .. ' ' .. argv[i + 1]] = true end
  return release_others(k, argv[1], known)
end

-- leave(worker): a clean goodbye. What it still holds is handed back, and another worker is woken in case this one was
-- woken just before. Replies how many jobs were handed back.
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

-- health_check(ttl_ms, line): arq's health line. Replies 1.
local function health_check(keys, argv)
  redis.call('SET', keys_of(keys[1]).health, argv[2], 'PX', argv[1])
  return 1
end

export('register', register, 'allow-oom')
export('renew', renew, 'allow-oom')
export('release_unknown', release_unknown, 'allow-oom')
export('leave', leave, 'allow-oom')
export('health_check', health_check, 'allow-oom')
