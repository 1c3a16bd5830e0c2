-- How a job expires that no worker has started in time (`ttl`), whether there are workers or not.

local MOST_EXPIRED = 200 -- by one call: each costs some ten commands

-- Fails such jobs. One that runs its first attempt may be handed back, and is looked at again after a lease.
-- Costs a job HMGET and ZREM, and if it fails XRANGE and what `bury` and `remove_entries` cost.
local function expire_unstarted(k, now, lease_ms, keep_ms)
  local removed, ended = {}, {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', k.expiring, '-inf', whole(now), 'LIMIT', 0, MOST_EXPIRED)) do
    local job_key = k.job .. id
    local r = redis.call('HMGET', job_key, 'status', 'entry', 'attempts', 'owner', 'queued', 'function', 'args', 'kwargs',
      'lane', 'options')
    local status, entry, attempts = r[1], r[2], tonumber(r[3] or 0)
    if status == 'processing' and attempts == 1 then
      redis.call('ZADD', k.expiring, whole(now + lease_ms), id)
    else
      redis.call('ZREM', k.expiring, id)
      -- Without a ttl it is another job than the one that had it and has ended: its id was pushed anew.
      if not status and attempts == 0 and (entry or r[6]) and options_of(r[10]).ttl_ms then
        local payload = { ['function'] = r[6], args = r[7], kwargs = r[8] or '' }
        if entry then
          payload = payload_of(k.stream, entry)
          keep_queued(job_key, entry)
          removed[#removed + 1] = entry
          if r[9] then leave_lane(k, id, r[9]) end
        end
        bury(k, job_key, id, payload, 0, r[4], cjson.encode(EXPIRED), end_ms(now, r[5] or entry_ms(entry)), keep_ms, '')
        redis.call('HDEL', job_key, 'function', 'args', 'kwargs', 'scheduled')
        redis.call('ZREM', k.deferred, id)
        ended[#ended + 1] = id
      end
    end
  end
  remove_entries(k, removed)
  publish_ended(k, ended)
end
