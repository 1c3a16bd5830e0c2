-- How a batch goes: with the records of its jobs. Only a look at them tells, as other releases end jobs, too.

local BATCH_LOOK_MS = 10 * 60 * 1000
local MOST_LOOKS = 10 -- in one sweep

-- Looks whether the jobs of some batches still have records. Costs a batch EXISTS for up to CHUNK jobs, HMGET, ZADD, HSET.
local function look_at_batches(k, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', k.batches, '-inf', whole(now), 'LIMIT', 0, MOST_LOOKS)) do
    local r = redis.call('HMGET', k.batch .. id, 'count', 'gone')
    local count, gone = tonumber(r[1] or 0), tonumber(r[2] or 0)
    local stop = math.min(count, gone + CHUNK)
    while gone < stop and redis.call('EXISTS', k.job .. batch_job_id(id, gone)) == 0 do gone = gone + 1 end
    if gone >= count then
      redis.call('DEL', k.batch .. id)
      redis.call('ZREM', k.batches, id)
    else
      redis.call('HSET', k.batch .. id, 'gone', gone)
      redis.call('ZADD', k.batches, whole(gone == stop and now or now + BATCH_LOOK_MS), id)
    end
  end
end
