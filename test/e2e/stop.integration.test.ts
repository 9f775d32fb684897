/** SIGTERM: all roles finish their requests and end with status 0 soon, whichever other nodes run. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { brokers, scenarioTimeoutMs, withCluster } from "./cluster.ts";

const stopMsMax = 5000;

test.each([...brokers])(
  "all roles end with status 0 soon after SIGTERM, with or without the others (%s broker)",
  (broker) =>
    withCluster({ broker, edges: 2, fallback: true }, async ({ primary, edges: [edge, widow], fallback }) => {
      if (edge === undefined || widow === undefined) throw new Error("two edges are needed");
      for (const node of [edge, primary, widow, fallback]) {
        const startMs = performance.now();
        expect({ node: node.name, status: await node.stop() }).toEqual({ node: node.name, status: 0 });
        expect(performance.now() - startMs).toBeLessThan(stopMsMax);
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
        await Bun.sleep(100);
        const stopped = node.stop();
        await Bun.sleep(300);
        expect(
          await fetch(`${node.url}/healthcheck`).then(
            () => "answered",
            () => "refused",
          ),
        ).toBe("refused");
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
