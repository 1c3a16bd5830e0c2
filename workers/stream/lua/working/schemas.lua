-- What the workers' models take and return, as JSON schemas. Gateways check pushes by them.

local SCHEMAS_MS = 24 * 3600 * 1000
local MOST_SCHEMAS = 8 -- of more, those that were renewed last are kept; `any` counts, too
-- What a worker registers whose model takes any JSON. It is noted only beside schemas of others.
local ANY = 'any'

-- A heartbeat of a worker with this schema. Replies whether the schema has to be published first.
-- Costs EXISTS or HEXISTS, HSET and PEXPIRE.
local function renew_schema(k, digest, now)
  if not digest or digest == '' then return false end
  if digest == ANY then
    if redis.call('EXISTS', k.schemas) == 0 then return false end
  elseif redis.call('HEXISTS', k.schemas, digest) == 0 then
    return true
  end
  redis.call('HSET', k.schemas, digest .. ':seen', whole(now))
  redis.call('PEXPIRE', k.schemas, SCHEMAS_MS)
  return false
end

-- The digests that are kept, those that were renewed last first; each with its time.
local function schemas_of(k)
  local fields, found = map_of(redis.call('HGETALL', k.schemas)), {}
  for field, seen in pairs(fields) do
    local digest = string.match(field, '^(.*):seen$')
    if digest and tonumber(seen) then found[#found + 1] = { digest = digest, seen = tonumber(seen) } end
  end
  table.sort(found, function(a, b)
    if a.seen ~= b.seen then return a.seen > b.seen end
    return a.digest < b.digest
  end)
  return found, fields
end

-- publish_schema(digest, JSON): keeps it, with its time. Forgets those of models that are long gone. Replies 1.
local function publish_schema(keys, argv)
  local k, now = keys_of(keys[1]), whole(now_ms())
  redis.call('HSETNX', k.schemas, argv[1] .. ':since', now)
  redis.call('HSET', k.schemas, argv[1], argv[2], argv[1] .. ':seen', now)
  redis.call('PEXPIRE', k.schemas, SCHEMAS_MS)
  for place, one in ipairs((schemas_of(k))) do
    if place > MOST_SCHEMAS or one.seen < now - SCHEMAS_MS then
      redis.call('HDEL', k.schemas, one.digest, one.digest .. ':since', one.digest .. ':seen')
    end
  end
  return 1
end

-- schemas(the digests whose JSON is known): per schema {digest, ms since the first publication, ms since the last
-- renewal, JSON or ''}. Costs HGETALL and TIME.
local function schemas(keys, argv)
  local k, now, known, replies = keys_of(keys[1]), now_ms(), {}, {}
  for _, digest in ipairs(argv) do known[digest] = true end
  local found, fields = schemas_of(k)
  for _, one in ipairs(found) do
    local since = tonumber(fields[one.digest .. ':since']) or one.seen
    replies[#replies + 1] = { one.digest, whole(now - since), whole(now - one.seen),
      known[one.digest] and '' or fields[one.digest] or '' }
  end
  return replies
end

export('publish_schema', publish_schema, 'allow-oom')
export('schemas', schemas, 'no-writes')
