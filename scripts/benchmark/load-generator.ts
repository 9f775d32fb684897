/**
 * A process of its own that asks servers over HTTP, as fast as they answer: some connections that are kept alive, one request at a time on
 * each. It works on sockets, because a full HTTP client takes more time than the servers that are measured. The plan comes on standard
 * input, the result goes to standard output, both as JSON. Targets take turns, round after round.
 */
import { timesOf, type Times } from "./timing.ts";

export interface LoadPlan {
  readonly targets: readonly { readonly name: string; readonly port: number }[];
  readonly path: string;
  readonly key: string;
  readonly bodies: readonly string[];
  readonly connections: number;
  readonly rounds: number;
  readonly secondsPerRound: number;
}

export interface Round {
  readonly target: string;
  readonly perSecond: number;
  /** Milliseconds from a request to its answer. */
  readonly latency: Times;
}

const host = "127.0.0.1";
/** Long enough for both sides to have compiled what they do all the time. */
const warmUpSeconds = 0.5;

const plan = (await Bun.stdin.json()) as LoadPlan;
const requests = plan.bodies.map((body) => encode(plan, body));
const rounds: Round[] = [];
for (const { port } of plan.targets) await run(port, warmUpSeconds);
for (let round = 0; round < plan.rounds; round++) {
  for (const { name, port } of plan.targets) {
    const latencies = await run(port, plan.secondsPerRound);
    const perSecond = latencies.length / plan.secondsPerRound;
    rounds.push({ target: name, perSecond, latency: timesOf(latencies) });
  }
}
process.stdout.write(JSON.stringify(rounds));
process.exit(0);

function encode({ path, key }: LoadPlan, body: string): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: ${host}`,
    `Authorization: Bearer ${key}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** Milliseconds of every request that was answered in time. Throws at anything but 200. */
async function run(port: number, seconds: number): Promise<number[]> {
  const latencies: number[] = [];
  const endMs = performance.now() + seconds * 1000;
  let sent = 0;
  const connection = async (): Promise<void> => {
    const { promise: done, resolve, reject } = Promise.withResolvers<void>();
    let received = "";
    let sentMs = 0;
    const send = (socket: Bun.Socket): void => {
      const request = requests[sent++ % requests.length];
      if (request === undefined) return reject(new Error("there is nothing to ask"));
      sentMs = performance.now();
      if (socket.write(request) !== request.byteLength) reject(new Error("a request did not fit into the socket"));
    };
    const socket = await Bun.connect({
      hostname: host,
      port,
      socket: {
        binaryType: "buffer",
        open: send,
        data: (socket, chunk) => {
          received += chunk.toString("latin1");
          if (!isWhole(received)) return;
          if (!received.startsWith("HTTP/1.1 200")) return reject(new Error(`asked ${port}, got ${received}`));
          received = "";
          const nowMs = performance.now();
          if (nowMs > endMs) return resolve();
          latencies.push(nowMs - sentMs);
          send(socket);
        },
        close: () => reject(new Error(`port ${port} closed a connection`)),
        error: (_socket, error) => reject(error),
      },
    });
    await done;
    socket.end();
  };
  await Promise.all(Array.from({ length: plan.connections }, connection));
  return latencies;
}

/** Whether the text is a complete answer. Both servers say how long their answers are. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
  if (length === undefined) throw new Error(`an answer does not say how long it is: ${text}`);
  return text.length >= end + 4 + Number(length);
}
