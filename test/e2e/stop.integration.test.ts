/** SIGTERM: all roles finish their requests and end with status 0 soon, whichever other nodes run. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { brokers, eventually, healthOf, scenarioTimeoutMs, withCluster } from "./cluster.ts";

test.each([...brokers])(
  "all roles end with status 0 soon after SIGTERM, with or without the others (%s broker)",
  (broker) =>
    withCluster({ broker, edges: 2, fallback: true }, async ({ primary, edges: [edge, widow], fallback }) => {
      if (edge === undefined || widow === undefined) throw new Error("two edges are needed");
      for (const node of [edge, primary, widow, fallback]) {
        // A node that has not ended after 15 s is killed, and then has no status.
        expect({ node: node.name, status: await node.stop() }).toEqual({ node: node.name, status: 0 });
      }
    }),
  scenarioTimeoutMs,
);

test(
  "a request in flight at SIGTERM gets its whole response, and new ones are refused",
  () =>
    withCluster({ broker: "embedded", edges: 1 }, async ({ primary, edges: [edge], adminKey }) => {
      if (edge === undefined) throw new Error("an edge is needed");
      for (const node of [edge, primary]) {
        const request = slowRequest(node.url, adminKey);
        await request.halfSent;
        // It has accepted the connections in their order.
        expect((await healthOf(node)).ok).toBe(true);
        const stopped = node.stop();
        await eventually(async () => (await node.health()) === undefined, "new requests are refused");
        request.finish();
        const answer = await request.answer;
        expect(answer).toStartWith("HTTP/1.1 200");
        expect(answer).toContain('{"allowed":true}');
        expect(await stopped).toBe(0);
      }
    }),
  scenarioTimeoutMs,
);

/** A query whose body arrives in two parts. */
function slowRequest(url: string, key: string): { halfSent: Promise<void>; finish(): void; answer: Promise<string> } {
  const body = JSON.stringify({
    actor_type: "User",
    actor_id: "alice",
    action: "delete",
    resource_type: "Repository",
    resource_id: "compiler",
    context_facts: [],
  });
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  const head = [
    "POST /api/authorize HTTP/1.1",
    `Host: ${hostname}:${port}`,
    `Authorization: Bearer ${key}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  let received = "";
  const answer = new Promise<string>((resolve, reject) => {
    socket.on("data", (chunk) => (received += chunk.toString()));
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
  const halfSent = new Promise<void>((resolve) => {
    socket.write(`${head.join("\r\n")}\r\n\r\n${body.slice(0, 20)}`, () => resolve());
  });
  return { halfSent, finish: () => void socket.write(body.slice(20)), answer };
}
