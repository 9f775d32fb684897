/**
 * A disk that cannot be read for a while. SQLite reports damage although the data are sound; the primary has to notice
 * that and continue.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { eventually } from "../e2e/cluster.ts";
import {
  type Cluster,
  eventually as eventuallyHolds,
  insert,
  loadPolicy as loadSmallPolicy,
  mayRead as mayReadIn,
  withCluster,
} from "../replication/cluster.ts";
import { admit, ask, failingDisk, inDirectory, loadPolicy, mayRead } from "./node.ts";

test(
  "a primary that could not read its disk answers again",
  () =>
    inDirectory(async ({ directory, node: nodeIn }) => {
      const data = join(directory, "data");
      const { environment, fail } = failingDisk(directory, data);
      const node = await nodeIn({ data, environment });
      await node.start();
      expect((await loadPolicy(node)).status).toBe(200);
      expect((await admit(node, "ann")).status).toBe(200);

      fail("pread EIO");
      const facts = () => ask(node, "GET", "/api/facts?predicate=has_role");
      // Cached pages are still available.
      await eventually(async () => {
        await admit(node, crypto.randomUUID());
        return (await facts()).status === 503;
      }, "the disk cannot be read");
      expect((await ask(node, "GET", "/healthcheck")).status).toBe(503);
      fail("");
      await eventually(async () => (await facts()).status === 200, "the disk can be read again");
      expect(await mayRead(node, "ann")).toBe(true);
      expect((await admit(node, "bob")).status).toBe(200);
      expect(await mayRead(node, "bob")).toBe(true);
      expect((await ask(node, "GET", "/readyz")).status).toBe(200);
      expect(node.output).toContain("is sound, the disk could not read it for a while");
      expect(node.exits).toEqual([]);
    }),
  60_000,
);

test.each([
  ["an edge", (cluster: Cluster, primary: { readonly url: string }) => cluster.edge("edge", primary)],
  ["a fallback", (cluster: Cluster, primary: { readonly url: string }) => cluster.fallback(primary)],
  [
    "a fallback that follows",
    (cluster: Cluster, primary: { readonly url: string }) => cluster.fallback(primary, { follow: "true" }),
  ],
] as const)("%s whose primary is gone answers again from the copy that it could not read", (_, start) =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadSmallPolicy(primary.node);
    await insert(primary.node, "ann");
    const { node } = await start(cluster, primary);
    await eventuallyHolds(() => expect(mayReadIn(node, "ann")).toBe(true));
    await primary.stop();
    const unreadable = Object.assign(new Error("database disk image is malformed"), { code: "SQLITE_CORRUPT" });
    expect(node.reportDamage(unreadable)).toBe(true);
    expect(() => node.engine()).toThrow("copy");
    await eventuallyHolds(() => expect(mayReadIn(node, "ann")).toBe(true));
    expect(node.health().state).not.toBe("DIVERGED");
  }),
);

describe("an unhandled error", () => {
  const ended = async (code: string): Promise<{ status: number; told: string }> => {
    const program = `
      import { onUnhandledError } from ${JSON.stringify(join(projectRoot, "src", "runtime", "process.ts"))};
      onUnhandledError((error, isFatal) => console.log(error.code + (isFatal ? " ends it" : " is reported")));
      setTimeout(() => { throw Object.assign(new Error("thrown"), { code: ${JSON.stringify(code)} }); }, 1);
      setTimeout(() => process.exit(0), 200);
    `;
    const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "inherit" });
    const [status, told] = await Promise.all([child.exited, child.stdout.text()]);
    return { status, told: told.trim() };
  };

  test.each(["SQLITE_CORRUPT", "SQLITE_IOERR_READ", "SQLITE_NOTADB", "EMFILE", "EIO"])(
    "%s: the process continues",
    async (code) => expect(await ended(code)).toEqual({ status: 0, told: `${code} is reported` }),
  );

  test("a bug ends the process", async () =>
    expect(await ended("ERR_INVALID_ARG_TYPE")).toEqual({ status: 1, told: "ERR_INVALID_ARG_TYPE ends it" }));
});
