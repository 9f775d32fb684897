/**
 * How long a hostile body delays other clients, compared with `JSON.parse` of the same body. A second client requests the
 * health of the node without a pause: its longest wait, minus the usual one, is how long the serving thread was blocked.
 */
import { hostileBodies, type HostileBody } from "./hostile-bodies.ts";
import type { Nodes } from "./nodes.ts";
import { median } from "./timing.ts";

export interface BodyTimes {
  readonly name: string;
  /** Milliseconds. */
  readonly parsed: number;
  readonly blocked: number;
}

const bodyBytes = 2 ** 20;
/** Bodies of many values: `JSON.parse` takes milliseconds for each, so that the ratio is meaningful. */
const measured =
  /^(?:args of a context fact|ids|resources): (?:zeros|empty lists|empty objects|short strings|many keys)$/;

/** The worst first. */
export async function measureBodies({ primary, adminKey }: Nodes, rounds: number): Promise<BodyTimes[]> {
  const times: BodyTimes[] = [];
  for (const body of hostileBodies(bodyBytes).filter(({ name }) => measured.test(name))) {
    const [parsed, blocked]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      parsed.push(timeParse(body.text));
      blocked.push(await timeBlocked(primary.url, adminKey, body));
    }
    times.push({ name: body.name, parsed: median(parsed), blocked: median(blocked) });
  }
  return times.toSorted((left, right) => right.blocked / right.parsed - left.blocked / left.parsed);
}

function timeParse(text: string): number {
  const startMs = performance.now();
  JSON.parse(text);
  return performance.now() - startMs;
}

async function timeBlocked(url: string, key: string, { path, text }: HostileBody): Promise<number> {
  const waits: number[] = [];
  const probe = async (): Promise<void> => {
    const startMs = performance.now();
    await (await fetch(`${url}/healthcheck`)).text();
    waits.push(performance.now() - startMs);
  };
  for (let probes = 0; probes < 20; probes++) await probe();
  const usual = median(waits);
  let isOver = false;
  const ask = async (): Promise<void> => {
    try {
      const headers = { Authorization: `Bearer ${key}` };
      const response = await fetch(url + path, { method: "POST", headers, body: text });
      if (response.status < 400 || response.status >= 500) throw new Error(`${path} answered ${response.status}`);
      await response.text();
    } finally {
      isOver = true;
    }
  };
  const answered = ask();
  waits.length = 0;
  do await probe();
  while (!isOver);
  await answered;
  return Math.max(0, Math.max(...waits) - usual);
}
