/**
 * Two environments of one appliance compared with two appliances: the same random operations on both give the same
 * answers, positions, digests and logs on all roles, although both environments use the same names.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { must } from "../../src/util/assert.ts";
import { type Cluster, eventually, withCluster } from "../replication/cluster.ts";
import { seedsOf } from "../seeds.ts";
import { Random } from "../sim/random.ts";
import { ask, createEnvironment, isReader, policy, type Reply } from "./host.ts";

const seeds = seedsOf(1);
const steps = Math.ceil(Number(process.env["ENVIRONMENT_STEPS"] ?? 150) / seeds.length);
const ids = ["one", "two"] as const;
const roles = ["primary", "edge", "fallback"] as const;
const users = ["ann", "bob", "cid", "dan"];
const repos = ["main", "side"];

interface Node {
  readonly url: string;
  readonly data: string;
}

/** One environment, as part of an appliance or as an appliance of its own. */
interface Place {
  readonly key: string;
  readonly nodes: Readonly<Record<(typeof roles)[number], Node>>;
  /** The directory of its data within that of a node. */
  readonly directory: string;
}

const stricter = `${policy.replace('"reader"]', '"reader", "banned"]').replace('"read" if "reader";', "")}
has_permission(user: User, "read", repo: Repo) if
  has_role(user, "reader", repo) and not has_role(user, "banned", repo);
`;
const policies = [policy, stricter, policy.replace("reader", 'reader", "writer')];

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

function randomOperation(random: Random): Operation {
  const fact = () => isReader(random.pick(users), random.pick(repos));
  const kind = random.below(20);
  if (kind === 0) return { method: "POST", path: "/api/clear_data" };
  if (kind < 3) return { method: "POST", path: "/api/policy", body: { src: random.pick(policies) } };
  const inserts = Array.from({ length: 1 + random.below(3) }, fact);
  if (kind < 13) return { method: "POST", path: "/api/batch", body: [{ inserts }] };
  return { method: "POST", path: "/api/batch", body: [{ deletes: inserts }] };
}

const questions: readonly Operation[] = [
  ...users.flatMap((user) =>
    repos.map((repo) => ({
      method: "POST",
      path: "/api/authorize",
      body: {
        ...{ actor_type: "User", actor_id: user, action: "read" },
        ...{ resource_type: "Repo", resource_id: repo, context_facts: [] },
      },
    })),
  ),
  ...users.map((user) => ({
    method: "POST",
    path: "/api/list",
    body: { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", context_facts: [] },
  })),
  { method: "GET", path: "/api/facts?predicate=has_role" },
  { method: "GET", path: "/api/policy" },
];

const send = ({ key, nodes }: Place, role: (typeof roles)[number], { method, path, body }: Operation): Promise<Reply> =>
  ask(nodes[role], key, method, path, body);

/** What has to be equal: lists have no order, and policies have the time of their upload. */
function comparable({ status, json }: Reply): unknown {
  const sorted = (value: unknown): unknown =>
    Array.isArray(value) ? value.map((each) => JSON.stringify(each)).toSorted() : value;
  if (Array.isArray(json)) return [status, sorted(json)];
  const { results, policy: shown, message, ...rest } = json as Readonly<Record<string, unknown>>;
  const source = (shown as { readonly src?: string } | undefined)?.src;
  return [status, sorted(results), source, message, Object.keys(rest).toSorted(), rest["allowed"]];
}

/** The log, without times and epochs. */
async function logOf(place: Place, role: (typeof roles)[number]): Promise<readonly unknown[]> {
  const { json } = await send(place, role, { method: "GET", path: "/api/events?limit=1000" });
  return (json.events ?? []).map(({ offset, type, data, ...rest }) => [
    offset,
    type,
    (rest as { kind?: string }).kind,
    JSON.stringify(data ?? null).replaceAll(/"(?:time|created)":"[^"]*"/g, ""),
  ]);
}

function stateOf({ nodes, directory }: Place, role: (typeof roles)[number]): unknown {
  const store = openStore(must(currentStorePath(join(nodes[role].data, directory))), { readonly: true });
  try {
    const { offset, digest } = readState(store);
    return { offset, digest };
  } finally {
    store.close();
  }
}

async function appliance(cluster: Cluster, flags: Readonly<Record<string, string>> = {}): Promise<Place["nodes"]> {
  const primary = await cluster.host("primary", "primary", flags);
  const replica = { ...flags, primary: primary.url };
  const edge = await cluster.host("edge", "edge", { ...replica, adminKey: "" });
  const fallback = await cluster.host("fallback", "fallback", { ...replica, adminKey: "", refresh: "1s" });
  return { primary, edge, fallback };
}

test.each(seeds)(
  "two environments are as two appliances, seed %i",
  (seed) =>
    withCluster(async (shared) => {
      const nodes = await appliance(shared);
      const keys = [await createEnvironment(nodes.primary, "one"), await createEnvironment(nodes.primary, "two")];
      const hosted = ids.map((id, index): Place => ({
        ...{ key: must(keys[index]), nodes },
        directory: join("environments", id),
      }));
      await withCluster(async (first) =>
        withCluster(async (second) => {
          const alone: Place[] = [];
          for (const [index, cluster] of [first, second].entries()) {
            const flags = { environment: must(ids[index]), adminKey: must(keys[index]) };
            alone.push({ key: must(keys[index]), nodes: await appliance(cluster, flags), directory: "." });
          }
          const random = new Random(seed);
          const compare = async (role: (typeof roles)[number], operation: Operation, index: number): Promise<void> => {
            const [here, there] = [must(hosted[index]), must(alone[index])];
            const expected = comparable(await send(there, role, operation));
            expect({ role, operation, answer: comparable(await send(here, role, operation)) }).toEqual({
              role,
              operation,
              answer: expected,
            });
          };
          await eventually(async () => {
            for (const place of [...hosted, ...alone])
              expect((await send(place, "edge", { method: "GET", path: "/api/facts?predicate=has_role" })).status).toBe(
                200,
              );
          });
          // Without a policy, facts are refused, and a seed can have few uploads.
          const upload = { method: "POST", path: "/api/policy", body: { src: policy } };
          for (const index of ids.keys()) await compare("primary", upload, index);
          for (let step = 0; step < steps; step++) {
            const index = random.below(2);
            await compare(random.pick(["primary", "edge"] as const), randomOperation(random), index);
            if (step % 5 === 0) for (const other of ids.keys()) await compare("primary", random.pick(questions), other);
          }
          for (const index of ids.keys())
            for (const role of roles)
              await eventually(async () => {
                const [here, there] = [must(hosted[index]), must(alone[index])];
                expect(stateOf(here, role)).toEqual(stateOf(there, "primary"));
                for (const question of questions) await compare(role, question, index);
                if (role === "fallback") return;
                // A replica that began with a snapshot lacks the events before it.
                const [found, expected] = [await logOf(here, role), await logOf(there, "primary")];
                expect(found.length).toBeGreaterThan(0);
                expect(found).toEqual(expected.slice(-found.length));
              });
        }),
      );
    }),
  120_000,
);
