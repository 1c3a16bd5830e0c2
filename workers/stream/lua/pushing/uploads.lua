-- What one owner may upload within an hour, whether or not a push takes it: an upload is kept for an hour, so that this
-- bounds what is kept. {q}:limit:OWNER holds what is left, `uploads` and `upload_bytes` at the time `upload_at`.

local HOUR_MS = 3600 * 1000

-- What is left of an hour's `most` at a time, if `left` was left at the time `at`.
local function saved_up(left, at, now, most)
  if not (left and at) then return most end
  return math.min(most, left + math.max(0, now - at) * most / HOUR_MS)
end

-- count_upload(owner, uploads, bytes, uploads an hour, bytes an hour): counts uploads of so many bytes, or gives those back
-- that did not come (negative ones). As many as in an hour may come at once. Replies {''}, or {which limit, after how many
-- ms to try again}, and then nothing is counted. Costs HMGET, HSET and PEXPIRE.
local function count_upload(keys, argv)
  local key, now = keys_of(keys[1]).limit .. argv[1], now_ms()
  local r = redis.call('HMGET', key, 'uploads', 'upload_bytes', 'upload_at')
  local left = {}
  for i, name in ipairs({ 'uploads_per_hour', 'upload_bytes_per_hour' }) do
    local wanted, most = tonumber(argv[i + 1]), tonumber(argv[i + 3])
    left[i] = saved_up(tonumber(r[i] or nil), tonumber(r[3] or nil), now, most) - wanted
    if left[i] < 0 and wanted > 0 then return { name, whole(math.ceil(-left[i] / most * HOUR_MS)) } end
    left[i] = math.min(most, left[i])
  end
  redis.call('HSET', key, 'uploads', string.format('%.6f', left[1]), 'upload_bytes', string.format('%.3f', left[2]),
    'upload_at', whole(now))
  redis.call('PEXPIRE', key, 2 * DAY_MS)
  return { '' }
end

export('count_upload', count_upload)
