-- wrk: POST the file that BENCH_BODY names, and say at the end what happened as one line of JSON.
-- No request() function: wrk formats the request once, so that its core is spent on sending.
local file = assert(io.open(assert(os.getenv("BENCH_BODY")), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '\nbench: {"requests": %d, "seconds": %.6f, "connect_errors": %d, "read_errors": %d, '
         .. '"write_errors": %d, "timeouts": %d, "bad_statuses": %d, '
         .. '"p50_us": %d, "p99_us": %d, "max_us": %d}\n',
      summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.timeout, e.status,
      latency:percentile(50), latency:percentile(99), latency.max))
end
