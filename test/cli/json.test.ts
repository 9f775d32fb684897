/** Every command of the program can print JSON, and prints nothing else to standard output then. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDevNode, type DevNode } from "./dev-node.ts";
import { workspace } from "./workspace.ts";

const { run, write, path } = workspace();
const data = mkdtempSync(join(tmpdir(), "ostiary-json-"));
let node: DevNode;

const policy =
  'actor User {}\nresource Doc {\n  roles = ["reader"];\n  permissions = ["read"];\n  "read" if "reader";\n}\n';

beforeAll(async () => {
  node = await startDevNode([write("policy.polar", policy)], { directory: path(""), data });
}, 60_000);
afterAll(async () => {
  await node.stop();
  rmSync(data, { recursive: true, force: true });
});

/** Commands without `--json`, with the reason. */
const exceptions: ReadonlyMap<string, string> = new Map([
  ["serve", "its output is the log, which `--log-format json` makes JSON"],
  ["completion", "its output is a script for a shell"],
  ["man", "its output is a page for `man`"],
  ["openapi", "its output is JSON without it"],
]);

test("every command has the option", async () => {
  const { output } = await run(["man"]);
  const commands = [...output.replaceAll("\\-", "-").matchAll(/^\.SS (.*)$/gm)].map(([, name = ""]) => name);
  expect(commands.length).toBeGreaterThan(30);
  const helps = await Promise.all(commands.map((command) => run([...command.split(" "), "--help"])));
  const without = commands.filter((_, index) => !/^ +--json /m.test(helps[index]?.output ?? ""));
  expect(without.toSorted()).toEqual([...exceptions.keys()].toSorted());
}, 120_000);

test("what they print with it is JSON", async () => {
  write("bindings.yaml", "facts:\n  has_role(User:_, String:_, Doc:_):\n    query: SELECT a, b, c FROM roles\n");
  const lines: readonly (readonly [command: string, isPerLine?: boolean])[] = [
    ["version"],
    ["licenses"],
    ["config --role primary"],
    ["validate policy.polar"],
    ["test policy.polar"],
    ["fmt policy.polar"],
    ["explain-rules policy.polar"],
    ["generate-types typescript policy.polar"],
    ["generate-types typescript policy.polar --output types.ts"],
    ["plan policy.polar allow(User:_,read,Doc:_)"],
    [`health --url ${node.url}`],
    ["tell has_role User:ann reader Doc:a"],
    ["get"],
    ["inspect Doc:a"],
    ["authorize User:ann read Doc:a"],
    ["authorize-resources User:ann read Doc:a"],
    ["list User:ann read Doc"],
    ["actions User:ann Doc:a"],
    ["query has_role User:ann _ Doc:a"],
    ["explain User:ann read Doc:a"],
    ["delete has_role User:ann _ _"],
    ["events", true],
    ["audit"],
    ["bindings check bindings.yaml --policy policy.polar"],
    ["bindings put shop bindings.yaml"],
    ["bindings list"],
    ["bindings get shop"],
    ["bindings delete shop"],
    ["nodes", true],
    ["keys create --name x"],
    ["keys create --name y --expires 90d --only-predicates has_role"],
    ["keys rotate 12345 --grace 1h"],
    ["keys list"],
    [`backup --data ${data} --out a.backup`],
    ["restore a.backup --list --allow-unauthenticated"],
    [`snapshot create --data ${data} --out a.zst`],
    ["snapshot inspect a.zst"],
    ["snapshot import a.zst --data imported --allow-unauthenticated"],
    ["migrate --data imported"],
    ["abandon-history 0123456789abcdef --data empty"],
    ["adopt-history 0123456789abcdef --data imported"],
    ["clear --confirm"],
  ];
  for (const [line, isPerLine] of lines) {
    const { status, output, errors } = await run([...line.split(" "), "--json"], "", node.access);
    expect({ line, status, errors: status === 0 ? "" : errors }).toEqual({ line, status: 0, errors: "" });
    for (const part of isPerLine ? output.trimEnd().split("\n") : [output])
      expect({ line, isJson: typeof JSON.parse(part) }).toEqual({ line, isJson: "object" });
  }
}, 120_000);

test("generate-types reports the problems of a policy, and health that there is no answer", async () => {
  const broken = await run(["generate-types", "typescript", write("broken.polar", "actor User {"), "--json"]);
  expect([broken.status, broken.errors]).toEqual([1, ""]);
  expect(JSON.parse(broken.output)).toMatchObject({ success: false, problems: [{ file: "broken.polar" }] });
  const silent = await run(["health", "--url", "http://127.0.0.1:1", "--json"]);
  expect([silent.status, silent.output]).toEqual([1, '{"status":"no answer"}\n']);
});
