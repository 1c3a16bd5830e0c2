-- What a push asked for its job. The record's field `options` is JSON: timeout_s, max_attempts, keep_ms, ttl_ms, tag,
-- traceparent; any may be missing. The field is missing if the push asked for nothing.

local function options_of(text)
  if not text or text == '' then return {} end
  return cjson.decode(text)
end

-- Keeps the options in a job's record. A job with a ttl expires unless it has been started by `from` + ttl.
-- Costs HSET if there are options, ZADD with a ttl.
local function keep_options(k, id, text, from)
  if not text or text == '' then return end
  redis.call('HSET', k.job .. id, 'options', text)
  local ttl = options_of(text).ttl_ms
  if ttl then redis.call('ZADD', k.expiring, whole(from + ttl), id) end
end

-- When a new job is due, if that is later than now: `more` has defer_ms (from now on) or due_ms (by the clock).
local function due_of(more, now)
  if more.defer_ms then return now + more.defer_ms end
  if more.due_ms and more.due_ms > now then return more.due_ms end
  return nil
end

local EXPIRED = { type = 'Expired', message = 'no worker has started the job within its ttl' }

-- Until when a job must have been started; nil if it has no ttl. Costs ZSCORE for a job with a ttl.
local function expires_at(k, id, options)
  return options.ttl_ms and tonumber(redis.call('ZSCORE', k.expiring, id) or nil) or nil
end

-- The error of a job that must not start any more. An attempt that was not counted does not count here either.
-- Costs what `expires_at` does.
local function late_error(k, id, options, attempts, now)
  local by = attempts == 0 and expires_at(k, id, options)
  return by and by <= now and EXPIRED or nil
end
