/**
 * A process that sends a request on each of many connections again and again, whatever the answers are, until it is
 * killed. It reads the plan from standard input.
 */
import * as Bun from "bun";

export interface FloodPlan {
  readonly url: string;
  readonly key: string;
  readonly connections: number;
  /** A number replaces `#` in the body. It differs for each request. */
  readonly body: string;
}

const { url, key, connections, body } = (await Bun.stdin.json()) as FloodPlan;
const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
let sent = 0;
const send = async (): Promise<never> => {
  for (;;) {
    const response = await fetch(url, { method: "POST", headers, body: body.replace("#", String(sent++)) });
    await response.arrayBuffer();
  }
};
const senders = Array.from({ length: connections }, send);
process.stdout.write("begun\n");
await Promise.all(senders);
