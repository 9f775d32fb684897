/** Attacks with request bodies: endless, slow, large and aborted bodies, and invalid hosts. */
import * as Bun from "bun";
import { holdConnections, openConnection, requestHead, sendSlowly, unfinishedRequest } from "../hostile/raw-http.ts";
import { sendAndCount } from "./connection-attacks.ts";
import { nodeNames, type AttackContext, type NodeName } from "./attack.ts";

const kibibyte = 1024;

/** Writes with an invalid key whose body never arrives. */
export async function unfinishedBodiesWithoutKey(context: AttackContext): Promise<void> {
  await holdUnfinished(context, "/api/batch", () => "x");
}

/** The same with valid keys, and on a read route. */
export async function unfinishedBodiesWithKey(context: AttackContext): Promise<void> {
  const { read, write } = context.plan.keys;
  await holdUnfinished(context, "/api/authorize", () => read);
  await holdUnfinished(context, "/api/batch", () => write);
}

async function holdUnfinished(context: AttackContext, path: string, key: () => string): Promise<void> {
  // Both ends of each connection are on this machine, and the nodes need descriptors for their own work.
  const each = Math.min(context.scaled(2000), Math.round(context.plan.descriptorsMax * 0.75));
  const shareMs = (context.plan.seconds * 1000) / 2 / nodeNames.length;
  for (const name of nodeNames) {
    const endMs = performance.now() + shareMs;
    const held = await holdConnections(context.url(name), {
      count: each,
      first: () => `${unfinishedRequest(path, key(), 900 * kibibyte)}[{"inserts":[`,
      signal: context.signal,
      timeoutMs: 2000,
    });
    context.count("unfinished bodies", held.connections.length);
    context.count("connections refused", held.refused);
    await context.pause(endMs - performance.now());
    for (const { received } of held.connections)
      if (received !== "") context.answered(name, `POST ${path} with an unfinished body`, statusOf(received), received);
    context.count("closed by the node", held.connections.length - held.open());
    held.close();
  }
}

const statusOf = (received: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(received)?.[1] ?? 0);

/** Bodies with one byte per second, with and without a key. */
export async function slowBodies(context: AttackContext): Promise<void> {
  const { read, write } = context.plan.keys;
  const body = Buffer.from(" ".repeat(10_000));
  await Promise.all(
    Array.from({ length: context.scaled(300) }, async (_, index) => {
      const name = nodeNames[index % nodeNames.length] ?? "primary";
      const key = [undefined, "x", read, write][index % 4];
      while (!context.isOver) {
        try {
          const connection = await openConnection(context.url(name), 2000);
          connection.send(unfinishedRequest(index % 3 === 0 ? "/api/batch" : "/api/authorize", key, body.length));
          await sendSlowly(connection, body, { pauseMs: 1000, signal: context.signal });
          if (connection.received !== "") context.count(`answered ${statusOf(connection.received)}`);
          context.count("slow bodies");
          connection.close();
        } catch {
          context.count("connection failed");
        }
        await context.pause(200);
      }
    }),
  );
}

/** 1,500 bodies of 950 KiB without their last bytes, with the concurrency that the machine permits. */
export async function largeBodies(context: AttackContext): Promise<void> {
  const body = Buffer.alloc(950 * kibibyte, " ");
  const { read, write } = context.plan.keys;
  const all = context.scaled(1500);
  const atATime = Math.max(1, Math.ceil(all / 5));
  for (let sent = 0; sent < all && !context.isOver; sent += atATime) {
    const name = nodeNames[Math.floor(sent / atATime) % nodeNames.length] ?? "primary";
    const held = await holdConnections(context.url(name), {
      count: atATime,
      first: (index) => {
        const [path, key] = [
          ["/api/batch", "x"],
          ["/api/batch", write],
          ["/api/authorize", read],
        ][index % 3] as [string, string];
        return Buffer.concat([Buffer.from(unfinishedRequest(path, key, body.length + 10)), body]);
      },
      signal: context.signal,
      timeoutMs: 2000,
    });
    context.count("large bodies", held.connections.length);
    await context.pause(Math.min(4000, (context.plan.seconds * 1000) / 5));
    for (const { received } of held.connections) if (received !== "") context.count(`answered ${statusOf(received)}`);
    held.close();
    await context.pause(100);
  }
}

/** Invalid heads on routes that forward, and aborted bodies. */
export async function malformedRequests(context: AttackContext): Promise<void> {
  const makers: readonly ((key: string | undefined) => string)[] = [
    (key) => write(key, { Host: "a@b" }),
    (key) => write(key, { Host: "[" }),
    (key) => write(key, { Host: "" }),
    (key) => write(key, { Host: "a b" }),
    (key) => write(key, { Host: `${"x".repeat(3000)}:99999` }),
    (key) => write(key, { "X-Request-ID": "é\u0001" }),
    (key) => write(key, { "Transfer-Encoding": "chunked" }),
    (key) => write(key, { "Content-Length": "-1" }),
    (key) => write(key, { OsoOffset: "ffffffffffffffff:99999999999999999999" }),
    (key) => requestHead({ path: "/api/facts?predicate=%", headers: bearer(key) }),
    (key) => requestHead({ path: "/api/facts?predicate=%00&args.0.type=%ff", headers: bearer(key) }),
    (key) => requestHead({ path: "/api/keys/%2e%2e%2f%E0%A4%A", method: "DELETE", headers: bearer(key) }),
    (key) => requestHead({ path: "http://[/api/facts", headers: bearer(key) }),
    (key) => requestHead({ path: "*", method: "OPTIONS", headers: bearer(key) }),
    (key) => requestHead({ path: "/api/events?after=99999999999999999999", headers: bearer(key) }),
    (key) => requestHead({ path: `/${"a".repeat(12_000)}`, headers: bearer(key) }),
    (key) => requestHead({ path: "/replication/v1/log?from=-1&epoch=x", headers: bearer(key) }),
    (key) =>
      requestHead({ path: "/api/authorize", method: "POST", headers: { ...bearer(key), Expect: "100-continue" } }),
  ];
  const { read, write: writeKey } = context.plan.keys;
  let sent = 0;
  const wanted = context.scaled(10_000);
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      while (!context.isOver && sent < wanted) {
        const index = sent++;
        const key = [undefined, "x", read, writeKey][index % 4];
        if (index % 3 === 0) await abortUpload(context, key);
        else await sendAndCount(context, makers[index % makers.length]?.(key) ?? "");
        await context.pause(3);
      }
    }),
  );
}

const bearer = (key: string | undefined): Record<string, string> =>
  key === undefined ? {} : { Authorization: `Bearer ${key}` };

function write(key: string | undefined, headers: Readonly<Record<string, string>>): string {
  const body = JSON.stringify([{ inserts: [] }]);
  const length = { "Content-Length": String(body.length) };
  return requestHead({ method: "POST", path: "/api/batch", headers: { ...bearer(key), ...length, ...headers } }) + body;
}

/** Sends half a body and resets the connection. */
async function abortUpload(context: AttackContext, key: string | undefined): Promise<void> {
  const name: NodeName = context.anyNode();
  const path = context.below(2) === 0 ? "/api/batch" : "/api/authorize";
  try {
    const connection = await openConnection(context.url(name), 2000);
    connection.send(`${unfinishedRequest(path, key, 200_000)}${" ".repeat(context.below(100_000))}`);
    await Bun.sleep(context.below(30));
    connection.abort();
    context.count("uploads aborted");
  } catch {
    context.count("connection failed");
  }
}
