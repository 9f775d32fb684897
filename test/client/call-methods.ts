/**
 * A program for Node: calls every public method of versions of the official client, and prints the results as JSON. The
 * tests run it on Node, because the client behaves differently on other runtimes (codes of network errors, retries).
 */
import { createRequire } from "node:module";
import type { Oso as Oso1 } from "oso-cloud-1.6";
import type { Oso as Oso2, typedVar } from "oso-cloud";

export interface CallsRequest {
  /** `package.json` of the project. */
  readonly project: string;
  /** The names under which the versions are installed. */
  readonly packages: readonly string[];
  readonly url: string;
  readonly key: string;
  readonly fallbackUrl?: string;
  /** A file, which the methods for local authorization need. */
  readonly dataBindings: string;
  /** Whether all calls are made at the same time. Otherwise each sees the writes of earlier ones. */
  readonly concurrent: boolean;
  /** Whether to report expected decisions. */
  readonly parity: boolean;
}

export interface Outcome {
  readonly method: string;
  readonly result?: unknown;
  readonly error?: string;
}

export interface ClientReport {
  readonly outcomes: readonly Outcome[];
  /** All public methods of the client and of its query builder. */
  readonly methods: readonly string[];
}

/** Whether a decision is the expected one; only from version 2.5 on. */
interface Parity {
  expect(isAllowed: boolean): void;
}

type Calls = Readonly<Record<string, () => unknown>>;

interface Package {
  readonly Oso: new (url: string, key: string, options?: object) => Oso1 & Oso2;
  /** Only from version 2 on. */
  readonly typedVar?: typeof typedVar;
  readonly ParityHandle?: new () => Parity;
}

const policy = `
actor User {}
resource Repo {
  roles = ["member", "admin"]; permissions = ["read", "write"];
  "read" if "member"; "write" if "admin"; "member" if "admin";
}
`;
const [ann, bob, eve] = ["ann", "bob", "eve"].map((id) => ({ type: "User", id })) as [User, User, User];
const [anvil, bolt] = ["anvil", "bolt"].map((id) => ({ type: "Repo", id })) as [Repo, Repo];
type User = { type: "User"; id: string };
type Repo = { type: "Repo"; id: string };

/** In an order in which reads see the writes. At the end the node has the same facts as after `batch` of version 2. */
const callsOfVersion1 = (oso: Oso1): Calls => ({
  policy: () => oso.policy(policy),
  tell: () => oso.tell("has_role", ann, "member", bolt),
  bulkTell: () => oso.bulkTell([["has_role", bob, "admin", bolt]]),
  bulk: () => oso.bulk([["has_role", ann, null, null]], [["has_role", ann, "member", anvil]]),
  delete: () => oso.delete("has_role", eve, null, null),
  bulkDelete: () => oso.bulkDelete([["has_role", eve, "member", anvil]]),
  get: () => oso.get("has_role", ann, null, null),
  authorize: () => oso.authorize(ann, "read", anvil),
  authorizeResources: () => oso.authorizeResources(ann, "read", [bolt, anvil]),
  list: () => oso.list(ann, "read", "Repo", [["has_role", ann, "admin", bolt]]),
  actions: () => oso.actions(bob, bolt),
  bulkActions: () => oso.bulkActions(ann, [bolt, anvil], [["has_role", ann, "member", bolt]]),
  query: () => oso.query("has_permission", { type: "User" }, "read", null),
  query_with_context: () =>
    oso.query_with_context(["has_permission", eve, null, null], { contextFacts: [["has_role", eve, "member", bolt]] }),
  getPolicyMetadata: () => oso.getPolicyMetadata(),
  authorizeLocal: () => oso.authorizeLocal(ann, "read", anvil),
  listLocal: () => oso.listLocal(ann, "read", "Repo", "id"),
});

const callsOfVersion2 = (oso: Oso2, variable: typeof typedVar, ParityHandle: Package["ParityHandle"]): Calls => {
  const repo = variable("Repo");
  const readable = oso.buildQuery(["allow", ann, "read", repo]);
  return {
    policy: () => oso.policy(policy),
    insert: () => oso.insert(["has_role", ann, "member", bolt]),
    batch: () =>
      oso.batch((transaction) => {
        transaction.insert(["has_role", bob, "admin", bolt]);
        transaction.delete(["has_role", ann, null, null]);
        transaction.insert(["has_role", ann, "member", anvil]);
      }),
    delete: () => oso.delete(["has_role", eve, null, null]),
    get: () => oso.get(["has_role", ann, null, null]),
    authorize: async () => {
      if (ParityHandle === undefined) return oso.authorize(ann, "read", anvil);
      // The client does not wait for the reports, and an error in one ends the process.
      const [right, wrong] = [new ParityHandle(), new ParityHandle()];
      right.expect(true);
      const isAllowed = await oso.authorize(ann, "read", anvil, { parityHandle: right as never });
      const isAllowedAgain = await oso.authorize(ann, "read", anvil, { parityHandle: wrong as never });
      wrong.expect(false);
      return isAllowed && isAllowedAgain;
    },
    list: () => oso.list(ann, "read", "Repo", [["has_role", ann, "admin", bolt]]),
    listPaginated: () => oso.listPaginated(ann, "read", "Repo", 10_000),
    actions: () => oso.actions(bob, bolt),
    getPolicyMetadata: () => oso.getPolicyMetadata(),
    buildQuery: () => oso.buildQuery(["allow", ann, "write", repo]).evaluate(),
    evaluate: () => readable.evaluate(repo),
    and: () => readable.and(["has_role", bob, "admin", repo]).evaluate(repo),
    in: () => readable.in(repo, ["anvil", "bolt"]).evaluate(repo),
    withContextFacts: () => readable.withContextFacts([["has_role", ann, "member", bolt]]).evaluate(repo),
    evaluateLocalSelect: () => readable.evaluateLocalSelect({ id: repo }),
    evaluateLocalFilter: () => readable.evaluateLocalFilter("id", repo),
    authorizeLocal: () => oso.authorizeLocal(ann, "read", anvil),
    listLocal: () => oso.listLocal(ann, "read", "Repo", "id"),
    actionsLocal: () => oso.actionsLocal(ann, anvil),
  };
};

async function reportOf(name: string, request: CallsRequest): Promise<ClientReport> {
  const { url, key, fallbackUrl, dataBindings, concurrent } = request;
  const client = createRequire(request.project)(name) as Package;
  const { Oso, typedVar } = client;
  const options = { dataBindings, ...(fallbackUrl === undefined ? {} : { fallbackUrl }) };
  // The third parameter of the oldest version is its user agent.
  const oso = Oso.length < 3 || name.endsWith("-1.0") ? new Oso(url, key) : new Oso(url, key, options);
  const builder = typedVar && oso.buildQuery(["allow", ann, "read", typedVar("Repo")]);
  const methods = [...methodsOf(oso), ...(builder === undefined ? [] : methodsOf(builder))];
  const calls =
    typedVar === undefined
      ? callsOfVersion1(oso)
      : callsOfVersion2(oso, typedVar, request.parity ? client.ParityHandle : undefined);
  const outcomes: Promise<Outcome>[] = [];
  for (const method of Object.keys(calls).filter((each) => methods.includes(each))) {
    const outcome = outcomeOf(method, calls[method]);
    if (!concurrent) await outcome;
    outcomes.push(outcome);
  }
  return { methods, outcomes: await Promise.all(outcomes) };
}

async function outcomeOf(method: string, call: Calls[string] | undefined): Promise<Outcome> {
  try {
    return { method, result: (await call?.()) ?? null };
  } catch (error) {
    return { method, error: String(error) };
  }
}

function methodsOf(object: object): string[] {
  return Object.getOwnPropertyNames(Object.getPrototypeOf(object)).filter((name) => name !== "constructor");
}

const request = JSON.parse(process.argv[2] ?? "") as CallsRequest;
const reports = async (): Promise<Record<string, ClientReport>> => {
  const found: Record<string, ClientReport> = {};
  const run = async (name: string): Promise<void> => void (found[name] = await reportOf(name, request));
  if (request.concurrent) await Promise.all(request.packages.map(run));
  else for (const name of request.packages) await run(name);
  return found;
};
console.log(JSON.stringify(await reports()));
