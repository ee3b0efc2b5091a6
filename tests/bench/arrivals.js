// Open loop: reviews arrive at a constant rate whatever the server does; those k6 could not send in time are counted.
// Environment: URL, CORPUS (a JSON list of request bodies), RATE (reviews a second), SECONDS.
import http from "k6/http";
import exec from "k6/execution";
import { Rate } from "k6/metrics";

const bodies = JSON.parse(open(__ENV.CORPUS));
const headers = { "Content-Type": "application/json", Accept: "application/json, */*" };
const failed = new Rate("failed");

export const options = {
  scenarios: {
    arrivals: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE),
      timeUnit: "1s",
      duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: 32,
      maxVUs: 32,
    },
  },
  discardResponseBodies: true, // k6 shares the machine with the server: what answers hold is checked by our own client
  insecureSkipTLSVerify: true, // the certificate was made for this run
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
};

export default function () {
  const body = bodies[exec.scenario.iterationInTest % bodies.length];
  const answer = http.post(__ENV.URL, body, { headers });
  failed.add(answer.status !== 200);
}

export function handleSummary(data) {
  const values = (name) => (data.metrics[name] ? data.metrics[name].values : {});
  const duration = values("http_req_duration");
  return {
    stdout: JSON.stringify({
      sent: values("http_reqs").count || 0,
      failed: values("failed").passes || 0,
      unsent: values("dropped_iterations").count || 0,
      p50: duration.med,
      p95: duration["p(95)"],
      p99: duration["p(99)"],
      max: duration.max,
    }),
  };
}
