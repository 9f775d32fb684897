/** Attacks with many silent connections, below and above the descriptor limit of a node, over HTTP and MQTT. */
import * as Bun from "bun";
import { framed, loginPacket, upgradeRequest } from "../replication/raw-mqtt.ts";
import { holdConnections, openConnection, requestHead, type HeldConnections } from "../hostile/raw-http.ts";
import { nodeNames, type AttackContext } from "./attack.ts";

/** Thousands of silent connections, as many as the node can have. */
export async function idleConnections(context: AttackContext): Promise<void> {
  await holdOnEachNode(context, Math.round(context.plan.descriptorsMax * 0.7));
}

/** More connections than the node has descriptors for. */
export async function connectionsBeyondTheLimit(context: AttackContext): Promise<void> {
  await holdOnEachNode(context, context.plan.descriptorsMax + 300);
}

/** One node after another, because both ends are on one machine. The primary gets half of the time. */
async function holdOnEachNode(context: AttackContext, count: number): Promise<void> {
  for (const name of nodeNames) {
    const endMs = performance.now() + context.plan.seconds * (name === "primary" ? 500 : 250);
    const held = await holdConnections(context.url(name), { count, signal: context.signal, timeoutMs: 2000 });
    note(context, held);
    await context.pause(endMs - performance.now());
    context.count("connections closed by the node", held.connections.length - held.open());
    held.close();
  }
}

function note(context: AttackContext, { connections, refused }: HeldConnections): void {
  context.count("connections opened", connections.length);
  context.count("connections refused", refused);
}

/** Connections to the embedded broker that never log in, over TCP and as WebSockets. */
export async function mqttConnections(context: AttackContext): Promise<void> {
  const { mqttPort } = context.plan;
  const options = { count: context.scaled(1000), signal: context.signal, timeoutMs: 2000 };
  const held = await Promise.all([
    holdConnections(`http://127.0.0.1:${mqttPort}`, options),
    holdConnections(context.url("primary"), { ...options, first: upgradeRequest("/mqtt") }),
  ]);
  held.forEach((connections) => note(context, connections));
  while (!context.isOver) {
    await context.pause(1000);
    // Closed connections are opened again.
    const lost = held[0].connections.length - held[0].open();
    if (lost === 0 || context.isOver) continue;
    const again = await holdConnections(`http://127.0.0.1:${mqttPort}`, { ...options, count: Math.min(lost, 200) });
    note(context, again);
    await context.pause(200);
    again.close();
  }
  held.forEach((connections) => connections.close());
}

const clientIdLength = 60_000;

/** Logins with a client id of 60 kB, with wrong keys, with packets that break the protocol. */
export async function mqttLogins(context: AttackContext): Promise<void> {
  const long = "x".repeat(clientIdLength);
  const packets: readonly (() => Buffer)[] = [
    () => loginPacket(long),
    () => loginPacket(long, "wrong"),
    () => loginPacket(`edge-${context.below(1000)}`, "wrong"),
    () => loginPacket("\r\n2026-01-01 forged line\u001b[31m", "wrong"),
    () => Buffer.from(Array.from({ length: 200 }, () => context.below(256))),
    () => Buffer.concat([loginPacket("a", "wrong"), Buffer.alloc(60_000, 0x30)]),
  ];
  let sent = 0;
  const wanted = context.scaled(3000);
  const login = async (): Promise<void> => {
    while (!context.isOver && sent < wanted) {
      const packet = packets[sent++ % packets.length]?.() ?? Buffer.of();
      const isWebSocket = sent % 2 === 0;
      try {
        const url = isWebSocket ? context.url("primary") : `http://127.0.0.1:${context.plan.mqttPort}`;
        const connection = await openConnection(url, 2000);
        if (isWebSocket) {
          connection.send(upgradeRequest("/mqtt"));
          await connection.until(() => connection.received.includes("\r\n\r\n"), 2000);
          connection.send(framed(packet.subarray(0, 0xffff)));
        } else {
          connection.send(packet);
        }
        await Promise.race([connection.closed, Bun.sleep(200)]);
        connection.close();
        context.count("logins");
      } catch {
        context.count("connection failed");
        await context.pause(50);
      }
      await context.pause(5);
    }
  };
  await Promise.all(Array.from({ length: 10 }, login));
}

/** Invalid WebSocket and protocol upgrades. */
export async function upgrades(context: AttackContext): Promise<void> {
  const upgrade = (headers: Readonly<Record<string, string>>, path = "/mqtt") =>
    requestHead({ path, headers: { Connection: "Upgrade", Upgrade: "websocket", ...headers } });
  const key = { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13" };
  const requests = [
    upgrade({ ...key, Host: "[" }),
    upgrade({ ...key, Host: "a@b" }),
    upgrade({ ...key, Host: "" }),
    upgrade({ ...key, Host: "[::1" }, "//mqtt"),
    upgrade({}),
    upgrade({ ...key, "Sec-WebSocket-Version": "99" }),
    upgrade({ ...key, "Sec-WebSocket-Protocol": "mqtt, \u0000" }),
    upgrade({ ...key, "Sec-WebSocket-Protocol": "x".repeat(8000) }),
    upgrade({ ...key, "Content-Length": "5" }),
    upgrade(key, "/api/facts"),
    upgrade(key, "http://[/mqtt"),
    upgrade({ ...key, Upgrade: "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__" }),
    `${upgradeRequest("/mqtt")}\u0082\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff`,
    `${upgradeRequest("/mqtt")}GET / HTTP/1.1\r\nHost: x\r\n\r\n`,
  ];
  let sent = 0;
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      while (!context.isOver && sent < context.scaled(6000)) {
        const request = requests[sent++ % requests.length] ?? "";
        await sendAndCount(context, request);
        await context.pause(5);
      }
    }),
  );
}

/** Sends bytes over a new connection to a random node and counts the response. */
export async function sendAndCount(context: AttackContext, bytes: string | Uint8Array): Promise<void> {
  const node = context.anyNode();
  try {
    const connection = await openConnection(context.url(node), 2000);
    connection.send(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    const answer = await connection.answer(1000);
    connection.close();
    const request = typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
    if (answer === undefined) context.count("no answer");
    else context.answered(node, JSON.stringify(request.slice(0, 300)), answer.status, answer.body);
  } catch {
    context.count("connection failed");
    await context.pause(50);
  }
}
