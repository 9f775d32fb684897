/**
 * A reader of server-sent events according to the HTML standard (section 9.2.6), over fetch, because `EventSource`
 * cannot send an API key.
 */
import { expect } from "bun:test";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { adminKey, eventually } from "../replication/cluster.ts";

export interface Received {
  readonly type: string;
  readonly data: string;
  /** The last event id when it was dispatched. */
  readonly id: string;
}

export interface Source {
  readonly response: Response;
  readonly received: readonly Received[];
  readonly comments: readonly string[];
  readonly lastEventId: () => string;
  readonly retryMs: () => number | undefined;
  /** Resolves when the response has ended, with whether it was complete. */
  readonly ended: Promise<boolean>;
  /** Resolves when this number of events has arrived. */
  count(events: number): Promise<readonly Received[]>;
  close(): void;
}

export interface SourceOptions {
  readonly after?: string;
  readonly lastEventId?: string;
  readonly key?: string;
  /** By default the changes of facts, policy and keys. */
  readonly path?: string;
}

export async function openSource(url: string, options: SourceOptions = {}): Promise<Source> {
  const { after, lastEventId, key = adminKey, path = "/api/events" } = options;
  const abort = new AbortController();
  const response = await fetch(`${url}${path}${after === undefined ? "" : `?after=${after}`}`, {
    headers: {
      authorization: `Bearer ${key}`,
      accept: "text/event-stream",
      ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
    },
    signal: abort.signal,
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  const parser = createParser();
  const ended = pump(response, parser.push);
  return {
    response,
    ...parser,
    ended,
    async count(events) {
      await eventually(() => expect(parser.received.length).toBeGreaterThanOrEqual(events));
      return parser.received;
    },
    close: () => abort.abort(),
  };
}

async function pump(response: Response, push: (text: string) => void): Promise<boolean> {
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) return true;
      push(decoder.decode(value, { stream: true }));
    }
  } catch {
    return false;
  }
}

/** A parser for pieces of any size. */
export function createParser() {
  const received: Received[] = [];
  const comments: string[] = [];
  let rest = "";
  let [type, data, id, retry] = ["", "", "", undefined as number | undefined];
  let lastId = "";
  const field = (name: string, value: string): void => {
    if (name === "event") type = value;
    else if (name === "data") data += `${value}\n`;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) retry = Number(value);
  };
  const dispatch = (): void => {
    lastId = id;
    if (data !== "") received.push({ type: type || "message", data: data.slice(0, -1), id });
    [type, data] = ["", ""];
  };
  const line = (text: string): void => {
    const colon = text.indexOf(":");
    if (text === "") dispatch();
    else if (colon === 0) comments.push(text.slice(1));
    else if (colon === -1) field(text, "");
    else field(text.slice(0, colon), text.slice(colon + 1).replace(/^ /, ""));
  };
  return {
    received,
    comments,
    lastEventId: () => lastId,
    retryMs: () => retry,
    push(text: string): void {
      // A carriage return at the end can be half of a line break.
      const whole = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = whole.pop() ?? "";
      whole.forEach(line);
    },
  };
}

export const dataOf = ({ data }: Received) => JSON.parse(data) as Record<string, unknown>;
export const offsets = (received: readonly Received[]) => received.map((event) => dataOf(event)["offset"]);

/** A counter or gauge of this process, by its name and labels. */
export async function metric(name: string): Promise<number> {
  return Number(new RegExp(`^${name.replaceAll(/[{}"]/g, "\\$&")} (\\d+)$`, "m").exec(await renderMetrics())?.[1] ?? 0);
}
