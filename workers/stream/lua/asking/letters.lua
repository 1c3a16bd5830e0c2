-- Dead letters by their owner and their kind, without their payloads.

-- letters(owner, 1 for anybody's, place or '+', limit, kind or '', looks): dead letters whose error has this type, newest
-- first, from behind an entry on. Replies {the entry to go on behind or '', then per letter entry, id, function, attempts,
-- error}: at most `limit`, of at most so many that are looked at. Costs XREVRANGE for each ENTRIES.
local function letters(keys, argv)
  local k, replies = keys_of(keys[1]), { '' }
  local from, limit, looks = argv[3], tonumber(argv[4]), tonumber(argv[6])
  if string.match(from, '^%(0+%-0+$') then return replies end -- nothing is before it, and the server refuses it
  while true do
    local rows = redis.call('XREVRANGE', k.dead, from, '-', 'COUNT', ENTRIES)
    for _, row in ipairs(rows) do
      if limit == 0 or looks == 0 then return replies end
      local letter = map_of(row[2])
      looks = looks - 1
      replies[1] = row[1]
      if (argv[2] == '1' or (letter['owner'] or '') == argv[1])
        and (argv[5] == '' or cjson.decode(letter['error'])['type'] == argv[5]) then
        limit = limit - 1
        for _, field in ipairs({ row[1], letter['id'], letter['function'], letter['attempts'], letter['error'] }) do
          replies[#replies + 1] = field
        end
      end
    end
    if #rows < ENTRIES then
      replies[1] = ''
      return replies
    end
    from = '(' .. rows[#rows][1]
  end
end

-- pushed_input(id): the arguments of a job that has not ended, or failed and is a dead letter (JSON); '' if they are not
-- kept, or are larger than so many bytes. Costs HMGET and XRANGE.
local function pushed_input(keys, argv)
  local k = keys_of(keys[1])
  local r = redis.call('HMGET', k.job .. argv[1], 'entry', 'status', 'args')
  if r[3] then return #r[3] <= tonumber(argv[2]) and r[3] or '' end
  local payload = r[1] and r[1] ~= '' and payload_of(r[2] == 'failed' and k.dead or k.stream, r[1])
  return payload and #payload['args'] <= tonumber(argv[2]) and payload['args'] or ''
end

export('letters', letters, 'no-writes')
export('pushed_input', pushed_input, 'no-writes')
