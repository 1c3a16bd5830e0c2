-- The order of jobs that wait, where it is not just that of their pushes: some have a priority, or names take turns.
--
-- Every job is an entry of the one stream all the same, so lag and pending count it. The second group `ordered` is there
-- while the order counts: XINFO GROUPS, which every push and claim reads, tells of it, so a queue without priorities pays
-- nothing. The group `workers` is then set to the stream's end, and nobody reads from it: a claim picks entries in order
-- and takes them with XCLAIM FORCE. What waits is one of
--   released        pending with the consumer `released`
--   the head        entries behind `cursor` up to `last`, which waited when the order began; all of them are normal
--   in a lane       {q}:lane:BAND:NAME: ids by place. BAND is 0 (high), 1 (normal) or 2 (low); NAME is the owner if names
--                   take turns, or else empty. A record's `lane` is "BAND PLACE NAME"
--   not yet seen    entries behind the end that the group was set to: another release pushed them (`settle`)
-- {q}:turns has the lanes that are not empty, as "BAND NAME", by band and turn. A lane that comes in is the last, and so is
-- one from which a job was picked.
-- A lane may still have a job that another release has claimed or ended: who picks it sees that.

local ORDERED = 'ordered'
local HIGH, NORMAL, LOW = 0, 1, 2
local BANDS = { high = HIGH, normal = NORMAL, low = LOW }
local BAND = 1e15 -- turns of one band have scores from BAND * band on
local LOW_EVERY = 10 -- of so many jobs that are picked one is low, if one waits
local MOST_STALE = 1000 -- ids in lanes that do not wait any more, looked at by one call

local function lane_key(k, band, name) return k.lane .. band .. ':' .. name end

-- Has the group `workers` be at an entry, having read so many. One XGROUP SETID.
local function deliver_to(k, order, entry)
  order.delivered = entry
  redis.call('XGROUP', 'SETID', k.stream, GROUP, entry, 'ENTRIESREAD', whole(order.read))
end

-- The order, if the group's counters say that it counts; they are exact. One HMGET then.
local function load_order(k, group)
  if not group['ordered'] then return nil end
  local r = redis.call('HMGET', k.order, 'cursor', 'last', 'passed', 'place', 'turns')
  return { cursor = r[1] or '', last = r[2] or '', passed = tonumber(r[3] or 0), place = tonumber(r[4] or 0),
    takes_turns = r[5] == '1', read = group['entries-read'], delivered = group['last-delivered-id'], seen = {} }
end

-- Begins it: what waits now is its head. Costs XGROUP CREATE, XINFO STREAM, HSET, XGROUP SETID and what `group_of` and
-- `load_order` cost.
local function begin_order(k)
  redis.call('XGROUP', 'CREATE', k.stream, ORDERED, '$')
  local group = group_of(k)
  local last = map_of(redis.call('XINFO', 'STREAM', k.stream))['last-generated-id']
  redis.call('HSET', k.order, 'cursor', group['last-delivered-id'], 'last', last)
  local order = load_order(k, group)
  deliver_to(k, order, last)
  return order
end

-- The order, which begins if it does not count yet. Costs what `group_of` and the two above cost.
local function order_of(k)
  return load_order(k, group_of(k)) or begin_order(k)
end

-- One HSET, and XGROUP SETID.
local function save_order(k, order)
  redis.call('HSET', k.order, 'cursor', order.cursor, 'passed', order.passed, 'place', whole(order.place),
    'turns', order.takes_turns and 1 or 0)
  deliver_to(k, order, order.delivered)
end

-- Gives a lane the last turn of its band. One ZADD.
local function take_turn(k, order, band, turn)
  order.place = order.place + 1
  redis.call('ZADD', k.turns, whole(band * BAND + order.place), turn)
end

-- Puts a job into its lane: behind all others of it, or at the `place` that it had. Returns what its record says of that.
-- Costs ZADD, and ZSCORE for the first job of a lane in a call; ZADD if the lane was empty.
local function line_up(k, order, id, band, owner, place)
  local name = order.takes_turns and owner or ''
  if not place then
    order.place = order.place + 1
    place = order.place
  end
  redis.call('ZADD', lane_key(k, band, name), whole(place), id)
  local turn = band .. ' ' .. name
  if not order.seen[turn] then
    order.seen[turn] = true
    if not redis.call('ZSCORE', k.turns, turn) then take_turn(k, order, band, turn) end
  end
  return band .. ' ' .. whole(place) .. ' ' .. name
end

-- What a record's `lane` says: band, place and name.
local function lane_of(text)
  local band, place, name = string.match(text, '^(%d) (%d+) (.*)$')
  return tonumber(band), tonumber(place), name
end

-- Takes a job out of its lane. One ZREM.
local function leave_lane(k, id, lane)
  local band, _, name = lane_of(lane)
  redis.call('ZREM', lane_key(k, band, name), id)
end

-- The band of a job by its options.
local function band_of(options)
  if not options or options == '' then return NORMAL end
  return BANDS[cjson.decode(options).priority or 'normal'] or NORMAL
end

-- Lines up what another release has pushed, up to a ROUND of it. Returns whether that is all.
-- Costs XRANGE; HMGET and HSET a job.
local function settle(k, order)
  local rows = redis.call('XRANGE', k.stream, '(' .. order.delivered, '+', 'COUNT', ROUND)
  for _, row in ipairs(rows) do
    local id = fields_of(row[2])
    local r = redis.call('HMGET', k.job .. id, 'entry', 'status', 'lane', 'options', 'owner')
    if r[1] == row[1] and not r[2] then
      local band, _, name = lane_of(r[3] or '')
      if not (band and redis.call('ZSCORE', lane_key(k, band, name), id)) then
        redis.call('HSET', k.job .. id, 'lane', line_up(k, order, id, band_of(r[4]), r[5] or ''))
      end
    end
    order.delivered = row[1]
  end
  return #rows < ROUND
end

-- How many jobs wait in the lanes, by band. ZRANGE, and ZCARD for each lane.
local function lined_up(k)
  local sizes = { [HIGH] = 0, [NORMAL] = 0, [LOW] = 0 }
  for _, turn in ipairs(redis.call('ZRANGE', k.turns, 0, -1)) do
    local band, name = string.match(turn, '^(%d) (.*)$')
    band = tonumber(band)
    sizes[band] = sizes[band] + redis.call('ZCARD', lane_key(k, band, name))
  end
  return sizes
end

-- The lane whose turn it is, of those from this band on. One ZRANGEBYSCORE.
local function turn_from(k, band)
  local found = redis.call('ZRANGEBYSCORE', k.turns, whole(band * BAND), '+inf', 'LIMIT', 0, 1)
  if not found[1] then return nil end
  local of, name = string.match(found[1], '^(%d) (.*)$')
  return { member = found[1], band = tonumber(of), name = name }
end

-- The entry of the lane's next job that still waits, or nil. Costs ZRANGE, ZREM and HMGET, and ZREM or ZADD for the turn.
local function next_of_lane(k, order, turn)
  local key = lane_key(k, turn.band, turn.name)
  while order.stale < MOST_STALE do
    local ids = redis.call('ZRANGE', key, 0, 1)
    if #ids < 2 then redis.call('ZREM', k.turns, turn.member) end
    if #ids == 0 then return nil end
    redis.call('ZREM', key, ids[1])
    local r = redis.call('HMGET', k.job .. ids[1], 'entry', 'status')
    if r[1] and not r[2] then
      if #ids > 1 and turn.name ~= '' then take_turn(k, order, turn.band, turn.member) end
      return r[1]
    end
    order.stale = order.stale + 1
  end
  return nil
end

-- The entry of the next job in a band from this one on, or nil.
local function next_in_line(k, order, from, upto)
  while order.stale < MOST_STALE do
    local turn = turn_from(k, from)
    if not turn or turn.band > upto then return nil end
    local entry = next_of_lane(k, order, turn)
    if entry then return entry, turn.band end
  end
  return nil
end

-- Picks up to `count` jobs in order: high ones, released ones, the head, normal ones, low ones; and a low one first if
-- nine others were picked since the last. Returns their entries, those of released ones only if they are wanted.
-- If it returns fewer, no more wait, or too many stale ids were in the way: then `order.stale` says so.
-- Costs XPENDING; XRANGE while there is a head; a job two ZRANGEBYSCORE and what `next_of_lane` costs.
local function pick(k, order, count, wants_released)
  local entries, is_picked, released, head = {}, {}, nil, nil
  local function next_released()
    if not wants_released then return nil end
    released = released or redis.call('XPENDING', k.stream, GROUP, '-', '+', count, RELEASED)
    local row = table.remove(released, 1)
    return row and row[1]
  end
  local function next_of_head()
    if order.cursor == order.last then return nil end
    head = head or redis.call('XRANGE', k.stream, '(' .. order.cursor, order.last, 'COUNT', count)
    local row = table.remove(head, 1)
    order.cursor = row and row[1] or order.last
    return row and row[1], NORMAL
  end
  order.stale = 0
  while #entries < count do
    local entry, band
    if order.passed >= LOW_EVERY - 1 then
      entry, band = next_in_line(k, order, LOW, LOW)
      order.passed = 0
    end
    if not entry then entry, band = next_in_line(k, order, HIGH, HIGH) end
    if not entry then entry = next_released() end
    local is_released = entry and not band
    if not entry then entry, band = next_of_head() end
    if not entry then entry, band = next_in_line(k, order, NORMAL, LOW) end
    if not entry then break end
    if not is_picked[entry] then
      is_picked[entry] = true
      entries[#entries + 1] = entry
      if not is_released then order.read = order.read + 1 end
      order.passed = band == LOW and 0 or order.passed + 1
    end
  end
  return entries
end

-- Ends the order if no job waits any more: the next ones are read from the stream again. One XGROUP DESTROY.
local function end_order(k)
  redis.call('XGROUP', 'DESTROY', k.stream, ORDERED)
end
