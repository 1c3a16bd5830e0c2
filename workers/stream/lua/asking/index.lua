-- Which jobs an owner has, in the order of their pushes. {q}:index:OWNER is a stream; an entry has one field:
--
-- field   value
-- jobs    ids that one call of `push` has accepted, with spaces between
-- batch   a batch's id and its size
--
-- So a push under load costs hardly more than without. An entry goes when none of its jobs has a record any more; until
-- then an id in it may have none.

local MOST_OWNERS = 5 -- whose indices one sweep looks through
local ENTRIES = 10 -- read at once
local MOST_LOOKS = 5000 -- at jobs, in one sweep

local function batch_job_id(id, place) return id .. string.format('%08x', place) end

-- Adds an entry to an owner's index. Costs XADD; another one and HSET if it is the first.
local function add_to_index(k, owner, field, value)
  if redis.call('XADD', k.index .. owner, 'NOMKSTREAM', '*', field, value) then return end
  redis.call('XADD', k.index .. owner, '*', field, value)
  redis.call('HSET', k.owners, owner, '0-0')
end

-- The ids of an entry's jobs: how many, and a function of their place from 1 on.
local function jobs_of_entry(fields)
  if fields[1] == 'batch' then
    local id, size = string.match(fields[2], '^(%S+) (%d+)$')
    return tonumber(size), function(place) return batch_job_id(id, place - 1) end
  end
  local ids = {}
  for id in string.gmatch(fields[2], '%S+') do ids[#ids + 1] = id end
  return #ids, function(place) return ids[place] end
end

-- Whether none of an entry's jobs has a record any more, and how many were looked at. EXISTS for each of these.
local function is_over(k, fields)
  if fields[1] == 'batch' then
    return redis.call('EXISTS', k.batch .. string.match(fields[2], '^%S+')) == 0, 1
  end
  local count, id_at = jobs_of_entry(fields)
  for place = 1, count do
    if redis.call('EXISTS', k.job .. id_at(place)) == 1 then return false, place end
  end
  return true, count
end

-- Removes from these entries those that are over. Returns how many jobs were looked at, and whether all are removed.
local function remove_over(k, key, rows)
  local gone, looks = {}, 0
  for _, row in ipairs(rows) do
    local over, looked = is_over(k, row[2])
    looks = looks + looked
    if over then gone[#gone + 1] = row[1] end
  end
  if #gone > 0 then redis.call('XDEL', key, unpack(gone)) end
  return looks, #gone == #rows
end

-- Removes the oldest entries of some indices, up to one that is not over, and then a few behind the last ones that were
-- looked at: a job that is kept for long does not keep all that came later.
-- Costs an owner two XRANGE or more, EXISTS for each job that is looked at, XDEL and HSET.
local function trim_index(k)
  local owners, looks = redis.call('HRANDFIELD', k.owners, MOST_OWNERS, 'WITHVALUES'), 0
  for i = 1, #owners, 2 do
    local key, are_over, rows = k.index .. owners[i], true, nil
    while are_over and looks < MOST_LOOKS do
      rows = redis.call('XRANGE', key, '-', '+', 'COUNT', ENTRIES)
      if #rows == 0 then break end
      local looked
      looked, are_over = remove_over(k, key, rows)
      looks = looks + looked
    end
    if rows and #rows == 0 then
      redis.call('DEL', key)
      redis.call('HDEL', k.owners, owners[i])
    else
      rows = redis.call('XRANGE', key, '(' .. owners[i + 1], '+', 'COUNT', ENTRIES)
      looks = looks + remove_over(k, key, rows)
      redis.call('HSET', k.owners, owners[i], #rows == ENTRIES and rows[#rows][1] or '0-0')
    end
  end
end
