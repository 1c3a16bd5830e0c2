-- What one owner may push. {q}:limit:OWNER holds what has been used up, {q}:outstanding:OWNER its jobs that may not have
-- ended; the latter is set right only when it is full, so that an end costs nothing. {q}:share:OWNER has those that count
-- in its share of the backlog, which may be many: an end takes its job out. What another release has ended stays there
-- until the set is full, and is then looked for at random.

local DAY_MS = 86400 * 1000
local SCAN_MS = 1000 -- a set that is full is looked through once in this time

-- Whether an owner may have `count` jobs more that have not ended, `most` in all.
-- Costs SCARD; once in SCAN_MS, if it is full, also SMEMBERS, HMGET for each, SREM and HSET.
local function has_room(k, now, owner, count, most, scanned)
  local key = k.outstanding .. owner
  if redis.call('SCARD', key) + count <= most then return true end
  if scanned and scanned <= now and now - scanned < SCAN_MS then return false end
  redis.call('HSET', k.limit .. owner, 'scanned', whole(now))
  for _, id in ipairs(redis.call('SMEMBERS', key)) do
    local r = redis.call('HMGET', k.job .. id, 'status', 'queued', 'entry')
    if r[1] and r[1] ~= 'processing' or not (r[1] or r[2] or r[3]) then redis.call('SREM', key, id) end
  end
  return redis.call('SCARD', key) + count <= most
end

local function keep_ids(key, ids)
  for i = 1, #ids, CHUNK do redis.call('SADD', key, unpack(ids, i, math.min(i + CHUNK - 1, #ids))) end
  redis.call('PEXPIRE', key, 7 * DAY_MS)
end

-- The same for its share of the backlog. Costs SCARD; once in SCAN_MS, if it is full, also SRANDMEMBER, HMGET for CHUNK
-- jobs, SREM and HSET.
local function has_share(k, now, owner, count, most, scanned)
  local key = k.share .. owner
  if redis.call('SCARD', key) + count <= most then return true end
  if scanned and scanned <= now and now - scanned < SCAN_MS then return false end
  redis.call('HSET', k.limit .. owner, 'scanned', whole(now))
  for _, id in ipairs(redis.call('SRANDMEMBER', key, CHUNK)) do
    local r = redis.call('HMGET', k.job .. id, 'status', 'queued', 'entry')
    if r[1] and r[1] ~= 'processing' or not (r[1] or r[2] or r[3]) then redis.call('SREM', key, id) end
  end
  return redis.call('SCARD', key) + count <= most
end

-- Counts a push of jobs with `ids` and `size` bytes in all by an owner with `limits` {rate, burst (jobs/s, jobs), bytes (a day), outstanding,
-- share (of `max_backlog`)}.
-- More jobs than `burst` may come at once where that many have been saved up: what they are too many is waited for later.
-- Returns nil, or 'limited WHICH MS' if these are too many: which limit, and after how many ms to try again.
-- Costs HMGET, HSET and PEXPIRE; with `outstanding` or `share` also SADD for each CHUNK of jobs, PEXPIRE and what `has_room`
-- or `has_share` costs.
local function limited(k, now, owner, ids, limits, size, max_backlog)
  local key = k.limit .. owner
  local r = redis.call('HMGET', key, 'pushes', 'at', 'day', 'bytes', 'scanned')
  local day, pushes, bytes = math.floor(now / DAY_MS), limits.burst, 0
  if limits.rate then
    if r[1] then pushes = math.min(limits.burst, r[1] + math.max(0, now - r[2]) * limits.rate / 1000) end
    local wanted = math.min(#ids, limits.burst)
    if pushes < wanted then
      return 'limited pushes_per_s ' .. whole(math.ceil((wanted - pushes) / limits.rate * 1000))
    end
  end
  if limits.bytes then
    if tonumber(r[3] or nil) == day then bytes = tonumber(r[4]) end
    if bytes + size > limits.bytes then return 'limited bytes_per_day ' .. whole((day + 1) * DAY_MS - now) end
  end
  local scanned = tonumber(r[5] or nil)
  local most = limits.share and math.max(1, math.floor(limits.share * max_backlog))
  if most and not has_share(k, now, owner, #ids, most, scanned) then
    return 'limited backlog_share ' .. SCAN_MS
  end
  if limits.outstanding and not has_room(k, now, owner, #ids, limits.outstanding, scanned) then
    return 'limited outstanding ' .. SCAN_MS
  end
  if limits.outstanding then keep_ids(k.outstanding .. owner, ids) end
  if limits.share then keep_ids(k.share .. owner, ids) end
  redis.call('HSET', key, 'pushes', string.format('%.6f', (pushes or #ids) - #ids), 'at', whole(now), 'day', day,
    'bytes', whole(bytes + size))
  redis.call('PEXPIRE', key, 2 * DAY_MS)
end
