-- One queue at a glance, for a page that is drawn anew each second, and its history.

local HISTORY_KEPT_MS = 2 * 86400000

-- Since when the job waits that has waited longest, in ms since the epoch, or -1: the first one that was handed back, or
-- the first that was never claimed. One that a worker holds ahead does not count. Costs XPENDING and XRANGE; if the order
-- counts HMGET, XRANGE and ZRANGE, too, and ZRANGE and HGET for each lane.
local function oldest_of(k, group)
  local oldest = math.huge
  local function look(entry) if entry then oldest = math.min(oldest, entry_ms(entry)) end end
  local function look_behind(entry, last)
    look((redis.call('XRANGE', k.stream, '(' .. entry, last, 'COUNT', 1)[1] or {})[1])
  end
  look((redis.call('XPENDING', k.stream, GROUP, '-', '+', 1, RELEASED)[1] or {})[1])
  look_behind(group['last-delivered-id'], '+')
  local order = load_order(k, group)
  if order then
    if order.cursor ~= order.last then look_behind(order.cursor, order.last) end
    for _, turn in ipairs(redis.call('ZRANGE', k.turns, 0, -1)) do
      local band, name = string.match(turn, '^(%d) (.*)$')
      local id = redis.call('ZRANGE', lane_key(k, band, name), 0, 0)[1]
      look(id and redis.call('HGET', k.job .. id, 'entry'))
    end
  end
  return oldest < math.huge and whole(oldest) or -1
end

-- overview(): {now, arrived or -1, waiting, running, deferred, dead, since when the oldest waits or -1, the scaler's
-- decision, its facts, then per registered worker {id, state, starting_since, ready_since, running, concurrency, job,
-- that job's start and progress}}. Costs what `counts` does, and two HMGET a worker.
local function overview(keys)
  local k = keys_of(keys[1])
  local group = find_group(k)
  local known = group and group['lag'] and group['entries-read']
  local scaler = redis.call('HMGET', k.scaler, 'decision', 'facts')
  local pending = group and group['pending'] or 0
  local back = group and math.min(pending, released_of(k) + held_ahead(k)) or 0
  local arrived = known and group['entries-read'] + group['lag'] or -1
  local reply = { whole(now_ms()), arrived, (known and group['lag'] or 0) + back, pending - back,
    redis.call('ZCARD', k.deferred), redis.call('XLEN', k.dead), group and oldest_of(k, group) or -1,
    scaler[1] or '', scaler[2] or '' }
  for _, worker in ipairs(redis.call('ZRANGE', k.workers, 0, -1)) do
    local r = redis.call('HMGET', k.worker .. worker, 'state', 'starting_since', 'ready_since', 'running',
      'concurrency', 'job')
    if r[1] then
      local job = r[6] and r[6] ~= '' and redis.call('HMGET', k.job .. r[6], 'status', 'started', 'progress') or {}
      local runs = job[1] == 'processing'
      reply[#reply + 1] = { worker, r[1], r[2] or '', r[3] or '', r[4] or '', r[5] or '', runs and r[6] or '',
        runs and job[2] or '', runs and job[3] or '' }
    end
  end
  return reply
end

-- lead_history(gateway, lease_ms): replies 1 if this gateway is the one that writes the history, now and for a lease.
local function lead_history(keys, argv)
  local k = keys_of(keys[1])
  local leader = redis.call('GET', k.historian)
  if leader and leader ~= argv[1] then return 0 end
  redis.call('SET', k.historian, argv[1], 'PX', argv[2])
  return 1
end

-- write_history(gateway, at_ms, step, most): adds a step, of which at most so many are kept. Replies 0 if another gateway
-- writes, or if there is another step of this time or a later one. Costs GET, XREVRANGE, XADD and PEXPIRE.
local function write_history(keys, argv)
  local k = keys_of(keys[1])
  if redis.call('GET', k.historian) ~= argv[1] then return 0 end
  local last = redis.call('XREVRANGE', k.history, '+', '-', 'COUNT', 1)[1]
  -- A clock that was set back by more than a day would else stop the history for as long.
  if last and entry_ms(last[1]) - tonumber(argv[2]) > HISTORY_KEPT_MS then redis.call('DEL', k.history)
  elseif last and entry_ms(last[1]) >= tonumber(argv[2]) then
    -- A call that is made again, as its reply was lost, is answered as it was.
    return (last[1] == argv[2] .. '-0' and last[2][2] == argv[3]) and 1 or 0
  end
  redis.call('XADD', k.history, 'MAXLEN', argv[4], argv[2] .. '-0', 'step', argv[3])
  redis.call('PEXPIRE', k.history, HISTORY_KEPT_MS)
  return 1
end

-- history(since_ms, most): the steps from a time on, or of the last -since_ms, oldest first: {at_ms, step, at_ms, step,
-- ...}. One XRANGE.
local function history(keys, argv)
  local flat, since = {}, tonumber(argv[1])
  if since < 0 then since = math.max(0, now_ms() + since) end
  for _, row in ipairs(redis.call('XRANGE', keys_of(keys[1]).history, whole(since), '+', 'COUNT', argv[2])) do
    flat[#flat + 1] = entry_time(row[1])
    flat[#flat + 1] = row[2][2]
  end
  return flat
end

-- measures(since_ms, most): what a scrape reads, {what `counts` replies, for how many ms the job that waits has waited
-- that has waited longest or -1, what `history` replies}. Costs what both do, XINFO GROUPS and what `oldest_of` does.
local function measures(keys, argv)
  local k = keys_of(keys[1])
  local group = find_group(k)
  local oldest = group and tonumber(oldest_of(k, group)) or -1
  return { counts(keys), oldest < 0 and -1 or whole(math.max(0, now_ms() - oldest)), history(keys, argv) }
end

export('overview', overview, 'no-writes')
export('lead_history', lead_history)
export('write_history', write_history)
export('history', history, 'no-writes')
export('measures', measures, 'no-writes')
