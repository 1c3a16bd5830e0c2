-- What jobs tell while they run: progress, log lines, partial results.
--
-- {q}:events:ID holds the events of one run of the job: from a claim to its end. The next run that tells anything
-- begins the stream anew. An entry's id is "RUN-NUMBER": RUN is when the run started, in ms, and NUMBER counts the
-- run's events. So whoever read up to some id goes on behind it, in the same run or in a later one. A gap in the
-- numbers are events that were not kept. The one field of an entry is its kind:
--
-- kind      value (JSON)
-- begin     the attempt; its number is 0
-- progress  {"fraction", "text"}
-- log       a text
-- partial   what a generator yielded
-- end       "finished" | "failed" | "cancelled": the job has ended

local EVENTS_MS = 24 * 3600 * 1000 -- for a job that has not ended
local EVENT_BYTES = 32 -- what an entry takes beside its value, about
local WEBHOOK_EVENTS = { progress = 'progress', partial = 'output' }
local KEPT_SHARE = 0.9 -- a stream that is too long is cut to this share of its bounds, so that not each call cuts

-- Whether a record's `events` are of the run that was `started` at this time.
local function is_of_run(started, told) return told and started and string.match(told, '^%d+') == started end

-- The stream of a job's present run, which is begun unless the record's `events` tell that it has been.
-- Costs DEL and XADD at the beginning.
local function run_of(k, id, started, attempt, told)
  local key = k.events .. id
  if is_of_run(started, told) then
    return { key = key, run = started, bytes = tonumber(string.match(told, '%d+$')) }
  end
  redis.call('DEL', key)
  redis.call('XADD', key, started .. '-0', 'begin', attempt)
  return { key = key, run = started, bytes = EVENT_BYTES }
end

-- Adds an event, unless it was added before: a caller that had no reply repeats its call. One XADD.
local function add_event(events, number, kind, value)
  local added = redis.pcall('XADD', events.key, events.run .. '-' .. number, kind, value)
  if type(added) ~= 'table' then
    events.bytes = events.bytes + #value + EVENT_BYTES
  elseif not string.find(added.err, 'equal or smaller', 1, true) then
    error(added.err)
  end
end

-- Removes the oldest entries if there are too many; the last one stays.
-- Costs XLEN; XRANGE for each ROUND of entries and XTRIM if some are removed.
local function cut(events, most, most_bytes)
  local length = redis.call('XLEN', events.key)
  if length <= most and events.bytes <= most_bytes then return end
  most, most_bytes = most * KEPT_SHARE, most_bytes * KEPT_SHARE
  local from, first_kept = '-', nil
  while not first_kept do
    for _, row in ipairs(redis.call('XRANGE', events.key, from, '+', 'COUNT', ROUND)) do
      if length == 1 or (length <= most and events.bytes <= most_bytes) then
        first_kept = row[1]
        break
      end
      length = length - 1
      events.bytes = events.bytes - #row[2][2] - EVENT_BYTES
      from = '(' .. row[1]
    end
  end
  redis.call('XTRIM', events.key, 'MINID', first_kept)
end

-- Ends the stream of a job that has ended, if it has one, and lets it expire with the record; beside a record that is
-- kept for ever, after EVENTS_MS. `record` has started, attempts and events. Returns its bytes.
-- Costs XADD and PEXPIRE if there is a stream.
local function end_events(k, id, status, keep_ms, record)
  if not record[3] then return 0 end
  local events = run_of(k, id, record[1], record[2], record[3])
  redis.call('XADD', events.key, events.run .. '-*', 'end', '"' .. status .. '"')
  expire(events.key, keep_ms < 0 and EVENTS_MS or keep_ms)
  return events.bytes
end

-- tell(worker, most entries, most bytes, then per job: id, attempt, number of the first event, how many events, and for
--   each of these kind and value)
-- Appends events of jobs that the worker still holds. Of each job's events the last ones are kept, up to so many
-- entries and bytes. Replies per job: 1, or 0 if the worker does not hold it any more.
-- Costs a job: HMGET, XADD for each event, XLEN, HSET and PEXPIRE, and what `run_of` and `cut` cost. Costs a call:
-- PUBLISH.
local function tell(keys, argv)
  local k = keys_of(keys[1])
  local worker, most, most_bytes = argv[1], tonumber(argv[2]), tonumber(argv[3])
  local replies, heard, i = {}, {}, 4
  while i <= #argv do
    local id, attempt, first, count = argv[i], argv[i + 1], tonumber(argv[i + 2]), tonumber(argv[i + 3])
    local own, r = owns(k, worker, id, attempt)
    i = i + 4
    if own then
      local events, progress = run_of(k, id, r[7], attempt, r[8]), nil
      for n = 0, count - 1 do
        local kind, value = argv[i + 2 * n], argv[i + 2 * n + 1]
        add_event(events, whole(first + n), kind, value)
        if kind == 'progress' then progress = value end
        local told_as = r[10] and WEBHOOK_EVENTS[kind]
        if told_as then notify(k, id, r[10], told_as, whole(now_ms()), value, events.run .. '-' .. whole(first + n)) end
      end
      cut(events, most, most_bytes)
      local told = events.run .. ' ' .. whole(events.bytes)
      if progress then
        redis.call('HSET', k.job .. id, 'events', told, 'progress', progress)
      else
        redis.call('HSET', k.job .. id, 'events', told)
      end
      redis.call('PEXPIRE', events.key, EVENTS_MS)
      heard[#heard + 1] = id
    end
    replies[#replies + 1] = own and 1 or 0
    i = i + 2 * count
  end
  if #heard > 0 then redis.call('PUBLISH', k.told, table.concat(heard, ' ')) end
  return replies
end

-- events(id, after, count, bytes): up to so many events behind the entry `after` ('' for all), flat: entry, kind, value.
-- The one that exceeds the bytes is the last. One XRANGE for each ROUND of events.
local function events(keys, argv)
  local key, start, left, bytes = keys_of(keys[1]).events .. argv[1], '-', tonumber(argv[3]), tonumber(argv[4])
  if argv[2] ~= '' then start = '(' .. argv[2] end
  local replies = {}
  while left > 0 do
    local asked = math.min(left, ROUND)
    local rows = redis.call('XRANGE', key, start, '+', 'COUNT', asked)
    for _, row in ipairs(rows) do
      local n = #replies
      replies[n + 1], replies[n + 2], replies[n + 3] = row[1], row[2][1], row[2][2]
      bytes = bytes - #row[2][2]
      if bytes <= 0 then return replies end
    end
    if #rows < asked then break end
    left = left - asked
    start = '(' .. rows[asked][1]
  end
  return replies
end

export('tell', tell)
export('events', events, 'no-writes')
