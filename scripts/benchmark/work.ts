/**
 * A process that sends requests one after the other, again and again, until it is killed. It reads the plan from standard
 * input, and writes a character to standard output when it begins and whenever all requests of the plan are answered.
 */
import * as Bun from "bun";

export interface WorkPlan {
  readonly url: string;
  readonly key: string;
  readonly requests: readonly WorkRequest[];
}

export interface WorkRequest {
  readonly method: string;
  readonly path: string;
  /** Instead of that of the plan. */
  readonly key?: string;
  /** A number replaces the last `#`. It differs for each request. */
  readonly body?: string;
}

const { url, key, requests } = (await Bun.stdin.json()) as WorkPlan;
process.stdout.write("b");
for (let sent = Date.now(); ; sent++) {
  for (const { method, path, body, key: own = key } of requests) {
    const answer = await fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${own}`, "Content-Type": "application/json" },
      ...(body !== undefined && { body: numbered(body, sent) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}: ${await answer.text()}`);
    // It is not kept, since this process shares the processors with the node.
    await answer.body?.pipeTo(new WritableStream());
  }
  process.stdout.write("d");
}

function numbered(text: string, number: number): string {
  const at = text.lastIndexOf("#");
  return at < 0 ? text : text.slice(0, at) + number + text.slice(at + 1);
}
