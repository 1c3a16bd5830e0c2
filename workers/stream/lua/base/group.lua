-- The stream and its consumer group: reading, appending and removing entries with exact counters.

-- Before Redis 7.2.5 and Valkey 8 XREADGROUP tells neither the append-only file nor the replicas how many entries the
-- group has read (redis/redis#12898). After a restart the lag would count all jobs there ever were. Valkey calls itself
-- Redis 7.2.4, whatever its own version is; Redis raises an error if it is asked for Valkey's.
local forgets
local function forgets_entries_read()
  if forgets == nil then
    local is_valkey, version = pcall(function() return redis.VALKEY_VERSION_NUM end)
    forgets = redis.REDIS_VERSION_NUM < 0x00070205 and not (is_valkey and version and version >= 0x00080000)
  end
  return forgets
end

-- The group's counters, or nil without it; `ordered` if the order of what waits counts (order.lua). Never writes.
local function find_group(k)
  local ok, groups = pcall(redis.call, 'XINFO', 'GROUPS', k.stream)
  if not ok or groups.err then return nil end
  local found, is_ordered
  for _, g in ipairs(groups) do
    local info = map_of(g)
    if info['name'] == GROUP then found = info elseif info['name'] == 'ordered' then is_ordered = true end
  end
  if found then found['ordered'] = is_ordered end
  return found
end

-- The group's counters, exact, and the stream's length. Creates stream and group if they are missing.
-- Costs XINFO GROUPS and XLEN; XINFO STREAM, XSETID and at times XGROUP SETID if the counters have to be set right.
--
-- XDEL leaves a mark in the stream (max-deleted-entry-id). Unless that mark is older than the group's last delivered
-- entry, the server answers lag = nil; and a deleted entry that was never read stays counted. The true lag is known:
-- all entries of the stream but the pending ones. So mark and count are set back to that, here whenever a lag is needed
-- (an operator may have touched the stream) and after each deletion. After a deletion a lag that looks right is not
-- enough: if the last delivered entry is among the `removed`, or `unread` entries are, it would be wrong after the next
-- push or read.
local function group_of(k, removed, unread)
  local group = find_group(k)
  if not group then
    redis.call('XGROUP', 'CREATE', k.stream, GROUP, '0', 'MKSTREAM', 'ENTRIESREAD', '0')
    return group_of(k)
  end
  group['length'] = redis.call('XLEN', k.stream)
  local read, waiting = group['entries-read'], math.max(0, group['length'] - group['pending'])
  local is_marked = removed and (unread > 0 or contains(removed, group['last-delivered-id']))
  if read and group['lag'] == waiting and not is_marked then return group end
  local info = map_of(redis.call('XINFO', 'STREAM', k.stream))
  if not read or read < group['pending'] then
    read = math.max(info['entries-added'] - waiting, group['pending'])
    redis.call('XGROUP', 'SETID', k.stream, GROUP, group['last-delivered-id'], 'ENTRIESREAD', whole(read))
  end
  if info['last-generated-id'] ~= '0-0' then
    redis.call('XSETID', k.stream, info['last-generated-id'],
      'ENTRIESADDED', whole(read + waiting), 'MAXDELETEDID', '0-1')
  end
  group['lag'], group['entries-read'] = waiting, read
  return group
end

-- The ids of the entries that one call appends, `now`, behind the first `seq` jobs in the order of pushes: the time and
-- the job's place in that order. The server counts on from the first one.
local function ids_from(seq, now)
  local ms = whole(now)
  return { next = ms .. '-' .. whole(seq + 1), others = ms .. '-*', seq = seq, ms = ms }
end

-- Adds a job's entry; returns its id. One XADD. If the stream has had a later id than the first of `ids`, as when the
-- clock was set back, the server chooses all of them, and `ids.next` is '*': then they do not tell the place
-- (`keep_place`). `plain_owner` is the owner, or '', of a job that asked for nothing: the order of its entry's fields
-- then tells a claim how many its record has, so that it need not be read.
local function append(k, ids, id, function_name, args, kwargs, plain_owner)
  local at, entry = ids and ids.next or '*', nil
  if plain_owner == '' then
    entry = redis.pcall('XADD', k.stream, at, 'id', id, 'args', args, 'function', function_name)
  elseif plain_owner then
    entry = redis.pcall('XADD', k.stream, at, 'function', function_name, 'id', id, 'args', args)
  elseif kwargs and kwargs ~= '' then
    entry = redis.pcall('XADD', k.stream, at, 'id', id, 'function', function_name, 'args', args, 'kwargs', kwargs)
  else
    entry = redis.pcall('XADD', k.stream, at, 'id', id, 'function', function_name, 'args', args)
  end
  local is_added = type(entry) == 'string'
  if not is_added and at == '*' then error(entry) end
  if ids then
    ids.next = is_added and at ~= '*' and ids.others or '*'
    if is_added then ids.seq = ids.seq + 1 end
  end
  return is_added and entry or append(k, ids, id, function_name, args, kwargs, plain_owner)
end

-- Delivers up to `count` entries that no worker was given yet to this worker. One XREADGROUP.
local function read_new(k, worker, count)
  local read = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', count, 'STREAMS', k.stream, '>')
  if not read then return {} end
  if forgets_entries_read() then
    local group = find_group(k)
    redis.call('XGROUP', 'SETID', k.stream, GROUP, group['last-delivered-id'], 'ENTRIESREAD',
      whole(group['entries-read'] or -1))
  end
  return read[1][2]
end

-- What an entry holds: id, function, args, kwargs ('' if there are none); and if `append` was told that the job is
-- plain, how many fields its record has until its first claim: entry, and perhaps owner.
local function fields_of(flat)
  if flat[1] == 'id' and flat[3] == 'args' and flat[5] == 'function' and not flat[7] then
    return flat[2], flat[6], flat[4], '', 1
  elseif flat[1] == 'function' and flat[3] == 'id' and flat[5] == 'args' and not flat[7] then
    return flat[4], flat[2], flat[6], '', 2
  elseif flat[1] == 'id' and flat[3] == 'function' and flat[5] == 'args' then
    return flat[2], flat[4], flat[6], flat[7] == 'kwargs' and flat[8] or ''
  end
  local map = map_of(flat)
  return map['id'] or '', map['function'] or '', map['args'] or '', map['kwargs'] or ''
end

-- The fields of an entry, or nil if there is no such entry. One XRANGE.
local function payload_of(stream, entry)
  local rows = redis.call('XRANGE', stream, entry, entry)
  if #rows == 0 then return nil end
  return map_of(rows[1][2])
end

-- What a claim needs of the group's counters if nobody has read them: `pending` says whether entries are released, and
-- `lag` that some wait, which the claim sees when it reads them; `released` is 0 if none is. Costs EXISTS and XPENDING;
-- what `group_of` costs if the order has ever counted.
local function group_unread(k)
  if redis.call('EXISTS', k.order) == 1 then return group_of(k) end
  local released = redis.pcall('XPENDING', k.stream, GROUP, '-', '+', 1, RELEASED)
  if released.err then return group_of(k) end -- there is no group
  return { pending = #released, released = #released, lag = 1 }
end

-- Deletes entries that were acknowledged, if they are the oldest of the stream: XDEL looks for each from the beginning
-- of its node, where up to 100 entries are. The group's counters stay right. Returns whether it did; else XDEL is
-- needed. What XTRIM deletes is neither pending nor waits: the last of the entries was delivered, and so were all before
-- it, unless the order counts; and nothing up to it is pending. Costs XPENDING; EXISTS and XTRIM if none of the older
-- ones is.
local LEAST_TRIMMED = 4 -- entries
local function trim_entries(k, entries)
  local last = entries[#entries]
  if #redis.call('XPENDING', k.stream, GROUP, '-', last, 1) > 0 then return false end
  if redis.call('EXISTS', k.order) == 1 then return false end
  local ms, number = string.match(last, '^(%d+)-(%d+)$')
  return redis.call('XTRIM', k.stream, 'MINID', ms .. '-' .. whole(number + 1)) == #entries
end

-- Acknowledges and deletes entries, and sets lag and pending right. Returns the group's counters if it has read them.
-- XACK, and XDEL and group_of or, with some entries, `trim_entries`, for any number of entries up to CHUNK.
local function remove_entries(k, entries)
  local unread = 0
  for i = 1, #entries, CHUNK do
    local last = math.min(i + CHUNK - 1, #entries)
    unread = unread - redis.call('XACK', k.stream, GROUP, unpack(entries, i, last))
  end
  if unread == -#entries and #entries >= LEAST_TRIMMED and trim_entries(k, entries) then return nil end
  for i = 1, #entries, CHUNK do
    unread = unread + redis.call('XDEL', k.stream, unpack(entries, i, math.min(i + CHUNK - 1, #entries)))
  end
  if #entries > 0 then return group_of(k, entries, unread) end
end

-- Whether an entry added now would be the next one to be claimed.
local function is_queue_empty(k, group)
  return group['lag'] == 0 and not group['ordered']
    and (group['pending'] == 0 or #redis.call('XPENDING', k.stream, GROUP, '-', '+', 1, RELEASED) == 0)
end

-- How many pending entries wait for a worker. Up to a ROUND of them are counted one by one, which takes the same time
-- with any number of workers; the group's summary, read for more, lists every worker that holds a job.
local function released_of(k)
  local some = #redis.call('XPENDING', k.stream, GROUP, '-', '+', ROUND, RELEASED)
  if some < ROUND then return some end
  for _, row in ipairs(redis.call('XPENDING', k.stream, GROUP)[4] or {}) do
    if row[1] == RELEASED then return tonumber(row[2]) end
  end
  return 0
end

-- open(): makes sure that stream and group exist. Replies 1.
local function open(keys)
  group_of(keys_of(keys[1]))
  return 1
end

export('open', open, 'allow-oom')
