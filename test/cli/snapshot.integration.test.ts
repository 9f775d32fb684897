/** `ostiary snapshot`: create from a running node and from a directory, inspect, import, and refusals. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lockDirectory } from "../../src/store/directory/data-directory.ts";
import { encodeHeader } from "../../src/store/snapshot/snapshot-header.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { openSnapshot } from "../../src/store/snapshot/snapshot.ts";
import { must } from "../../src/util/assert.ts";
import {
  insert,
  loadPolicy,
  nodeKey,
  positionOf,
  withCluster,
  type Cluster,
  type Running,
} from "../replication/cluster.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";
import { workspace } from "./workspace.ts";

// Each command is a process that starts threads, which is slow on a busy machine.
setDefaultTimeout(60_000);

const { run: runWith, write, path } = workspace();
const run = (
  parameters: readonly string[],
  input = "",
  environment: Readonly<Record<string, string>> = { OSTIARY_NODE_KEY: nodeKey },
): ReturnType<typeof runWith> => runWith(parameters, input, environment);
const nodeKeyHash = hashKey(nodeKey);

async function filledPrimary(cluster: Cluster): Promise<Running<PrimaryNode>> {
  const primary = await cluster.primary();
  await loadPolicy(primary.node);
  await insert(primary.node, "ann", "bob");
  return primary;
}

/** Creates a snapshot with this name in the workspace. */
async function snapshotCalled(name: string): Promise<string> {
  await withCluster(async (cluster) => {
    const { data } = await filledPrimary(cluster);
    expect(await run(["snapshot", "create", "--data", data, "--out", name])).toMatchObject({ status: 0, errors: "" });
  });
  return path(name);
}

function fresh(name: string): string {
  rmSync(path(name), { recursive: true, force: true });
  return path(name);
}

describe("create", () => {
  test("downloads from a running node, and resumes an earlier attempt", () =>
    withCluster(async (cluster) => {
      const primary = await filledPrimary(cluster);
      const environment = { OSTIARY_NODE_KEY: nodeKey };
      const create = ["snapshot", "create", "--url", `${primary.url}/`, "--out", "asked.zst"];
      const made = await run([...create, "--json"], "", environment);
      expect(made).toMatchObject({ status: 0, errors: "" });
      const report = JSON.parse(made.output);
      const { epoch, offset, digest } = primary.node.health();
      expect(report).toMatchObject({ file: "asked.zst", environment: "test", epoch, offset, digest });
      const whole = readFileSync(path("asked.zst"));
      expect(report.size).toBe(whole.length);
      expect(statSync(path("asked.zst")).mode & 0o777).toBe(0o600);
      rmSync(path("asked.zst"));
      writeFileSync(path("asked.zst.part"), whole.subarray(0, 1000));
      const again = await run(create, "", environment);
      expect(again.output).toMatch(/^asked\.zst: environment `test` at offset \d+, 0\.\d MB\n$/);
      expect(readFileSync(path("asked.zst")).equals(whole)).toBe(true);
      expect(existsSync(path("asked.zst.part"))).toBe(false);

      const wrong = await run(create, "", { OSTIARY_NODE_KEY: "another-key-of-other-nodes" });
      expect(wrong.status).toBe(1);
      expect(wrong.errors).toContain("401 the node key is missing or wrong");
      const keyless = await run(create, "", {});
      expect(keyless.status).toBe(2);
      expect(keyless.errors).toContain("OSTIARY_NODE_KEY is not set");
      await primary.stop();
      const nobody = await run(create, "", environment);
      expect(nobody.status).toBe(1);
      expect(nobody.errors).toStartWith(`error: no snapshot from ${primary.url}: `);
      // The old file stays after an error.
      expect(readFileSync(path("asked.zst")).equals(whole)).toBe(true);
    }));

  test("copies a directory, whether its node runs or not, without changing it", () =>
    withCluster(async (cluster) => {
      const primary = await filledPrimary(cluster);
      const create = ["snapshot", "create", "--data", primary.data, "--out", "copied.zst", "--json"];
      const running = await run(create);
      expect(running).toMatchObject({ status: 0, errors: "" });
      const { epoch, offset, digest } = positionOf(primary.node);
      expect(JSON.parse(running.output)).toMatchObject({ epoch, offset, digest });
      await insert(primary.node, "cyd");
      await primary.stop();
      const before = readFileSync(join(primary.data, "store-1.db"));
      const stopped = await run(create);
      expect(JSON.parse(stopped.output)).toMatchObject({ epoch, offset: must(offset) + 1 });
      expect(readFileSync(join(primary.data, "store-1.db")).equals(before)).toBe(true);
      expect(readdirSync(path(".")).filter((name) => name.startsWith("."))).toEqual([]);
    }));

  test.each([
    [["--out", "x.zst"], "either `--url`, a running node, or `--data`"],
    [["--out", "x.zst", "--url", "http://h", "--data", "d"], "either `--url`, a running node, or `--data`"],
    [["--out", "x.zst", "--data", "nowhere"], "`nowhere` is not the data directory of a node"],
    [["--out", "no/such/x.zst", "--url", "http://h"], "its directory does not exist"],
    [["--out", ".", "--url", "http://h"], "it is not a file"],
    [["--out", "x.zst", "--url", "h"], "`h` is not a URL"],
    [["--data", "d"], "--out"],
  ])("is refused with %j", async (options, problem) => {
    const { status, errors } = await run(["snapshot", "create", ...options], "", { OSTIARY_NODE_KEY: nodeKey });
    expect(status).toBe(2);
    expect(errors).toContain(problem);
  });
});

describe("inspect", () => {
  test("prints the content of a snapshot, and with `--full` verifies it", async () => {
    const file = await snapshotCalled("whole.zst");
    const { manifest, size } = openSnapshot(file);
    const quick = await run(["snapshot", "inspect", "whole.zst", "--json"]);
    expect(quick).toMatchObject({ status: 0, errors: "" });
    const report = {
      file: "whole.zst",
      size,
      ...manifest,
      checked: "bytes",
      problem: null,
      warnings: [],
      authenticity: "verified",
    };
    expect(JSON.parse(quick.output)).toEqual(report);
    const full = await run(["snapshot", "inspect", "whole.zst", "--full", "--json"]);
    expect(JSON.parse(full.output)).toEqual({ ...report, checked: "everything" });
    const { output } = await run(["snapshot", "inspect", "whole.zst"]);
    for (const told of [manifest.epoch, manifest.digest, manifest.sha256, "environment", "SHA-256 is right"])
      expect(output).toContain(told);
    expect(output).toContain(new Date(manifest.timeMs).toISOString());
    expect((await run(["snapshot", "inspect", "whole.zst", "--full"])).output).toContain(
      "the file and its content are valid",
    );
  });

  test("finds errors in the checked part", async () => {
    const file = await snapshotCalled("wrong.zst");
    const { manifest, size } = openSnapshot(file);
    const whole = readFileSync(file);
    const database = whole.subarray(size - manifest.bytes);
    const problemOf = async (bytes: Uint8Array, ...options: string[]): Promise<string> => {
      write("wrong.zst", bytes);
      const { status, output, errors } = await run(["snapshot", "inspect", "wrong.zst", "--json", ...options]);
      const { problem } = JSON.parse(output);
      expect({ status, errors }).toEqual({ status: problem === null ? 0 : 1, errors: "" });
      return String(problem);
    };
    expect(await problemOf(whole.with(size - 100, must(whole[size - 100]) ^ 1))).toContain("its SHA-256 differs");
    expect(await problemOf(whole.with(40, must(whole[40]) ^ 1))).toContain("its manifest does not match its checksum");
    expect(await problemOf(whole.subarray(0, size - 1))).toContain(`it has ${size - 1} bytes instead of ${size}`);
    expect(await problemOf(Buffer.from("something else"))).toContain("this is not a snapshot of Ostiary");
    const newer = Buffer.concat([encodeHeader({ ...manifest, schema: 999 }, { nodeKeyHash }), database]);
    expect(await problemOf(newer)).toContain("made by a newer Ostiary");
    const other = Buffer.concat([encodeHeader({ ...manifest, digest: "0123456789abcdef" }, { nodeKeyHash }), database]);
    expect(await problemOf(other)).toBe("null");
    expect(await problemOf(other, "--full")).toContain("its manifest says 0123456789abcdef");
    const { status, output } = await run(["snapshot", "inspect", "wrong.zst", "--full"]);
    expect(status).toBe(1);
    expect(output).toContain("  problem     the snapshot is damaged: its digest is");
    expect(await run(["snapshot", "inspect", "missing.zst"])).toMatchObject({
      status: 1,
      output: "",
      errors: "error: `missing.zst` can't be read: there is no such file\n",
    });
  });
});

describe("import", () => {
  test("creates the database of a node, and replaces one only with --force", async () => {
    const file = await snapshotCalled("given.zst");
    const { environment, epoch, offset, digest } = openSnapshot(file).manifest;
    const data = fresh("imported");
    const first = await run(["snapshot", "import", "given.zst", "--data", "imported", "--json"]);
    expect(first).toMatchObject({ status: 0, errors: "" });
    const report = { path: "imported/store-1.db", environment, epoch, offset, digest, authenticity: "verified" };
    expect(JSON.parse(first.output)).toEqual(report);
    const again = await run(["snapshot", "import", "given.zst", "--data", "imported"]);
    expect(again).toMatchObject({ status: 1, output: "" });
    expect(again.errors).toContain(`already has a database, at offset ${offset}; \`--force\` replaces it`);
    const forced = await run(["snapshot", "import", "given.zst", "--data", "imported", "--force"]);
    expect(forced.output).toStartWith(`imported/store-2.db: environment \`test\` at offset ${offset}; `);
    // The replaced database stays until a node has verified the new one.
    const action = expect.stringMatching(/^audit-\d{15}-[0-9a-f-]{36}\.json$/) as string;
    expect(readdirSync(data).toSorted()).toEqual([
      ...[action, action, "history", "lock", "role", "snapshot.json", "store-1.db", "store-2.db"],
    ]);
    // A damaged database counts as none.
    writeFileSync(join(data, "store-2.db"), "no database");
    expect((await run(["snapshot", "import", "given.zst", "--data", "imported"])).errors).toContain("--force");
    expect((await run(["snapshot", "import", "given.zst", "--data", "imported", "--force"])).status).toBe(0);
  });

  test("refuses a database that is in use, of a primary, or of another environment", async () => {
    const file = await snapshotCalled("refused.zst");
    const data = fresh("kept");
    const importInto = (): ReturnType<typeof run> =>
      run(["snapshot", "import", "refused.zst", "--data", "kept", "--force"]);
    mkdirSync(data);
    const directory = lockDirectory(data);
    expect((await importInto()).errors).toContain("another process is using the data directory");
    directory.unlock();
    writeFileSync(join(data, "role"), "primary");
    expect((await importInto()).errors).toContain("belongs to a primary");
    rmSync(join(data, "role"));
    expect((await importInto()).status).toBe(0);
    await withCluster(async (cluster) => {
      const primary = await cluster.primary({ environment: "other", adminKey: "" });
      const create = ["snapshot", "create", "--data", primary.data, "--out", "refused.zst"];
      expect((await run(create)).status).toBe(0);
      expect((await importInto()).errors).toContain("the data belongs to environment `test`");
    });
    expect(openSnapshot(file).manifest.environment).toBe("other");
  });

  test("refuses an invalid snapshot", async () => {
    const file = await snapshotCalled("unsound.zst");
    const { manifest, size } = openSnapshot(file);
    const whole = readFileSync(file);
    const data = fresh("empty");
    const other = encodeHeader({ ...manifest, digest: "0123456789abcdef" }, { nodeKeyHash });
    for (const bytes of [
      whole.with(size - 50, must(whole[size - 50]) ^ 1),
      Buffer.concat([other, whole.subarray(size - manifest.bytes)]),
    ]) {
      write("unsound.zst", bytes);
      const { status, errors } = await run(["snapshot", "import", "unsound.zst", "--data", "empty"]);
      expect(status).toBe(1);
      expect(errors).toStartWith("error: `unsound.zst`: the snapshot is damaged: ");
      expect(readdirSync(data)).toEqual(["lock"]);
    }
  });
});
