/**
 * A process that sends HTTP requests to servers as fast as they answer: persistent connections with one request at a time
 * on each. It works on sockets, because a full HTTP client needs more time than the measured servers. It reads the plan
 * from standard input and writes the result to standard output, both as JSON. Targets alternate by round.
 */
import * as Bun from "bun";
import { random, zipf } from "./random.ts";
import { timesOf, type Times } from "./timing.ts";

export interface LoadPlan {
  readonly targets: readonly Target[];
  readonly path: string;
  /** `uniform` sends one body after the other, `zipf` chooses them with a Zipf distribution. */
  readonly choice: Choice;
  readonly seed: number;
  readonly connections: number;
  readonly rounds: number;
  readonly secondsPerRound: number;
  /** A round ends after about so many answers, if its time is not over before. */
  readonly requestsPerRound?: number;
  /** Whether the generator has a core of its own, on which it never sleeps. */
  readonly ownCore: boolean;
}

export interface Target {
  readonly name: string;
  readonly port: number;
  /** They are sent before the first round. */
  readonly warmUpRequests: number;
  /** The connections take turns in sending for these. */
  readonly senders: readonly Sender[];
}

/** An API key, and what is asked with it. */
export interface Sender {
  readonly key: string;
  readonly bodies: readonly string[];
  /** Instead of that of the plan. */
  readonly path?: string;
}

export type Choice = "uniform" | "zipf";

export interface Round {
  readonly target: string;
  readonly perSecond: number;
  /** Milliseconds from a request to its answer. */
  readonly latency: Times;
  /** Milliseconds that the server reports, if it does. */
  readonly server: Times | undefined;
}

interface Taken {
  readonly latencies: number[];
  readonly serverTimes: number[];
}

const host = "127.0.0.1";
/** The text before the milliseconds in the header with which a node reports its duration. */
const timing = "oso;dur=";
const warmUpSecondsMax = 60;

const plan = (await Bun.stdin.json()) as LoadPlan;
// Each round begins at another request, because cached answers would be requested again.
const targets = plan.targets.map((target) => ({ ...target, choosers: target.senders.map(chooser) }));
const rounds: Round[] = [];
if (plan.ownCore) neverSleep();
for (const { port, warmUpRequests, choosers } of targets) await run(port, choosers, warmUpSecondsMax, warmUpRequests);
for (let round = 0; round < plan.rounds; round++) {
  for (const { name, port, choosers } of targets) {
    const { latencies, serverTimes } = await run(port, choosers, plan.secondsPerRound, plan.requestsPerRound);
    rounds.push({
      target: name,
      perSecond: latencies.length / plan.secondsPerRound,
      latency: timesOf(latencies),
      server: serverTimes.length === 0 ? undefined : timesOf(serverTimes),
    });
  }
}
process.stdout.write(JSON.stringify(rounds));
process.exit(0);

/** Waking a process on another core costs a server more than the answer; the faster server would avoid it. */
function neverSleep(): void {
  setImmediate(neverSleep);
}

/** All targets get the same requests from a sender with the same bodies. */
function chooser({ key, bodies, path = plan.path }: Sender): () => Buffer | undefined {
  const requests = bodies.map((body) => encode(key, path, body));
  let sent = 0;
  const next = plan.choice === "zipf" ? zipf(random(plan.seed), requests.length) : () => sent++ % requests.length;
  return () => requests[next()];
}

function encode(key: string, path: string, body: string): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `Host: ${host}`,
    `Authorization: Bearer ${key}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** All requests that were answered in time, up to the maximum. Throws for a status other than 200. */
async function run(
  port: number,
  choosers: readonly (() => Buffer | undefined)[],
  seconds: number,
  requestsMax = Infinity,
): Promise<Taken> {
  const [latencies, serverTimes]: [number[], number[]] = [[], []];
  const endMs = performance.now() + seconds * 1000;
  const connection = async (index: number): Promise<void> => {
    const choose = choosers[index % choosers.length];
    const { promise: done, resolve, reject } = Promise.withResolvers<void>();
    let received = "";
    let sentMs = 0;
    const send = (socket: Bun.Socket): void => {
      const request = choose?.();
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
          const nowMs = performance.now();
          if (nowMs > endMs || latencies.length >= requestsMax) return resolve();
          latencies.push(nowMs - sentMs);
          const serverMs = serverTime(received);
          if (serverMs !== undefined) serverTimes.push(serverMs);
          received = "";
          send(socket);
        },
        close: () => reject(new Error(`port ${port} closed a connection`)),
        error: (_socket, error) => reject(error),
      },
    });
    await done;
    socket.end();
  };
  await Promise.all(Array.from({ length: plan.connections }, (_, index) => connection(index)));
  return { latencies, serverTimes };
}

function serverTime(answer: string): number | undefined {
  const start = answer.indexOf(timing);
  return start < 0 ? undefined : Number.parseFloat(answer.slice(start + timing.length, start + timing.length + 12));
}

/** Whether the text is a complete response. Both servers send Content-Length. */
function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
  if (length === undefined) throw new Error(`an answer does not say how long it is: ${text}`);
  return text.length >= end + 4 + Number(length);
}
