-- What wrk sends: increments of 1,000 counters at random. In the end it says how many were answered with 200, and how many
-- otherwise, or not at all.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init()
  answered, others = 0, 0
  math.randomseed(number + 1)
end

function request()
  return wrk.format("POST", "/counter/wrk-" .. math.random(1000) .. "/increment")
end

function response(status)
  if status == 200 then
    answered = answered + 1
  else
    others = others + 1
  end
end

function done(summary)
  local all, wrong = 0, 0
  for _, thread in ipairs(threads) do
    all = all + thread:get("answered")
    wrong = wrong + thread:get("others")
  end
  -- A connection that breaks off is opened anew: what was under way on it was not answered.
  local errors = summary.errors
  wrong = wrong + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("answered with 200: %d\notherwise, or not: %d", all, wrong))
end
