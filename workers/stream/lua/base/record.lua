-- What several functions do with a job's record.

-- notify(k, id, webhook, event, at, value[, place]): tells a job's webhook of an event; webhooks.lua has it.
local notify

-- Whether the worker runs this attempt of the job; also the record's status, worker, attempts, entry, owner, queued,
-- started, events, waits, webhook, lane. One HMGET.
local function owns(k, worker, id, attempt)
  local r = redis.call('HMGET', k.job .. id, 'status', 'worker', 'attempts', 'entry', 'owner', 'queued', 'started',
    'events', 'waits', 'webhook', 'lane')
  return r[1] == 'processing' and r[2] == worker and r[3] == attempt, r
end

-- Keeps the time of the push in the record, as the entry that told it is about to be deleted.
local function keep_queued(job_key, entry)
  redis.call('HSETNX', job_key, 'queued', entry_time(entry))
end

-- Keeps what the id of an entry that was just added does not tell: the job's place in the order of pushes and, as ids
-- only grow, the time of the push if the clock was set back. Returns whether it was. HSET, twice then; nothing if it
-- tells all.
local function keep_place(job_key, entry, ids)
  if ids.next ~= '*' then return false end
  redis.call('HSET', job_key, 'seq', whole(ids.seq))
  local is_ahead = entry_ms(entry) > ids.ms + CLOCK_SLACK_MS
  if is_ahead then redis.call('HSET', job_key, 'queued', ids.ms) end
  return is_ahead
end

-- The time of an end, as text. A job does not end before it was queued, even if the server's clock was set back.
local function end_ms(now, queued) return whole(math.max(now, tonumber(queued))) end

-- keep_ms: 0 deletes the key at once, -1 keeps it for ever.
local function expire(key, keep_ms)
  if keep_ms == 0 then redis.call('DEL', key)
  elseif keep_ms > 0 then redis.call('PEXPIRE', key, whole(keep_ms)) end
end

-- Releases a pending entry: it goes to the front of the queue, still pending, but held by no worker. A high or low job
-- goes to the place that it had in its `lane` instead, and is not pending any more.
local function hand_back(k, id, entry, lane)
  local band, place, name = lane_of(lane or '')
  local job_key = k.job .. id
  if band and band ~= NORMAL then
    redis.call('XACK', k.stream, GROUP, entry)
    local order = order_of(k)
    redis.call('HSET', job_key, 'lane', line_up(k, order, id, band, name, place))
    save_order(k, order)
  else
    redis.call('XCLAIM', k.stream, GROUP, RELEASED, 0, entry, 'JUSTID')
  end
  redis.call('HDEL', job_key, 'status', 'worker')
end

-- Takes a job that has ended out of its owner's share of the backlog, by its record's `waits`. Returns the gateway at
-- which its push waits, or ''. One SREM if it counts there.
local function leave_share(k, id, waits)
  local gateway, owner = string.match(waits or '', '^(%S*) ?(.*)$')
  if owner ~= '' then redis.call('SREM', k.share .. owner, id) end
  return gateway
end

-- Tells waiters which jobs have ended. At most one PUBLISH.
local function publish_ended(k, ids)
  if #ids > 0 then redis.call('PUBLISH', k.ended, table.concat(ids, ' ')) end
end
