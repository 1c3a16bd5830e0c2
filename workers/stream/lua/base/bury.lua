-- How a job fails.

-- Fails a job: its payload moves to the dead letters. A payload of nil, for an entry that somebody deleted, leaves
-- a failed job without a dead letter. keep_ms is for a job whose push did not say how long to keep it.
local function bury(k, job_key, id, payload, attempts, owner, error_json, finished, keep_ms, worker)
  local options = redis.call('HGET', job_key, 'options') or ''
  keep_ms = options_of(options).keep_ms or keep_ms
  local entry = payload and redis.call('XADD', k.dead, '*', 'id', id, 'function', payload['function'],
    'args', payload['args'], 'kwargs', payload['kwargs'] or '', 'owner', owner or '',
    'attempts', attempts, 'error', error_json, 'options', options)
  redis.call('HSET', job_key, 'status', 'failed', 'entry', entry or '', 'finished', finished,
    'attempts', attempts, 'error', error_json, 'worker', worker)
  local r = redis.call('HMGET', job_key, 'started', 'attempts', 'events', 'webhook', 'waits')
  end_events(k, id, 'failed', keep_ms, r)
  leave_share(k, id, r[5])
  if r[4] then notify(k, id, r[4], 'failed', finished, error_json) end
  expire(job_key, keep_ms)
end
