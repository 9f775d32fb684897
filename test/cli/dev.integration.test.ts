/** `ostiary dev`: its settings from the environment, its limits, and the reload of changed policies. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { denoProgram } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import { startDevProcess, type DevNode } from "./dev-node.ts";
import { readUntil } from "./read-until.ts";
import { workspace } from "./workspace.ts";

const { run, write } = workspace();
const directory = mkdtempSync(join(tmpdir(), "ostiary-dev-test-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const policyWith = (role: string): string =>
  `actor User {}\nresource Doc {\n  roles = ["${role}"];\n  permissions = ["read"];\n  "read" if "${role}";\n}\n`;

const rolesOf = async ({ url, access }: DevNode): Promise<unknown> => {
  const response = await fetch(`${url}/api/policy_metadata`, {
    headers: { Authorization: `Bearer ${access.OSO_AUTH}` },
  });
  return ((await response.json()) as { metadata: { resources: Record<string, unknown> } }).metadata.resources["Doc"];
};

test("OSO_PORT and OSO_DIRECTORY choose the port and the directory, which is kept; flags win", async () => {
  const [port, data] = [await freePort(), join(directory, "kept")];
  const policy = join(directory, "kept.polar");
  writeFileSync(policy, policyWith("reader"));
  const environment = { OSO_PORT: String(port), OSO_DIRECTORY: data };
  const first = await startDevProcess([policy], environment);
  expect(first.url).toBe(`http://127.0.0.1:${port}`);
  expect(await run(["tell", "has_role", "User:ann", "reader", "Doc:a"], "", first.access)).toMatchObject({ status: 0 });
  expect(await first.stop()).toBe(0);

  const second = await startDevProcess(["--port", "0"], environment);
  expect(second.url).not.toBe(first.url);
  expect(await run(["authorize", "User:ann", "read", "Doc:a"], "", second.access)).toMatchObject({ status: 0 });
  expect(await second.stop()).toBe(0);

  const other = await startDevProcess([policy, "--data", join(directory, "other")], { OSO_DIRECTORY: data });
  expect(await run(["authorize", "User:ann", "read", "Doc:a"], "", other.access)).toMatchObject({ status: 1 });
  expect(await other.stop()).toBe(0);
}, 60_000);

test("the data are temporary by default", async () => {
  const temporary = mkdtempSync(join(directory, "tmp-"));
  const node = await startDevProcess([], { TMPDIR: temporary });
  expect(readdirSync(temporary).filter((name) => name.startsWith("ostiary-dev-"))).toHaveLength(1);
  expect(await node.stop()).toBe(0);
  expect(readdirSync(temporary).filter((name) => name.startsWith("ostiary-dev-"))).toEqual([]);
}, 60_000);

test("requests may be larger than those to other nodes, unless a setting says otherwise", async () => {
  const file = join(directory, "limits.polar");
  writeFileSync(file, policyWith("reader"));
  const node = await startDevProcess([file]);
  try {
    const inserts = Array.from({ length: 12_000 }, (_, index) => ({
      predicate: "has_role",
      args: [
        { type: "User", id: `user-${index}` },
        { type: "String", id: "reader" },
        { type: "Doc", id: `document with a long name, so that the body is larger than a mebibyte, number ${index}` },
      ],
    }));
    const send = (body: object): Promise<Response> =>
      fetch(`${node.url}/api/batch`, {
        method: "POST",
        headers: { Authorization: `Bearer ${node.access.OSO_AUTH}` },
        body: JSON.stringify(body),
      });
    const inserted = await send([{ inserts }]);
    expect(await inserted.json()).toEqual({ message: "12000 facts inserted, 0 facts deleted" });
    const any = { type: null, id: null };
    const deleted = await send([{ deletes: [{ predicate: "has_role", args: [any, any, any] }] }]);
    expect(await deleted.json()).toEqual({ message: "0 facts inserted, 12000 facts deleted" });
  } finally {
    await node.stop();
  }
  const limited = await startDevProcess([file], { OSTIARY_BATCH_ENTRIES_MAX: "1" });
  const refused = await fetch(`${limited.url}/api/batch`, {
    method: "POST",
    headers: { Authorization: `Bearer ${limited.access.OSO_AUTH}` },
    body: JSON.stringify([{ deletes: [1, 2].map(() => ({ predicate: "p", args: [{ type: "A", id: "b" }] })) }]),
  });
  await limited.stop();
  expect(refused.status).toBe(413);
}, 60_000);

test.each([
  ["Bun", undefined],
  ["Deno", denoProgram],
])(
  "--watch-for-changes on %s loads replaced files, and keeps the policy if the new one is broken",
  async (_, program) => {
    const file = join(directory, "watched.polar");
    // As many editors do: write another file, and rename it. A file that is written in place can be empty for a moment.
    const save = (text: string): void => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const refusal = /[^]*not loaded, the node keeps its policy\n/;
    save(policyWith("reader"));
    const node = await startDevProcess(["--watch-for-changes", file], {}, program);
    try {
      expect(await rolesOf(node)).toMatchObject({ roles: ["reader"] });
      save(policyWith("writer"));
      await readUntil(node.errors, /watched\.polar: loaded again\n/);
      expect(await rolesOf(node)).toMatchObject({ roles: ["writer"] });

      save(`${policyWith("owner")}test "fails" { assert allow(User{"a"}, "read", Doc{"d"}); }\n`);
      expect((await readUntil(node.errors, refusal))[0]).not.toContain("loaded again");
      save("actor User {\n");
      expect((await readUntil(node.errors, refusal))[0]).toContain("watched.polar:");
      rmSync(file);
      expect((await readUntil(node.errors, refusal))[0]).toContain("there is no such file");
      expect(await rolesOf(node)).toMatchObject({ roles: ["writer"] });

      save(policyWith("admin"));
      await readUntil(node.errors, /watched\.polar: loaded again\n/);
      expect(await rolesOf(node)).toMatchObject({ roles: ["admin"] });
    } finally {
      expect(await node.stop()).toBe(0);
    }
  },
  60_000,
);

test("wrong usage is refused", async () => {
  const nothing = await run(["dev", "--watch-for-changes"]);
  expect([nothing.status, nothing.errors]).toEqual([
    2,
    "error: `--watch-for-changes` needs the policy files to watch: name them\n",
  ]);
  const broken = await run(["dev", "--watch-for-changes", write("broken.polar", "actor User {")]);
  expect([broken.status, broken.output]).toEqual([1, ""]);
});
