/** Clients of a cluster whose metrics a Prometheus collects, and the queries of the shipped dashboards. */
import { Repository } from "../../scripts/example/facts.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, type Cluster } from "./cluster.ts";
import type { Prometheus } from "./prometheus.ts";

interface Send {
  readonly key: string;
  readonly method?: string;
  readonly body?: unknown;
}

export async function send(
  url: string,
  { key, method = "POST", body }: Send,
): Promise<{ status: number; text: string }> {
  const response = await fetch(url, {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  return { status: response.status, text: await response.text() };
}

export const roleOf = (user: string, resource: { readonly type: string; readonly id: string }) => ({
  predicate: "has_role",
  args: [{ type: "User", id: user }, { type: "String", id: "reader" }, resource],
});

export const question = (user: string, resource: { readonly type: string; readonly id: string }) => ({
  ...{ actor_type: "User", actor_id: user, action: "read" },
  ...{ resource_type: resource.type, resource_id: resource.id, context_facts: [] },
});

/** Writes, decisions and lists on all nodes until it is stopped. */
export function startLoad({ primary, adminKey }: Cluster, nodes: readonly NodeProcess[]): { stop(): Promise<void> } {
  let [isStopped, count] = [false, 0];
  const run = async (): Promise<void> => {
    while (!isStopped) {
      const user = `load-${count++}`;
      const inserts = [roleOf(user, Repository("kernel"))];
      await send(`${primary.url}/api/batch`, { key: adminKey, body: [{ inserts }] });
      for (const { url } of nodes) {
        for (const asked of [user, "alice"])
          await send(`${url}/api/authorize`, { key: adminKey, body: question(asked, Repository("kernel")) });
        await send(`${url}/api/facts?predicate=has_role`, { key: adminKey, method: "GET" });
      }
    }
  };
  const running = run();
  return {
    stop() {
      isStopped = true;
      return running;
    },
  };
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

/** The queries of a dashboard, with values for its variables. */
function queriesOf(content: unknown, { node, environment }: { readonly node: string; readonly environment: string }) {
  const { panels } = content as { readonly panels: readonly Panel[] };
  const values = { cluster: "main", environment, node, __rate_interval: "5s" };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      title,
      expr: expr.replaceAll(/\$(\w+)/g, (_, name: string) => must(values[name as keyof typeof values], name)),
    })),
  );
}

/** Waits until all queries have a series with a number. */
export async function expectSeries(prometheus: Prometheus, content: unknown, node: string, environment: string) {
  let left = queriesOf(content, { node, environment });
  const isEmpty = async (expr: string): Promise<boolean> =>
    !(await prometheus.query(expr)).some(({ value }) => Number.isFinite(value));
  await eventually(
    async () => {
      const empty = await Promise.all(left.map(({ expr }) => isEmpty(expr)));
      left = left.filter((_, index) => empty[index]);
      return left.length === 0;
    },
    "each query returns a series",
    60_000,
  ).catch((error: unknown) => {
    throw new Error(`no series with node=${node}, environment=${environment}: ${JSON.stringify(left, null, 1)}`, {
      cause: error,
    });
  });
}

/** The cluster notices failures within a second or two. */
export const quick = {
  OSTIARY_READY_AGE_MS_MAX: "3s",
  OSTIARY_POLL_INTERVAL_MS: "300ms",
  OSTIARY_HEAD_INTERVAL_MS: "300ms",
  OSTIARY_BROKER_SILENCE_MS_MAX: "2s",
  OSTIARY_RETRY_DELAY_MS_MAX: "100ms",
  OSTIARY_SCRUB_INTERVAL_MS: "1s",
  OSTIARY_DECISIONS_LOG: "all",
};
