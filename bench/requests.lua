-- wrk's script: each request carries the next line of a file in its Authorization header (or another one).
-- Arguments: the file; how many threads there are; the header's name; what stands before the line.
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  requests, next_one = {}, 0
  local header, before, line_number = args[3] or "Authorization", args[4] or "Bearer ", 0
  for line in io.lines(args[1]) do
    if line_number % tonumber(args[2]) == number then
      requests[#requests + 1] = wrk.format("GET", nil, {[header] = before .. line})
    end
    line_number = line_number + 1
  end
end

function request()
  next_one = next_one + 1
  if next_one > #requests then
    next_one = 1
  end
  return requests[next_one]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    "RESULT {\"requests\": %d, \"seconds\": %.6f, \"errors\": %d, \"bytes\": %d, \"p50\": %.1f, \"p99\": %.1f}\n",
    summary.requests, summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.bytes, latency:percentile(50), latency:percentile(99)))
end
