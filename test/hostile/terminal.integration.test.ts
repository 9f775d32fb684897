/** Data with control characters for terminals: no command and no log prints them. */
import * as Bun from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeHeader } from "../../src/store/snapshot/snapshot-header.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { openSnapshot } from "../../src/store/snapshot/snapshot.ts";
import { formatJson, formatText } from "../../src/telemetry/logger.ts";
import { printable, printableLines } from "../../src/util/printable.ts";
import { workspace } from "../cli/workspace.ts";
import { adminKey, insert, loadPolicy, nodeKey, post, withCluster } from "../replication/cluster.ts";
import { tamper } from "./tampered.ts";

setDefaultTimeout(60_000);

const { run, path, write } = workspace();

/** Sequences that clear the screen (7 and 8 bits), move up a line, write backwards, and hide text. */
const evil = "x\u001b[2J\u009b2J\u001b[1A\r\u0007\u202e\u200b\u001b]0;t\u0007y";
const raw = /[^\P{Cc}\n\t]|\p{Cf}/u;

function expectPlain(shown: { readonly output: string; readonly errors: string }, escaped = "\\u001b[2J"): void {
  expect(shown.output).not.toMatch(raw);
  expect(shown.errors).not.toMatch(raw);
  expect(shown.output + shown.errors).toContain(escaped);
}

test("one function escapes it like JSON", () => {
  expect(printable("a\tb\nc\u001b\u0085\u2028é日👍")).toBe("a\\u0009b\\u000ac\\u001b\\u0085\\u2028é日👍");
  expect(printableLines("a\tb\nc\r\u001b")).toBe("a\tb\nc\\u000d\\u001b");
  const value = { text: `${evil}\u{e0041}` };
  expect(JSON.parse(printableLines(JSON.stringify(value, null, 2)))).toEqual(value);
});

test("keys, facts, explanations and events of a node", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, evil);
    await post(primary.url, "/api/keys", { role: "read", name: `${evil}\nforged  admin  row` });
    const access = { OSO_URL: primary.url, OSO_AUTH: adminKey };
    const keys = await run(["keys", "list"], "", access);
    expectPlain(keys);
    expect(keys.output.trimEnd().split("\n")).toHaveLength(3);
    expectPlain(await run(["events"], "", access));
    expectPlain(await run(["events", "--json"], "", access));
    expectPlain(await run(["explain", `User:${evil}`, "read", "Repo:main"], "", access));
    const json = await run(["explain", `User:${evil}`, "read", "Repo:main", "--json"], "", access);
    expectPlain(json);
    expect(JSON.parse(json.output)).toMatchObject({ allowed: true });
    expectPlain(await run(["keys", "revoke", evil], "", access));
  }));

test("names in snapshots and backups, and of files", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    const keyed = { OSTIARY_NODE_KEY: nodeKey };
    const name = `${evil}.zst`;
    const made = await run(["snapshot", "create", "--data", primary.data, "--out", name], "", keyed);
    expectPlain(made);
    const file = await tamper(path(name), path("named.zst"), {
      manifest: { environment: `${evil}\n  origin      authenticated` },
      nodeKeyHash: hashKey(nodeKey),
    });
    const inspected = await run(["snapshot", "inspect", "named.zst"], "", keyed);
    expectPlain(inspected);
    expect(inspected.output.match(/^ {2}origin/gm)).toHaveLength(1);
    expectPlain(await run(["snapshot", "inspect", "named.zst", "--json"], "", keyed));
    expectPlain(await run(["snapshot", "inspect", "named.zst", "--full"], "", keyed));
    expectPlain(await run(["restore", "named.zst", "--list"], "", keyed));
    expectPlain(await run(["restore", `${evil}.backup`, "--list"], "", keyed));
    expectPlain(await run(["snapshot", "import", "named.zst", "--data", evil], "", keyed));
    expectPlain(await run(["backup", "--data", evil, "--out", "x"], "", keyed));
    expect(openSnapshot(file).manifest.environment).toContain(evil);
    writeFileSync(path("other.zst"), encodeHeader({ ...openSnapshot(file).manifest, schema: 999 }));
    expectPlain(await run(["snapshot", "inspect", "other.zst"], "", keyed), "it has");
  }));

test("diagnostics, test results and formatted files of a policy", async () => {
  const directory = `${evil}-policies`;
  mkdirSync(path(directory));
  const named = join(directory, `${evil}.polar`);
  write(named, `actor User {}\ntest "${evil}" { assert allow(User{"${evil}"}, "read", User{"b"}); }\n`);
  for (const command of [["validate"], ["test"], ["test", "--coverage"], ["fmt", "--check"], ["explain-rules"]])
    expectPlain(await run([...command, named]), "\\u001b[2J");
  expectPlain(await run(["test", "--json", named]));
  write(named, `actor ${evil} {}\n`);
  for (const command of ["validate", "fmt"]) expectPlain(await run([command, named]));
  expectPlain(await run(["validate", `${evil}-absent`]));
  expectPlain(await run(["serve", `--${evil}`]));
  expectPlain(await run(["serve", "--role", evil]));
});

test("the content of a file reaches another program unchanged", async () => {
  const source = "actor User {}\n\n# \u001b[1m\n";
  const { output } = await run(["fmt"], source);
  expect(output).toBe(source);
});

test("responses of a server that is not a node", async () => {
  const stranger = Bun.serve({ port: 0, fetch: () => Response.json({ message: `${evil}\nforged` }, { status: 500 }) });
  const access = { OSO_URL: `http://127.0.0.1:${stranger.port}`, OSO_AUTH: adminKey };
  for (const command of [["keys", "list"], ["events"], ["promote"], ["health", "--url", access.OSO_URL]]) {
    const shown = await run(command, "", access);
    expectPlain(shown);
    expect(shown.errors).not.toMatch(/^forged/m);
  }
  await stranger.stop(true);
});

test("log lines, in either format", () => {
  const error = new Error(evil);
  const record = {
    category: ["ostiary", "node"],
    level: "error",
    message: ["from ", evil, ""],
    rawMessage: "from {name}",
    timestamp: 0,
    properties: { name: evil, other: `${evil}\nforged`, error },
  } as const;
  for (const line of [formatText(record), formatJson(record)]) {
    expect(line).not.toMatch(raw);
    expect(line).not.toMatch(/^forged/m);
    expect(line).toContain("\\u001b[2J");
  }
  expect(JSON.parse(formatJson(record))).toMatchObject({ name: evil });
});
