-- How an attempt ends: finish, defer (a retry), release.

-- Gives up results, those first that expire first, until no more than `most` bytes are kept; among them those that
-- have expired meanwhile, whose records are gone. `kept` is how many bytes are kept now.
local function give_up_results(k, kept, most)
  local error_json = cjson.encode({ type = 'ResultGivenUp',
    message = 'the result was given up before its time: results may take ' .. whole(most) .. ' bytes of memory' })
  while kept > most do
    local oldest = redis.call('ZPOPMIN', k.results)[1]
    if not oldest then return end
    local size, id = string.match(oldest, '^(%d+) (.*)$')
    if redis.call('HDEL', k.job .. id, 'result', 'notes') > 0 then
      redis.call('HSET', k.job .. id, 'error', error_json)
    end
    kept = redis.call('DECRBY', k.results_bytes, size)
  end
end

-- Counts a result among those that may take at most `most` bytes. Costs ZADD and INCRBY.
local function count_result(k, now, id, size, keep_ms, most)
  if keep_ms == 0 then return end
  redis.call('ZADD', k.results, keep_ms < 0 and '+inf' or whole(now + keep_ms), size .. ' ' .. id)
  local kept = redis.call('INCRBY', k.results_bytes, size)
  if kept > most then give_up_results(k, kept, most) end
end

-- finish(worker, results_memory_bytes, then 6 a job: id, attempt, 'finished'|'failed', keep_ms, result or error JSON,
--   notes JSON or '')
-- Acknowledges, deletes and publishes each job that the worker still holds and that has not ended. Results may take so
-- many bytes; 0 is any number.
-- Replies per job: 'done' (also when this very finish was done before) | 'lost'.
-- Costs a job: HMGET, HSET, HDEL and PEXPIRE (DEL if nothing is kept). Costs a call: TIME, XACK, XDEL, XINFO GROUPS,
-- XLEN and PUBLISH; XINFO STREAM and XSETID if the last delivered entry is among the deleted.
local function finish(keys, argv)
  local k = keys_of(keys[1])
  local worker, most, now = argv[1], tonumber(argv[2]), now_ms()
  local replies, remove, ended = {}, {}, {}
  for i = 3, #argv, 6 do
    local id, attempt, outcome, keep_ms, body = argv[i], argv[i + 1], argv[i + 2], tonumber(argv[i + 3]), argv[i + 4]
    local notes = argv[i + 5]
    local job_key = k.job .. id
    local own, r = owns(k, worker, id, attempt)
    if own then
      local entry = r[4]
      local queued = r[6] or whole(entry_ms(entry))
      local finished = end_ms(now, queued)
      if outcome == 'finished' then
        if notes == '' then
          redis.call('HSET', job_key, 'status', 'finished', 'queued', queued, 'finished', finished, 'result', body)
        else
          redis.call('HSET', job_key, 'status', 'finished', 'queued', queued, 'finished', finished, 'result', body,
            'notes', notes)
        end
        redis.call('HDEL', job_key, 'entry', 'seq')
        expire(job_key, keep_ms)
        if most > 0 then count_result(k, now, id, #body + #notes, keep_ms, most) end
      else
        keep_queued(job_key, entry)
        bury(k, job_key, id, payload_of(k.stream, entry), attempt, r[5], body, finished, keep_ms, worker)
      end
      remove[#remove + 1] = entry
      ended[#ended + 1] = id
      replies[#replies + 1] = 'done'
    else
      local again = r[1] == outcome and r[2] == worker and r[3] == attempt
      replies[#replies + 1] = again and 'done' or 'lost'
    end
  end
  remove_entries(k, remove)
  publish_ended(k, ended)
  return replies
end

-- defer(worker, id, attempt, defer_ms, keep_ms): a retry. The attempt stays counted. With defer_ms > 0 the job waits
-- outside the stream; with 0 it goes to the front of the queue. Replies 1, or 0 if the lease is lost.
-- If somebody deleted the job's entry, there is nothing to run again: the job fails and is kept for keep_ms.
local function defer(keys, argv)
  local k = keys_of(keys[1])
  local worker, id, attempt, defer_ms = argv[1], argv[2], argv[3], tonumber(argv[4])
  local job_key = k.job .. id
  local own, r = owns(k, worker, id, attempt)
  if not own then return 0 end
  local entry = r[4]
  local payload = payload_of(k.stream, entry)
  keep_queued(job_key, entry)
  if not payload then
    bury(k, job_key, id, nil, attempt, r[5], cjson.encode({ type = 'PayloadMissing',
      message = 'the job can not be retried: its entry was deleted from the stream' }),
      whole(now_ms()), tonumber(argv[5]), worker)
    remove_entries(k, { entry })
    publish_ended(k, { id })
    return 1
  end
  if defer_ms == 0 then
    hand_back(k, job_key, entry)
    wake(k, 1)
    return 1
  end
  redis.call('HSET', job_key, 'function', payload['function'], 'args', payload['args'],
    'kwargs', payload['kwargs'] or '')
  redis.call('HDEL', job_key, 'status', 'worker', 'entry', 'seq')
  redis.call('ZADD', k.deferred, whole(now_ms() + defer_ms), id)
  remove_entries(k, { entry })
  return 1
end

-- release(worker, then pairs id, attempt): hands jobs back for immediate claim. The attempt is uncounted, as the job is
-- not to blame. Replies how many of them were still held.
local function release(keys, argv)
  local k = keys_of(keys[1])
  local released = 0
  for i = 2, #argv, 2 do
    local own, r = owns(k, argv[1], argv[i], argv[i + 1])
    if own then
      hand_back(k, k.job .. argv[i], r[4])
      redis.call('HINCRBY', k.job .. argv[i], 'attempts', -1)
      released = released + 1
    end
  end
  wake(k, released)
  return released
end

export('finish', finish, 'allow-oom')
export('defer', defer, 'allow-oom')
export('release', release, 'allow-oom')
