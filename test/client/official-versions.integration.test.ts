/**
 * Published versions of the official client on Node, unmodified: their own test suites, and every public method on a
 * primary, an edge, and a fallback without its primary.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { developmentEnvironment, developmentKey } from "../../src/config/config.ts";
import { startDev } from "../../src/dev/dev.ts";
import { adminKey, converged, eventually, unset, withCluster, withDirectory } from "../replication/cluster.ts";
import type { CallsRequest, ClientReport, Outcome } from "./call-methods.ts";
import { deadUrl } from "./servers.ts";

const node = Bun.which("node");

/** Runs Node and returns its output. Its path and a status other than 0 are errors. */
async function runNode(parameters: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn([node ?? "node", ...parameters], {
    env: { ...process.env, ...variables },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 110_000,
  });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { status, output, errors };
}

/**
 * The global functions of Jest, by Node's own test runner and the `expect` of Jest. The suites connect to the ports 8081
 * (the node) and 6000 (nothing listens there), which another program may use: the connections go to other ports.
 */
const jest = (expectPath: string): string => `
const { after, afterEach, before, beforeEach, describe, test } = require("node:test");
const { Agent } = require("node:http");
const { expect } = require(${JSON.stringify(expectPath)});
Object.assign(globalThis, { describe, test, expect, beforeAll: before, beforeEach, afterAll: after, afterEach });
const ports = JSON.parse(process.env.TEST_PORTS);
const { createConnection } = Agent.prototype;
Agent.prototype.createConnection = function (options, ...rest) {
  const port = ports[options.port];
  if (port === undefined) throw new Error("an unexpected port: " + options.port);
  return createConnection.call(this, { ...options, port, host: "127.0.0.1" }, ...rest);
};
`;

describe.skipIf(node === null)("the test suite of the official client (skipped without Node)", () => {
  test.each([
    ["1.0.4", "oso-cloud-1.0", 23],
    ["1.1.1", "oso-cloud-1.1", 23],
    ["1.6.1", "oso-cloud-1.6", 31],
  ])(
    "%s passes",
    (version, name, count) =>
      withCluster(async (cluster) => {
        const folder = join(projectRoot, "node_modules", name);
        expect(((await Bun.file(join(folder, "package.json")).json()) as { version: string }).version).toBe(version);
        const flags = { environment: developmentEnvironment, adminKey: unset, nodeKey: unset };
        const dev = await startDev({ ...cluster.config("primary", "dev", flags), adminKey: developmentKey }, []);
        try {
          const globals = join(cluster.directory, "jest.cjs");
          writeFileSync(globals, jest(join(projectRoot, "node_modules", "expect")));
          const ports = { 8081: new URL(dev.url).port, 6000: new URL(await deadUrl()).port };
          const { status, output, errors } = await runNode(
            ["--require", globals, "--test-reporter", "tap", join(folder, "dist", "src", "index.test.js")],
            { TEST_PORTS: JSON.stringify(ports) },
          );
          const failed = output.split("\n").filter((line) => /^\s*not ok/.test(line));
          expect({
            status,
            failed,
            errors,
            tests: numberOf("tests", output),
            passed: numberOf("pass", output),
          }).toEqual({ status: 0, failed: [], errors: "", tests: count, passed: count });
        } finally {
          await dev.stop();
        }
      }),
    120_000,
  );
});

/** A number of the summary at the end. */
function numberOf(name: string, output: string): number {
  return Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(output)?.[1] ?? Number.NaN);
}

const version1 = ["oso-cloud-1.0", "oso-cloud-1.1", "oso-cloud-1.6"];
const version2 = ["oso-cloud-2.1", "oso-cloud-2.4", "oso-cloud-2.5", "oso-cloud"];

const User = (id: string) => ({ type: "User", id });
const [anvil, bolt] = ["anvil", "bolt"].map((id) => ({ type: "Repo", id }));
const none = { roles: [], permissions: [], relations: {} };
const metadata = {
  resources: {
    Repo: { ...none, roles: ["admin", "member"], permissions: ["read", "write"] },
    User: none,
    global: none,
  },
};
/** The bound signature is not used, so the facts of the node decide. */
const bindings = "facts:\n  is_public(Repo:_):\n    query: SELECT id FROM repos\n";
const allowedSql = { result: "SELECT TRUE AS allowed" };
const anvilSql = { result: expect.stringContaining("'anvil'") };
const isRefused = {
  error: expect.stringContaining(
    "this is a fallback, which only answers queries, send writes to the primary or an edge",
  ),
};
const written = { result: null };

type Expected = Readonly<Record<string, Omit<Outcome, "method">>>;

const writes1: Expected = {
  policy: written,
  tell: { result: ["has_role", User("ann"), "member", bolt] },
  bulkTell: written,
  bulk: written,
  delete: written,
  bulkDelete: written,
};
const reads1: Expected = {
  get: { result: [["has_role", User("ann"), "member", anvil]] },
  authorize: { result: true },
  authorizeResources: { result: [anvil] },
  list: { result: ["anvil", "bolt"] },
  actions: { result: ["read", "write"] },
  bulkActions: { result: [["read"], ["read"]] },
  query: {
    result: [
      ["has_permission", User("ann"), "read", anvil],
      ["has_permission", User("bob"), "read", bolt],
    ],
  },
  query_with_context: { result: [["has_permission", User("eve"), "read", bolt]] },
  getPolicyMetadata: { result: metadata },
  authorizeLocal: allowedSql,
  listLocal: anvilSql,
};
const writes2: Expected = { policy: written, insert: written, batch: written, delete: written };
const reads2: Expected = {
  get: { result: [["has_role", User("ann"), { type: "String", id: "member" }, anvil]] },
  authorize: { result: true },
  list: { result: ["anvil", "bolt"] },
  listPaginated: { result: { results: ["anvil"], nextPageToken: null } },
  actions: { result: ["read", "write"] },
  getPolicyMetadata: { result: metadata },
  buildQuery: { result: false },
  evaluate: { result: ["anvil"] },
  and: { result: [] },
  in: { result: ["anvil"] },
  withContextFacts: { result: ["anvil", "bolt"] },
  evaluateLocalSelect: anvilSql,
  evaluateLocalFilter: anvilSql,
  authorizeLocal: allowedSql,
  listLocal: anvilSql,
  actionsLocal: { result: expect.stringContaining("'read'") },
};

/** Bundles the program that calls the methods, and passes a function that runs it. */
async function withProgram(
  body: (callAll: (to: Omit<CallsRequest, "project" | "key" | "dataBindings">) => Promise<Reports>) => Promise<void>,
) {
  await withDirectory(async (directory) => {
    const { outputs } = await Bun.build({
      entrypoints: [join(import.meta.dirname, "call-methods.ts")],
      target: "node",
      naming: "calls.mjs",
      outdir: directory,
    });
    expect(outputs).toHaveLength(1);
    const dataBindings = join(directory, "bindings.yaml");
    writeFileSync(dataBindings, bindings);
    await body(async (to) => {
      const common = { project: join(projectRoot, "package.json"), key: adminKey, dataBindings };
      const request: CallsRequest = { ...common, ...to };
      const { status, output, errors } = await runNode([join(directory, "calls.mjs"), JSON.stringify(request)]);
      // The client prints network errors that it also throws.
      if (status !== 0) throw new Error(errors);
      return JSON.parse(output) as Reports;
    });
  });
}

type Reports = Readonly<Record<string, ClientReport>>;

function check(reports: Reports, where: string, refusesWrites: boolean): void {
  const refusals = (expected: Expected): Expected =>
    refusesWrites ? Object.fromEntries(Object.keys(expected).map((name) => [name, isRefused])) : expected;
  for (const [name, { outcomes, methods }] of Object.entries(reports)) {
    const expected: Expected = version1.includes(name)
      ? { ...refusals(writes1), ...reads1 }
      : { ...refusals(writes2), ...reads2 };
    expect([where, name, outcomes.map(({ method }) => method).toSorted()]).toEqual([where, name, methods.toSorted()]);
    for (const { method, ...outcome } of outcomes)
      expect([where, name, method, sortedRows(outcome)]).toEqual([where, name, method, expected[method] ?? {}]);
  }
}

/** Two versions report the result that they expect: each of them a right one and a wrong one. */
async function checkParity(url: string): Promise<void> {
  const headers = { authorization: `Bearer ${adminKey}` };
  await eventually(async () => {
    const response = await fetch(`${url}/api/parity`, { headers });
    expect(await response.json()).toMatchObject({ counts: { mismatch: 2, pending: 0, match: 2 } });
  });
}

/** The order of rows of `/api/query` is not documented. */
function sortedRows(outcome: Omit<Outcome, "method">): Omit<Outcome, "method"> {
  const { result } = outcome;
  if (!Array.isArray(result) || !Array.isArray(result[0])) return outcome;
  return { result: result.toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1)) };
}

test.skipIf(node === null)(
  "every public method of seven versions works on a primary and on an edge, and reads work on a fallback without them (skipped without Node)",
  () =>
    withProgram((callAll) =>
      withCluster(async (cluster) => {
        const packages = [...version1, ...version2];
        const primary = await cluster.primary();
        check(await callAll({ url: primary.url, packages, concurrent: false, parity: true }), "primary", false);
        await checkParity(primary.url);
        const edge = await cluster.edge("edge", primary);
        await converged(edge.node, primary.node);
        check(await callAll({ url: edge.url, packages, concurrent: false, parity: true }), "edge", false);
        await checkParity(edge.url);
        const fallback = await cluster.fallback(primary);
        await eventually(() => expect(fallback.node.health().offset).toBe(primary.node.health().offset));
        await Promise.all([edge.stop(), primary.stop()]);
        const withFallback = packages.slice(packages.indexOf("oso-cloud-1.6"));
        const [direct, indirect] = await Promise.all([
          callAll({ url: fallback.url, packages, concurrent: true, parity: true }),
          callAll({
            ...{ url: primary.url, fallbackUrl: fallback.url, packages: withFallback },
            ...{ concurrent: true, parity: false },
          }),
        ]);
        await checkParity(fallback.url);
        check(direct, "fallback", true);
        for (const [name, { outcomes }] of Object.entries(indirect)) {
          const found = new Map(outcomes.map(({ method, ...outcome }) => [method, outcome]));
          for (const method of ["authorize", "list", "actions"])
            expect([name, found.get(method)]).toEqual([name, reads1[method]]);
          for (const method of ["policy", "delete"])
            expect([name, found.get(method)]).toEqual([name, { error: expect.any(String) }]);
        }
      }),
    ),
  120_000,
);
