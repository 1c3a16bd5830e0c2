-- Looking ahead: a worker whose jobs are short holds the next ones already, and starts one the moment the last has
-- ended.
--
-- The entry of a job that is held ahead is pending with that worker, as that of a job that runs; but its record says
-- nothing of it, so everyone sees a job that is queued. The worker tells of each start in its next call, which it sends
-- at once. Only first attempts are held, none whose ttl is nearly over, and only while no worker is idle, nothing is
-- released and no order counts (order.lua): that comes first.
-- {q}:ahead says how many jobs each worker holds. A worker that becomes idle has another one hand back what it holds
-- (`call_back` in push.lua).

local LEAST_LEFT_MS = 1000 -- of a ttl, if a job is to be held ahead; a worker hands it back before that is over
local HOLD_BYTES = 1024 * 1024 -- payloads that are held ahead by one call; the one that exceeds this is the last

-- How many jobs are held ahead. One ZRANGE.
local function held_ahead(k)
  local scores, total = redis.call('ZRANGE', k.ahead, 0, -1, 'WITHSCORES'), 0
  for i = 2, #scores, 2 do total = total + tonumber(scores[i]) end
  return total
end

-- Releases entries that the worker holds ahead: XCLAIM for any number up to CHUNK.
local function release_entries(k, entries)
  for i = 1, #entries, CHUNK do
    local chunk = { unpack(entries, i, math.min(i + CHUNK - 1, #entries)) }
    chunk[#chunk + 1] = 'JUSTID'
    redis.call('XCLAIM', k.stream, GROUP, RELEASED, 0, unpack(chunk))
  end
end

-- The entries that are pending with the worker, as keys. One XPENDING.
local function pending_of(k, worker)
  local pending = {}
  for _, row in ipairs(redis.call('XPENDING', k.stream, GROUP, '-', '+', CHUNK, worker)) do pending[row[1]] = true end
  return pending
end

-- Registers what the worker has started of the jobs that it held ahead, by arguments `from` up to `to`, 3 a job: id,
-- entry, ms since its start. Returns per job 1, also when it was registered before, or 0: it was cancelled, is
-- another's, or its ttl was over. Costs a job: HMGET and HSET; ZSCORE with a ttl. Costs a call: TIME and XPENDING if
-- there are any.
local function start_ahead(k, worker, argv, from, to)
  local replies = {}
  if to < from then return replies end
  local pending, now = pending_of(k, worker), now_ms()
  for i = from, to, 3 do
    local id, entry = argv[i], argv[i + 1]
    local job_key = k.job .. id
    local r = redis.call('HMGET', job_key, 'entry', 'status', 'attempts', 'started', 'webhook', 'worker', 'options')
    local at = now - tonumber(argv[i + 2])
    if r[1] == entry and not r[2] and tonumber(r[3] or 0) == 0 and pending[entry]
      and not late_error(k, id, options_of(r[7]), 0, at) then
      begin(k, worker, job_key, id, 1, r[4], r[5], at)
      replies[#replies + 1] = 1
    else
      local again = r[1] == entry and r[2] == 'processing' and r[3] == '1' and r[6] == worker
      replies[#replies + 1] = again and 1 or 0
    end
  end
  return replies
end

-- Has the worker hold up to `count` more jobs ahead, beside `held` others; -1 says that it has not held any. With
-- `most_bytes` their payloads and options take no more than that.
-- Returns what `claim` replies of them.
-- Costs a job: HLEN if it is plain, or else HGETALL; TIME with options, ZSCORE with a ttl. Costs a call: ZCARD,
-- XPENDING unless `group` says that nothing is released, and XREADGROUP if some are wanted; ZADD or ZREM unless none
-- are or were.
function hold(k, group, worker, count, held, most_bytes)
  if count <= 0 and held < 0 then return {} end
  local out, drop, back, bytes, total = {}, {}, {}, 0, math.max(0, held)
  if count > 0 and not group['ordered'] and redis.call('ZCARD', k.idle) == 0
    and (group['released'] == 0 or #redis.call('XPENDING', k.stream, GROUP, '-', '+', 1, RELEASED) == 0) then
    for _, row in ipairs(read_new(k, worker, math.min(count, ROUND))) do
      local entry = row[1]
      local id, name, args, kwargs, fields_of_new = fields_of(row[2])
      local job_key = k.job .. id
      local plain = is_plain(job_key, fields_of_new)
      local r = plain and { entry = entry } or map_of(redis.call('HGETALL', job_key))
      local status, options = r['status'], r['options'] or ''
      local size = #args + #kwargs + #options
      if r['entry'] ~= entry or (status and status ~= 'processing') then
        drop[#drop + 1] = entry
      elseif #back > 0 or bytes >= HOLD_BYTES or status or tonumber(r['attempts'] or 0) > 0
        or (most_bytes and bytes + size > most_bytes)
        or (options ~= '' and late_error(k, id, options_of(options), 0, now_ms() + LEAST_LEFT_MS)) then
        back[#back + 1] = entry -- for a claim, which counts its attempt and fails what is too late
      else
        if plain then
          add_job(out, id, entry, name, args)
        else
          add_job(out, id, entry, name, args, kwargs, 1, r['queued'] or entry_time(entry), options)
        end
        bytes = bytes + size
        total = total + 1
      end
    end
    release_entries(k, back)
    remove_entries(k, drop)
  end
  if total > 0 then redis.call('ZADD', k.ahead, total, worker) else redis.call('ZREM', k.ahead, worker) end
  return out
end

-- release_ahead(worker, then pairs id, entry): hands back what it holds ahead, all of it. Replies how many of these
-- jobs it still held. Costs a job: HMGET. Costs a call: XPENDING, ZREM, XCLAIM and the waking.
local function release_ahead(keys, argv)
  local k, entries = keys_of(keys[1]), {}
  local pending = #argv > 1 and pending_of(k, argv[1])
  for i = 2, #argv, 2 do
    local r = redis.call('HMGET', k.job .. argv[i], 'entry', 'status')
    if r[1] == argv[i + 1] and not r[2] and pending[r[1]] then entries[#entries + 1] = r[1] end
  end
  redis.call('ZREM', k.ahead, argv[1])
  release_entries(k, entries)
  wake(k, #entries)
  return #entries
end

export('release_ahead', release_ahead, 'allow-oom')
