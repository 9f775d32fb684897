/** What a cluster logs at level `debug`, and what it never logs. */
import { expect, test } from "bun:test";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import type { Cluster } from "../replication/cluster.ts";
import {
  adminKey,
  converged,
  eventually,
  insert,
  loadPolicy,
  nodeKey,
  post,
  withCluster,
} from "../replication/cluster.ts";
import { withCapturedLog } from "../replication/captured-log.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const users = Array.from({ length: 30 }, (_, index) => `confidential-${index}`);

async function work(cluster: Cluster): Promise<void> {
  const primary = await cluster.primary({ "advanced.publishEventBytesMax": "1KiB" });
  await loadPolicy(primary.node);
  const edge = await cluster.edge("edge-1", primary);
  await converged(edge.node, primary.node);
  await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
  await insert(primary.node, "confidential-a");
  // Otherwise both events could be published in one message, and the edge would fetch both.
  await converged(edge.node, primary.node);
  await insert(primary.node, ...users);
  await converged(edge.node, primary.node);
  const body = {
    actor_type: "User",
    actor_id: "confidential-a",
    action: "read",
    resource_type: "Repo",
    resource_id: "main",
  };
  const headers = { authorization: `Bearer ${adminKey}`, traceparent: `00-${traceId}-b7ad6b7169203331-01` };
  const asked = { method: "POST", headers, body: JSON.stringify(body) };
  expect(await (await fetch(`${edge.url}/api/authorize`, asked)).json()).toEqual({ allowed: true });
  expect((await post(edge.url, "/api/authorize", { ...body, actor_id: 1 }, adminKey)).status).toBe(400);
  await fetch(`${edge.url}/api/keys/confidential-key`, { method: "DELETE", headers });
  const stream = await fetch(`${edge.url}/api/events`, { headers: { ...headers, accept: "text/event-stream" } });
  await stream.body?.cancel();
  await eventually(async () => expect(await renderMetrics()).toMatch(/^ostiary_event_streams 0$/m));
  await edge.stop();
}

test("each request, event, connection, checkpoint and step of a snapshot has a line, without any content", () =>
  withCapturedLog(
    (lines) =>
      withCluster(async (cluster) => {
        await work(cluster);
        const expected = [
          `http: POST /api/authorize was answered with 200 in [\\d.]+ ms requestId=\\S+ traceId=${traceId}\n`,
          "http: POST /api/authorize was answered with 400 in [\\d.]+ ms errorCode=invalid_request requestId=",
          "http: DELETE /api/keys/:id was answered with \\d+ in",
          "http: GET \\S*replication\\S* was answered with 200 in",
          "writer: committed a write \\(policy\\) at \\d+ epoch=",
          "writer: committed a write \\(batch\\) at \\d+ epoch=\\w+ inserted=30 deleted=0\n",
          "writer: made a checkpoint of the write-ahead log ms=\\d+ walBytes=\\d+\n",
          "publish: published events \\d+ to \\d+ at embedded, 0 of them without their bodies ms=",
          "publish: published events \\d+ to \\d+ at embedded, 1 of them without their bodies ms=",
          "replica: received events \\d+ to \\d+ from the event stream, 1 of them without their bodies\n",
          "replica: applied events \\d+ to \\d+, source feed ms=[\\d.]+\n",
          "replica: applied events \\d+ to \\d+, source fetch ms=",
          "replica: reading the logs of other nodes: missed, this node is at \\d+\n",
          "replica: reading the logs of other nodes: announced, this node is at \\d+\n",
          "replica: read the logs to their end: this node is at \\d+ ms=\\d+\n",
          "broker: node edge-1 connected to the embedded broker\n",
          "broker: node edge-1 left the embedded broker\n",
          "broker: the connection to the broker \\S+ was closed\n",
          "events: an event stream starts after \\w+:\\d+\n",
          "events: an event stream ended: client\n",
          "snapshot: requesting a snapshot from http\\S+\n",
          "snapshot: making a snapshot at \\d+\n",
          "snapshot: sending a snapshot at \\d+, bytes 0 to \\d+ of \\d+\n",
          "snapshot: installed a snapshot at \\d+, unpacked in",
        ];
        // A checkpoint follows after a second without writes.
        await eventually(() => {
          for (const line of expected) expect(lines.join("")).toMatch(new RegExp(line));
        });
        const text = lines.join("");
        for (const secret of ["confidential", adminKey, nodeKey, "has_role", '"read" if'])
          expect(text).not.toContain(secret);
      }),
    "debug",
  ));

test("at level `info` none of these lines is logged", () =>
  withCapturedLog(
    (lines) =>
      withCluster(async (cluster) => {
        await work(cluster);
        expect(lines.filter((line) => / debug /.test(line) || line.includes("was answered with"))).toEqual([]);
      }),
    "info",
  ));
