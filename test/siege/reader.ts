/**
 * An honest client that sends `authorize` to all nodes at a fixed rate and reports the response times. The time of a
 * request begins when it is due, even if it has to wait for a free connection, so a blocked node does not get fewer
 * requests. A second client checks the health of each node once per second, each time over a new connection.
 */
import * as Bun from "bun";
import { requestHead, sendRaw } from "../hostile/raw-http.ts";
import { nodeNames, type NodeName, type Urls } from "./attack.ts";
import { standardInputEnded, tell } from "../harness/child-process.ts";

export interface ReaderPlan {
  readonly urls: Urls;
  /** The bare server, which gets the same requests. */
  readonly bareUrl: string;
  readonly key: string;
  readonly perSecond: number;
  readonly questions: readonly Question[];
}

export interface Question {
  /** The body for `/api/authorize`. */
  readonly body: string;
  readonly allowed: boolean;
}

export type Asked = NodeName | "bare";

export interface ReadSample {
  readonly node: Asked;
  /** When it was due. */
  readonly atMs: number;
  readonly tookMs: number;
}

export interface ReadFailure {
  readonly node: Asked;
  readonly atMs: number;
  readonly reason: string;
}

export interface ReaderMessage {
  readonly samples: readonly ReadSample[];
  readonly failures: readonly ReadFailure[];
  /** Health checks without a response. */
  readonly unhealthy: readonly ReadFailure[];
  /** Health checks with a response of any status. */
  readonly healthChecks: number;
}

/** Connections to each node; they are kept alive. */
const workers = 8;
const timeoutMs = 10_000;

const plan = JSON.parse(process.argv[2] ?? "") as ReaderPlan;
let [samples, failures, unhealthy, healthChecks]: [ReadSample[], ReadFailure[], ReadFailure[], number] = [
  [],
  [],
  [],
  0,
];
let isStopped = false;
void standardInputEnded().then(() => (isStopped = true));
const timer = setInterval(report, 500);
await Promise.all([
  ...nodeNames.flatMap((node) => [...readers(node, plan.urls[node], plan.questions), checkHealth(node)]),
  ...readers("bare", plan.bareUrl, [{ body: plan.questions[0]?.body ?? "{}", allowed: true }]),
]);
clearInterval(timer);
report();
process.exit(0);

function report(): void {
  tell({ samples, failures, unhealthy, healthChecks } satisfies ReaderMessage);
  [samples, failures, unhealthy, healthChecks] = [[], [], [], 0];
}

function readers(node: Asked, url: string, questions: readonly Question[]): Promise<void>[] {
  const startMs = Date.now();
  let asked = 0;
  const read = async (): Promise<void> => {
    while (!isStopped) {
      const index = asked++;
      const dueMs = startMs + (index * 1000) / plan.perSecond;
      if (dueMs > Date.now()) await Bun.sleep(dueMs - Date.now());
      if (isStopped) return;
      const question = questions[index % questions.length];
      if (question === undefined) return;
      const reason = await ask(url, question);
      if (reason === undefined) samples.push({ node, atMs: dueMs, tookMs: Date.now() - dueMs });
      else failures.push({ node, atMs: Date.now(), reason });
    }
  };
  return Array.from({ length: workers }, read);
}

/** Why it failed; undefined if the answer is right. */
async function ask(url: string, { body, allowed }: Question): Promise<string | undefined> {
  try {
    const answer = await fetch(`${url}/api/authorize`, {
      method: "POST",
      headers: { Authorization: `Bearer ${plan.key}`, "Content-Type": "application/json" },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await answer.text();
    if (!answer.ok) return `${answer.status} ${text.slice(0, 200)}`;
    return (JSON.parse(text) as { allowed: boolean }).allowed === allowed ? undefined : `a wrong answer: ${text}`;
  } catch (error) {
    return String(error);
  }
}

async function checkHealth(node: NodeName): Promise<void> {
  const request = requestHead({ path: "/healthcheck", headers: { Connection: "close" } });
  while (!isStopped) {
    const atMs = Date.now();
    try {
      const answer = await sendRaw(plan.urls[node], request, 5000);
      if (answer === undefined) unhealthy.push({ node, atMs, reason: "no answer within 5 s" });
      else healthChecks++;
    } catch (error) {
      unhealthy.push({ node, atMs, reason: String(error) });
    }
    await Bun.sleep(Math.max(0, atMs + 1000 - Date.now()));
  }
}
