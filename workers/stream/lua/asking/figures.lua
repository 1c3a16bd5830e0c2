-- The queue in numbers, for users and for the scaler, and the scaler's memory.

-- counts(): {stream length, waiting (lag), pending, released, deferred, dead, idle workers, workers, held ahead,
-- high ones that wait, low ones that wait}. Costs what `lined_up` costs besides if the order counts.
local function counts(keys)
  local k = keys_of(keys[1])
  local group = find_group(k)
  local info = group or { lag = 0, pending = 0 }
  local sizes = info['ordered'] and lined_up(k) or { [HIGH] = 0, [LOW] = 0 }
  return { redis.call('XLEN', k.stream), info['lag'] or -1, info['pending'], group and released_of(k) or 0,
    redis.call('ZCARD', k.deferred), redis.call('XLEN', k.dead),
    redis.call('ZCARD', k.idle), redis.call('ZCARD', k.workers), held_ahead(k),
    sizes[HIGH], sizes[LOW] }
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

-- demand(): {now, arrived, waiting (lag, released and held ahead), running, workers that hold jobs, the scaler's decision}.
-- `arrived` is how many entries the stream counts as added, less those that were cancelled before a worker had them;
-- a retry and a requeued dead letter count anew. It is -1 if there is no group, or if somebody else touched the
-- stream; the next push sets that right. Costs XINFO GROUPS, the summary of XPENDING, which has a row for each worker that
-- holds jobs, HGET, and what `held_ahead` does.
local function demand(keys)
  local k = keys_of(keys[1])
  local group = find_group(k)
  local decision = redis.call('HGET', k.scaler, 'decision') or ''
  if not (group and group['lag'] and group['entries-read']) then return { whole(now_ms()), -1, 0, 0, 0, decision } end
  -- What a worker held ahead that died counts twice for a while: as held, too, until its registration expires.
  local pending, waiting, busy = group['pending'], 0, 0
  for _, row in ipairs(redis.call('XPENDING', k.stream, GROUP)[4] or {}) do
    if row[1] == RELEASED then waiting = tonumber(row[2]) else busy = busy + 1 end
  end
  waiting = math.min(pending, waiting + held_ahead(k))
  return { whole(now_ms()), group['entries-read'] + group['lag'], group['lag'] + waiting, pending - waiting, busy,
    decision }
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

export('counts', counts, 'no-writes')
export('workers', workers, 'no-writes')
-- Not 'no-writes': a replica must refuse it, as the scaler would decide by figures that are old.
export('demand', demand, 'allow-oom')
export('remember', remember, 'allow-oom')
export('remembered', remembered, 'no-writes')
