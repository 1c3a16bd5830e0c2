-- Lists of an owner's jobs, and how a job is forgotten.

-- list(owner, entry or '+', place, limit, status or '', tag or '', looks): an owner's jobs of this status and with this
-- tag, newest first: those at and before that place (from 1) of that entry of the index; all for '+'.
-- Replies {where to go on or '', then per job its id and what `view` replies}: at most `limit` jobs, of at most so many
-- that are looked at. Costs XREVRANGE for each ENTRIES, and what `view_of` costs for each job that is looked at.
local function list(keys, argv)
  local k, queue, replies = keys_of(keys[1]), {}, { '' }
  local key, from, limit, looks = k.index .. argv[1], argv[2], tonumber(argv[4]), tonumber(argv[7])
  while true do
    local rows = redis.call('XREVRANGE', key, from, '-', 'COUNT', ENTRIES)
    for _, row in ipairs(rows) do
      local count, id_at = jobs_of_entry(row[2])
      if row[1] == argv[2] then count = math.min(count, tonumber(argv[3])) end
      for place = count, 1, -1 do
        if limit == 0 or looks == 0 then
          replies[1] = row[1] .. '.' .. place
          return replies
        end
        looks = looks - 1
        local id = id_at(place)
        local found = view_of(k, id, 0, queue)
        if found and (argv[5] == '' or found[1] == argv[5]) and (argv[6] == '' or options_of(found[12]).tag == argv[6]) then
          limit = limit - 1
          replies[#replies + 1] = id
          replies[#replies + 1] = found
        end
      end
    end
    if #rows < ENTRIES then return replies end
    from = '(' .. rows[#rows][1]
  end
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
export('delete', delete, 'allow-oom')
