-- Pushing jobs: accepting, handing over to an idle worker, waking.

-- Wakes up to `count` idle workers, those first that have been ready for longest. If a worker's subscription is gone,
-- PUBLISH answers 0 and the next worker is tried. If no idle worker is left, the scaler is told that jobs wait.
-- ZPOPMIN and PUBLISH for each worker tried.
local function wake(k, count)
  local woken = 0
  while woken < count do
    local idle = redis.call('ZPOPMIN', k.idle)
    if #idle == 0 then
      redis.call('PUBLISH', k.wake, '')
      return
    end
    if redis.call('PUBLISH', k.wake .. idle[1], '') > 0 then woken = woken + 1 end
  end
end

-- Up to `count` workers are to hand back what they hold ahead, those first that hold most: another worker is idle, or
-- high jobs have come. `idle` is the worker that is idle, which starts what it holds itself.
-- One ZRANGE; PUBLISH for each that does, and ZREM if it does not listen.
local function call_back(k, count, idle)
  for _, holder in ipairs(redis.call('ZRANGE', k.ahead, 0, idle and count or count - 1, 'REV')) do
    if holder ~= idle and count > 0 then
      count = count - 1
      if redis.call('PUBLISH', k.wake .. holder, 'back') == 0 then redis.call('ZREM', k.ahead, holder) end
    end
  end
end

-- hold(k, group, worker, count, held, most_bytes): has a worker hold jobs ahead; ahead.lua has it.
local hold

-- A claimed job in a message.
local function message_of(id, entry, function_name, args, kwargs, queued, options)
  return entry .. ' ' .. queued .. ' ' .. #id .. ' ' .. #function_name .. ' ' .. #args .. ' ' .. #kwargs .. ' '
    .. id .. function_name .. args .. kwargs .. options
end

-- Claims an entry that was just added to an empty queue for the worker that `wake` would wake. The worker saves its
-- claim: the message carries what a claim would reply. The caller writes the record as `start` (claim.lua) does.
-- A worker gets a job in this way only if it runs nothing, is of this very release (its registration's `takes` names
-- this library) and the payload with its options is at most MESSAGE_BYTES; otherwise it is just woken.
-- Returns the worker, or nil if no job was handed over; how many workers were told: 1, or 0 if nobody listens; and how
-- many jobs that worker would hold ahead. Costs ZPOPMIN, HMGET, PUBLISH, XREADGROUP and HSET.
local function hand_over(k, id, entry, function_name, args, kwargs, queued, options)
  local is_small = #args + #kwargs + #options <= MESSAGE_BYTES
  while true do
    local worker = redis.call('ZPOPMIN', k.idle)[1]
    if not worker then return nil, 0 end
    local worker_key, message = k.worker .. worker, ''
    local r = redis.call('HMGET', worker_key, 'takes', 'running', 'ahead')
    local takes = is_small and r[1] == '@LIBRARY@' and r[2] == '0'
    if takes then
      message = 'run ' .. message_of(id, entry, function_name, args, kwargs, queued, options)
    end
    if redis.call('PUBLISH', k.wake .. worker, message) > 0 then
      if not takes then return nil, 1 end
      read_new(k, worker, 1)
      redis.call('HSET', worker_key, 'state', 'busy', 'job', id, 'running', 1)
      return worker, 1, tonumber(r[3] or 0)
    end
  end
end

-- Has a worker to which a push has handed over a job hold up to `count` of the next ones ahead. Its message carries
-- what `finish_and_claim` would reply of them. Costs what `hold` costs, and PUBLISH if there are any.
local function hand_over_ahead(k, group, worker, count)
  local held, jobs, i = hold(k, group, worker, count, 0, MESSAGE_BYTES), {}, 1
  while i <= #held do
    local job
    if held[i] ~= '' then -- a plain one
      job = message_of(held[i], held[i + 1], held[i + 2], held[i + 3], '', entry_time(held[i + 1]), '')
      i = i + 4
    else
      job = message_of(held[i + 1], held[i + 2], held[i + 3], held[i + 4], held[i + 5], held[i + 7], held[i + 8])
      i = i + 9
    end
    jobs[#jobs + 1] = #job .. ' ' .. job
  end
  if #jobs > 0 then redis.call('PUBLISH', k.wake .. worker, 'hold ' .. table.concat(jobs)) end
end

-- The keys of these jobs' records, by id, if none of them is there yet; otherwise none of the keys.
-- EXISTS for each CHUNK of jobs.
local function keys_of_new(k, ids)
  local found = {}
  for first = 1, #ids, CHUNK do
    local keys = {}
    for i = first, math.min(first + CHUNK - 1, #ids) do
      local key = k.job .. ids[i]
      keys[i - first + 1], found[ids[i]] = key, key
    end
    if redis.call('EXISTS', unpack(keys)) > 0 then return {} end
  end
  return found
end

-- push(max_backlog, idempotency_ms, whether names take turns: 1 or 0, function, owner, then the jobs: id, args of one
--   with this function and owner and no options, and '', id, function, args, owner, options of any)
-- options: '' or JSON {kwargs, idempotency_key, fingerprint, outlives_job, defer_ms, due_ms, waits, webhook, limits,
--   options, stored (bytes), priority}; `options` is kept in the record, and says the priority again.
-- Replies flat, for each job that is not accepted its place (from 0) and 'full' | 'conflict' | 'existing ID' |
-- 'limited WHICH MS'. Pushing an id again changes nothing.
-- Costs a job: XADD and HSET; HSET if the push waits, and with an owner if it is not only queued; GET and SET with an
-- idempotency key, and EXISTS if it is known; EXISTS, HSET and ZADD if deferred; HSET with options, ZADD with a ttl;
-- what `line_up` costs if the order counts. Costs a call: EXISTS, and again for each job if one is there; XINFO GROUPS,
-- XLEN, ZCARD, TIME, XADD for each owner, XPENDING if jobs run and none waits, and the waking or handing over, that of
-- several jobs at once, too; HMGET, XRANGE, HSET and XGROUP SETID if the order counts; ZRANGE with high jobs.
local function push(keys, argv)
  local k = keys_of(keys[1])
  local max_backlog, idempotency_ms = tonumber(argv[1]), argv[2]
  local group = group_of(k)
  local room = max_backlog - group['length'] - redis.call('ZCARD', k.deferred)
  local now, replies, appended = now_ms(), {}, 0
  local entry_ids = ids_from(group['entries-read'] + group['lag'], now)
  local now_text = entry_ids.ms
  local is_empty, served, accepted = is_queue_empty(k, group), 0, {}
  local holder, ahead
  local order, takes_turns, high, last = load_order(k, group), argv[3] == '1', 0, nil
  if order then order.takes_turns = takes_turns end
  local is_settled = not order or settle(k, order)
  local i, ids, count = 6, {}, 0
  while i <= #argv do
    local is_short = argv[i] ~= ''
    count = count + 1
    ids[count] = is_short and argv[i] or argv[i + 1]
    i = i + (is_short and 2 or 6)
  end
  local key_of_new = keys_of_new(k, ids)
  i = 6
  for place, id in ipairs(ids) do
    local function_name, args, owner, options, idempotency_key, reply, worker = argv[4], argv[i + 1], argv[5]
    if argv[i] ~= '' then
      i = i + 2
    else
      function_name, args, owner = argv[i + 2], argv[i + 3], argv[i + 4]
      if argv[i + 5] ~= '' then options = cjson.decode(argv[i + 5]) end
      i = i + 6
    end
    if options and options.idempotency_key then
      idempotency_key = k.idempotency .. options.idempotency_key
      local first = redis.call('GET', idempotency_key)
      local fingerprint, first_id = string.match(first or '', '^(%S*) (.*)$')
      -- A key stands for its job while the job's record is kept. After that the push is a new job.
      if first_id and (options.outlives_job or redis.call('EXISTS', k.job .. first_id) == 1) then
        reply = fingerprint == options.fingerprint and 'existing ' .. first_id or 'conflict'
      end
    end
    local job_key = key_of_new[id]
    key_of_new[id] = nil -- a second one with this id is not new
    if not job_key then
      job_key = k.job .. id
      if not reply and redis.call('EXISTS', job_key) == 1 then reply = 'existing ' .. id end
    end
    if not reply and room <= 0 then reply = 'full' end
    if not reply and options and options.limits then
      reply = limited(k, now, owner, { id }, options.limits,
        #args + #(options.kwargs or '') + (options.stored or 0), max_backlog)
    end
    if not reply then
      room = room - 1
      local theirs = accepted[owner] or {}
      accepted[owner], theirs[#theirs + 1] = theirs, id
      local due = options and due_of(options, now)
      if due then
        redis.call('HSET', job_key, 'function', function_name, 'args', args,
          'kwargs', options.kwargs or '', 'queued', now_text, 'scheduled', 1)
        redis.call('ZADD', k.deferred, whole(due), id)
      else
        local kwargs, band = options and options.kwargs or '', NORMAL
        if options and options.priority then band = BANDS[options.priority] end
        if not order and (band ~= NORMAL or (takes_turns and not is_empty)) then
          order, is_empty = begin_order(k), false
          order.takes_turns = takes_turns
        end
        local entry = append(k, entry_ids, id, function_name, args, kwargs, not options and owner or nil)
        local behind = keep_place(job_key, entry, entry_ids)
        appended = appended + 1
        local told, wanted
        if is_empty then
          local queued = behind and now_text or entry_time(entry)
          local asked = options and options.options or ''
          worker, told, wanted = hand_over(k, id, entry, function_name, args, kwargs, queued, asked)
          is_empty, served = worker, served + told
          if worker then holder, ahead = worker, wanted end
        end
        last = entry
        if order then
          if band == HIGH then high = high + 1 end
          redis.call('HSET', job_key, 'entry', entry, 'lane', line_up(k, order, id, band, owner))
        elseif worker then
          redis.call('HSET', job_key, 'entry', entry, 'status', 'processing', 'worker', worker,
            'attempts', 1, 'started', now_text)
        elseif owner ~= '' then
          redis.call('HSET', job_key, 'entry', entry, 'owner', owner)
        else
          redis.call('HSET', job_key, 'entry', entry)
        end
      end
      if owner ~= '' and (due or order or worker) then redis.call('HSET', job_key, 'owner', owner) end
      if options then keep_options(k, id, options.options, due or now) end
      local counted = options and options.limits and options.limits.share and ' ' .. owner or ''
      if options and options.waits or counted ~= '' then
        redis.call('HSET', job_key, 'waits', (options.waits or '') .. counted)
      end
      if options and options.webhook then
        redis.call('HSET', job_key, 'webhook', options.webhook)
        if worker then notify(k, id, options.webhook, 'started', now_text, '1') end
      end
      if idempotency_key then
        redis.call('SET', idempotency_key, options.fingerprint .. ' ' .. id, 'PX', idempotency_ms)
      end
    end
    if reply then replies[#replies + 1], replies[#replies + 2] = place - 1, reply end
  end
  if order then
    if is_settled then order.delivered = last or order.delivered end
    save_order(k, order)
  end
  -- One that is the only idle worker holds the rest already; it need not ask first.
  if holder and served == 1 and appended > 1 and ahead > 0 and not order then
    hand_over_ahead(k, group, holder, math.min(ahead, appended - 1))
  end
  for owner, theirs in pairs(accepted) do add_to_index(k, owner, 'jobs', table.concat(theirs, ' ')) end
  wake(k, appended - served)
  if high > 0 then call_back(k, high) end
  return replies
end

export('push', push)
