-- Lists of an owner's jobs and of everybody's, and how a job is forgotten.

-- A page that is being filled: jobs of this status and with this tag ('' is any), at most `limit`, of at most `looks`
-- that are looked at.
local function new_page(stream, limit, status, tag, looks)
  return {
    k = keys_of(stream), queue = {}, replies = { '' },
    limit = tonumber(limit), status = status, tag = tag, looks = tonumber(looks),
  }
end

-- Adds the wanted jobs of an entry of an index to a page, the last one first, from place `last` on if it is given.
-- Returns the place (from 1) before which the page was full, or nil. What `view_of` costs for each job that is looked at.
local function add_entry(page, fields, last)
  local count, id_at = jobs_of_entry(fields)
  for place = math.min(count, last or count), 1, -1 do
    if page.limit == 0 or page.looks == 0 then return place end
    page.looks = page.looks - 1
    local id = id_at(place)
    local found = view_of(page.k, id, 0, page.queue)
    if found and (page.status == '' or found[1] == page.status)
      and (page.tag == '' or options_of(found[12]).tag == page.tag) then
      page.limit = page.limit - 1
      page.replies[#page.replies + 1] = id
      page.replies[#page.replies + 1] = found
    end
  end
end

-- Goes on to the next older entry of an owner's index. Returns whether there is one. One XREVRANGE for each `count`.
local function next_entry(k, reader, count)
  if #reader.rows == 0 then
    reader.rows = redis.call('XREVRANGE', k.index .. reader.owner, reader.from, '-', 'COUNT', count)
    if #reader.rows == 0 then return false end
  end
  reader.row = table.remove(reader.rows, 1)
  reader.from = '(' .. reader.row[1]
  local ms, seq = string.match(reader.row[1], '^(%d+)-(%d+)$')
  reader.ms, reader.seq = tonumber(ms), tonumber(seq)
  return true
end

-- Whether one reader's entry is older than another's. The indices may have entries of the same id.
local function is_older(one, other)
  if one.ms ~= other.ms then return one.ms < other.ms end
  if one.seq ~= other.seq then return one.seq < other.seq end
  return one.owner < other.owner
end

-- Puts a reader into its place among others, the newest of which is the last.
local function insert_reader(readers, reader)
  local low, high = 1, #readers + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_older(readers[middle], reader) then low = middle + 1 else high = middle end
  end
  table.insert(readers, low, reader)
end

-- Reads an owner's index for a list that goes on at an entry ('+': begins) of the owner `last`, and there before `place`.
-- Of entries with one id, those of the greatest owner come first.
local function new_reader(owner, entry, last, place)
  local is_done = entry ~= '+' and owner > last
  return { owner = owner, rows = {}, from = (is_done and '(' or '') .. entry,
    first = owner == last and entry or nil, place = tonumber(place) }
end

-- Adds the wanted jobs of a reader's entry to a page. Returns where the page was full, as `list` replies it, or nil.
local function add_row(page, reader)
  local place = add_entry(page, reader.row[2], reader.row[1] == reader.first and reader.place or nil)
  return place and reader.row[1] .. '.' .. place .. '.' .. reader.owner
end

-- list(entry or '+', place, last, limit, status or '', tag or '', looks, owner): an owner's jobs of this status and with
-- this tag, newest first; all for '+', or else those that come in the list of all at and behind a place (from 1) of that
-- entry of the index of the owner `last`.
-- Replies {where to go on (entry, place and owner) or '', then per job its id and what `view` replies}: at most `limit`
-- jobs, of at most so many that are looked at. Costs XREVRANGE for each ENTRIES, and what `view_of` costs for each job
-- that is looked at.
local function list(keys, argv)
  local page = new_page(keys[1], argv[4], argv[5], argv[6], argv[7])
  local reader = new_reader(argv[8], argv[1], argv[3], argv[2])
  while next_entry(page.k, reader, ENTRIES) do
    local where = add_row(page, reader)
    if where then
      page.replies[1] = where
      break
    end
  end
  return page.replies
end

-- list_owners(cursor, entry or '+', owner, count): some owners, about `count`, that have jobs at and before that place of
-- the list of all. Replies {cursor, '0' at the end, then per owner its name and its newest such entry}.
-- Costs HSCAN, and an owner XREVRANGE.
local function list_owners(keys, argv)
  local k = keys_of(keys[1])
  local scanned = redis.call('HSCAN', k.owners, argv[1], 'COUNT', argv[4])
  local replies = { scanned[1] }
  for i = 1, #scanned[2], 2 do
    local reader = new_reader(scanned[2][i], argv[2], argv[3])
    if next_entry(k, reader, 1) then
      replies[#replies + 1] = reader.owner
      replies[#replies + 1] = reader.row[1]
    end
  end
  return replies
end

-- list_all(entry or '+', place, last, limit, status or '', tag or '', looks, then owners): the jobs of all these owners,
-- as `list`. Costs XREVRANGE for each owner and each ENTRIES, and `view_of` as there.
local function list_all(keys, argv)
  local page, readers = new_page(keys[1], argv[4], argv[5], argv[6], argv[7]), {}
  for i = 8, #argv do
    local reader = new_reader(argv[i], argv[1], argv[3], argv[2])
    if next_entry(page.k, reader, 1) then readers[#readers + 1] = reader end
  end
  table.sort(readers, is_older)
  while #readers > 0 do
    local reader = table.remove(readers)
    local where = add_row(page, reader)
    if where then
      page.replies[1] = where
      return page.replies
    end
    if next_entry(page.k, reader, ENTRIES) then insert_reader(readers, reader) end
  end
  return page.replies
end

-- Takes a finished job's result out of those that are counted. Costs two HSTRLEN and ZREM, and DECRBY if it was counted.
local function uncount_result(k, id, job_key, told)
  local size = redis.call('HSTRLEN', job_key, 'result') + redis.call('HSTRLEN', job_key, 'notes')
    + tonumber(string.match(told or '', '%d+$') or 0)
  if redis.call('ZREM', k.results, whole(size) .. ' ' .. id) == 1 then
    redis.call('DECRBY', k.results_bytes, whole(size))
  end
end

-- delete(status or '', then ids): forgets those of these jobs that have this status, with their inputs, results and events;
-- one that has not ended is cancelled first. Replies how many.
-- Costs a job HMGET, DEL and ZREM; XDEL if it failed; what `uncount_result` costs if it finished.
local function delete(keys, argv)
  local k, removed, ended, count = keys_of(keys[1]), {}, {}, 0
  for i = 2, #argv do
    local id, job_key = argv[i], k.job .. argv[i]
    local r = redis.call('HMGET', job_key, 'status', 'entry', 'queued', 'scheduled', 'events')
    local status = r[1] or (r[2] and 'queued') or (r[3] and (r[4] and 'scheduled' or 'queued'))
    if status and (argv[1] == '' or argv[1] == status) then
      local _, is_new = cancel_job(k, id, -1, removed)
      if is_new then ended[#ended + 1] = id end
      if status == 'failed' and r[2] and r[2] ~= '' then redis.call('XDEL', k.dead, r[2]) end
      if status == 'finished' then uncount_result(k, id, job_key, r[5]) end
      redis.call('ZREM', k.expiring, id)
      redis.call('DEL', job_key, k.events .. id)
      count = count + 1
    end
  end
  remove_entries(k, removed)
  publish_ended(k, ended)
  return count
end

export('list', list, 'no-writes')
export('list_all', list_all, 'no-writes')
export('list_owners', list_owners, 'no-writes')
export('delete', delete, 'allow-oom')
