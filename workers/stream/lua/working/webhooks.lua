-- Webhooks: whom a job tells of what happens to it.
--
-- A record's `webhook` is JSON: {url, events}. Each event that it asks for becomes a job of an internal queue in the
-- same step as the event itself, so none is lost. The keys of that queue begin with `{q}:webhooks`; it has the same
-- functions, and gateways are its workers. Its jobs have the function `deliver` and the arguments id, event, time (ms),
-- url, owner, and what belongs to the event: an error or a value (JSON), or ''.
--
-- event                                 what belongs to it
-- started                               the attempt
-- progress, output                      {"fraction", "text"}; what a generator yielded
-- finished, failed, cancelled           ''; the error; ''

local DELIVERIES = ':webhooks:stream'
-- Progress and output are told only while fewer deliveries than this wait; ends are always told.
local MOST_WAITING = 10000

-- Costs, if the event is asked for: HGET, XINFO GROUPS, XLEN, XADD, HSET and the waking of one worker.
notify = function(k, id, webhook, event, at, value, place)
  local asked = cjson.decode(webhook)
  if not contains(asked.events, event) then return end
  local w = keys_of(string.sub(k.stream, 1, -8) .. DELIVERIES)
  local group = group_of(w)
  if place and group['lag'] >= MOST_WAITING then return end
  local message = id .. '.' .. event .. '.' .. (place or at)
  if redis.call('EXISTS', w.job .. message) == 1 then return end
  local owner = redis.call('HGET', k.job .. id, 'owner') or ''
  local entry = append(w, nil, message, 'deliver', cjson.encode({ id, event, at, asked.url, owner, value }))
  redis.call('HSET', w.job .. message, 'seq', whole(group['entries-read'] + group['lag'] + 1), 'entry', entry,
    'owner', owner)
  wake(w, 1)
end
