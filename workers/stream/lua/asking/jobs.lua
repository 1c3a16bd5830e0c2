-- What users ask about a job or do to it: view, cancel, retry, requeue, dead letters.

-- How many jobs are ahead of a queued one, as an upper bound: the released ones, those that workers hold ahead, and those
-- that were before it at its push and have not been delivered since. A deferred job comes behind all that wait now and
-- those that are due earlier. One in a lane comes behind those of other bands that are before its own, and by turns behind
-- those of its own band. One ZRANK then, and for the first one what `lined_up` costs.
local function ahead_of(k, id, seq, queue, lane)
  local band, _, name = lane_of(lane or '')
  if seq and queue.is_ordered then
    queue.sizes = queue.sizes or lined_up(k)
    local sizes, rank = queue.sizes, band and redis.call('ZRANK', lane_key(k, band, name), id)
    local first = queue.released + math.max(0, queue.lag - sizes[HIGH] - sizes[NORMAL] - sizes[LOW])
    if not rank then return math.max(0, first + sizes[HIGH] + sizes[LOW] - 1) end
    local before = band == HIGH and 0 or first
    for other = HIGH, band - 1 do before = before + sizes[other] end
    before = before + (name == '' and rank or sizes[band] - 1)
    if band == LOW then return before end
    return before + math.min(sizes[LOW], math.ceil((before + 1) / (LOW_EVERY - 1)))
  end
  if not seq then return queue.length + (redis.call('ZRANK', k.deferred, id) or 0) end
  return math.max(0, math.min(math.max(0, seq - queue.read) + queue.released, queue.length) - 1)
end

-- What `view` replies of one job, and the bytes of its result in that. `queue` is filled when a job that waits is seen.
-- Costs HMGET; two HSTRLEN and HMGET for a result; for the first job that waits XINFO GROUPS, XLEN and XPENDING.
local function view_of(k, id, most, queue)
  local job_key = k.job .. id
  local r = redis.call('HMGET', job_key, 'status', 'owner', 'attempts', 'queued', 'started', 'finished',
    'error', 'seq', 'entry', 'events', 'progress', 'options', 'scheduled', 'lane')
  local status, queued, seq, entry = r[1], r[4], r[8], r[9]
  seq = seq or (entry and string.match(entry, '%d+$'))
  if not (status or queued or entry) then return false, 0 end
  local ahead, due = '', ''
  if not status and not entry and r[13] then
    status, due = 'scheduled', redis.call('ZSCORE', k.deferred, id) or ''
  elseif not status then
    if not queue.length then
      local group = find_group(k)
      queue.length, queue.read = redis.call('XLEN', k.stream), group and group['entries-read'] or 0
      queue.released = group and released_of(k) + held_ahead(k) or 0
      queue.lag, queue.is_ordered = group and group['lag'] or 0, group and group['ordered']
    end
    ahead = ahead_of(k, id, seq, queue, r[14])
  end
  local is_told = r[11] and status == 'processing' and is_of_run(r[5], r[10])
  local progress = is_told and r[11] or ''
  local result, notes, bytes = '', '', 0
  if most > 0 and status == 'finished' then
    local size = redis.call('HSTRLEN', job_key, 'result') + redis.call('HSTRLEN', job_key, 'notes')
    if size > most then
      result = size
    else
      local kept = redis.call('HMGET', job_key, 'result', 'notes')
      result, notes, bytes = kept[1] or '', kept[2] or '', size
    end
  end
  return { status or 'queued', r[2] or '', r[3] or '0', queued or entry_time(entry), r[5] or '', r[6] or '',
    r[7] or '', ahead, result, notes, progress, r[12] or '', due }, bytes
end

-- Sends a job that has just ended to the gateway at which its push waits, so that it need not ask: the job's id and what
-- `view` would reply, as the sizes of these texts and, behind a newline, the texts. Nothing if they are too large, or if
-- the gateway is of another release: then its `view` may have other texts.
-- Costs PUBLISH, and what `view_of` costs.
local function answer(k, gateway, id)
  if string.sub(gateway, 1, #'@LIBRARY@') ~= '@LIBRARY@' then return end
  local reply, sizes, bytes = view_of(k, id, ANSWER_BYTES, {}), {}, 0
  if not reply or type(reply[9]) == 'number' then return end
  table.insert(reply, 1, id)
  for i, text in ipairs(reply) do
    sizes[i] = #text
    bytes = bytes + #text
  end
  if bytes <= ANSWER_BYTES then
    redis.call('PUBLISH', k.answer .. gateway, table.concat(sizes, ' ') .. '\n' .. table.concat(reply))
  end
end

-- view(then pairs id, bytes up to which its result is wanted, 0 for none): per job false, or
-- {status, owner, attempts, queued, started, finished, error, ahead, result, notes, progress, options, due}.
-- Of a result that is larger with its notes, their size is replied as a number in place of the result.
-- Replies with fewer than asked for, but at least one, when the results fill a reply.
local function view(keys, argv)
  local k, queue, bytes, replies = keys_of(keys[1]), {}, 0, {}
  for i = 1, #argv, 2 do
    if bytes >= REPLY_BYTES then break end
    local reply, size = view_of(k, argv[i], tonumber(argv[i + 1]), queue)
    replies[#replies + 1] = reply
    bytes = bytes + size
  end
  return replies
end

-- Cancels a job that has not ended; the caller removes its entry, which is added to `removed`, and tells the waiters.
-- Returns 'missing' or the job's status; and whether it has ended now.
local function cancel_job(k, id, keep_ms, removed)
  local job_key = k.job .. id
  local r = redis.call('HMGET', job_key, 'status', 'entry', 'worker', 'queued', 'started', 'attempts', 'events', 'options',
    'webhook', 'lane', 'waits')
  local status, entry, worker = r[1], r[2], r[3]
  keep_ms = options_of(r[8]).keep_ms or keep_ms
  if not status and not entry and not r[4] then return 'missing', false end
  if status and status ~= 'processing' then return status, false end
  if not entry then
    redis.call('ZREM', k.deferred, id)
  else
    keep_queued(job_key, entry)
    local pending = not status and redis.call('XPENDING', k.stream, GROUP, entry, entry, 1)[1]
    if pending and pending[2] ~= RELEASED then worker = pending[2] end -- held ahead
    removed[#removed + 1] = entry
    if r[10] and not status then leave_lane(k, id, r[10]) end
  end
  leave_share(k, id, r[11])
  local finished = end_ms(now_ms(), r[4] or entry_ms(entry))
  redis.call('HSET', job_key, 'status', 'cancelled', 'finished', finished)
  redis.call('HDEL', job_key, 'entry', 'seq', 'worker', 'function', 'args', 'kwargs', 'progress', 'scheduled',
    'lane')
  if r[8] then redis.call('ZREM', k.expiring, id) end
  if r[9] then notify(k, id, r[9], 'cancelled', finished, '') end
  expire(job_key, keep_ms)
  end_events(k, id, 'cancelled', keep_ms, { r[5], r[6], r[7] })
  if worker then redis.call('PUBLISH', k.wake .. worker, 'cancel ' .. id) end
  return 'cancelled', true
end

-- cancel(id, keep_ms): ends a job that has not ended. If a worker runs it, that worker is told to stop, and what it
-- still produces is refused. Replies 'cancelled' | 'missing' | the status of a job that has ended.
local function cancel(keys, argv)
  local k, removed = keys_of(keys[1]), {}
  local outcome, is_new = cancel_job(k, argv[1], tonumber(argv[2]), removed)
  remove_entries(k, removed)
  if is_new then publish_ended(k, { argv[1] }) end
  return outcome
end

-- Puts a dead letter back into the stream under its id, its attempts counted from 0.
local function revive(k, entry, payload)
  local id, now = payload['id'], now_ms()
  local job_key = k.job .. id
  local group = group_of(k)
  local band, order = band_of(payload['options']), load_order(k, group)
  if not order and band ~= NORMAL then order = begin_order(k) end
  local is_settled = not order or settle(k, order)
  local new = append(k, nil, id, payload['function'], payload['args'], payload['kwargs'])
  local webhook = redis.call('HGET', job_key, 'webhook')
  if redis.call('DEL', job_key, k.events .. id) == 0 then add_to_index(k, payload['owner'] or '', 'jobs', id) end
  if webhook then redis.call('HSET', job_key, 'webhook', webhook) end
  redis.call('HSET', job_key, 'entry', new, 'seq', whole(group['entries-read'] + group['lag'] + 1))
  if entry_ms(new) > now + CLOCK_SLACK_MS then redis.call('HSET', job_key, 'queued', whole(now)) end
  if payload['owner'] ~= '' then redis.call('HSET', job_key, 'owner', payload['owner']) end
  if order then
    redis.call('HSET', job_key, 'lane', line_up(k, order, id, band, payload['owner'] or ''))
    if is_settled then order.delivered = new end
    save_order(k, order)
  end
  keep_options(k, id, payload['options'], now)
  redis.call('XDEL', k.dead, entry)
  wake(k, 1)
end

-- retry(id): replies 'retried' | 'missing' | 'gone' (its dead letter was trimmed) | the status of a job that did not
-- fail.
local function retry(keys, argv)
  local k = keys_of(keys[1])
  local r = redis.call('HMGET', k.job .. argv[1], 'status', 'entry', 'queued')
  if not (r[1] or r[2] or r[3]) then return 'missing' end
  if r[1] ~= 'failed' then return r[1] or 'queued' end
  local payload = r[2] ~= '' and payload_of(k.dead, r[2])
  if not payload then return 'gone' end
  revive(k, r[2], payload)
  return 'retried'
end

-- requeue(dead letter's entry): replies 1, or 0 if there is no such letter, or its job waits, runs or ended otherwise.
local function requeue(keys, argv)
  local k = keys_of(keys[1])
  local payload = payload_of(k.dead, argv[1])
  if not payload then return 0 end
  local job_key = k.job .. payload['id']
  if redis.call('EXISTS', job_key) == 1 then
    local r = redis.call('HMGET', job_key, 'status', 'entry')
    if r[1] ~= 'failed' or r[2] ~= argv[1] then return 0 end
  end
  revive(k, argv[1], payload)
  return 1
end

-- dead_letters(after, count): XRANGE of the dead letters behind an entry ('-' for all).
local function dead_letters(keys, argv)
  return redis.call('XRANGE', keys_of(keys[1]).dead, argv[1], '+', 'COUNT', argv[2])
end

export('view', view, 'no-writes')
export('cancel', cancel, 'allow-oom')
export('retry', retry)
export('requeue', requeue)
export('dead_letters', dead_letters, 'no-writes')
