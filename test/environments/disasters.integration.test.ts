/** Several environments after the loss of a disk, or of everything but the backups. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import {
  adminKey,
  type Cluster,
  eventually,
  nodeKey,
  refusal,
  SystemWithClock,
  withCluster,
} from "../replication/cluster.ts";
import { workspace } from "../cli/workspace.ts";
import { readDocument } from "../manual/document.ts";
import { must } from "../../src/util/assert.ts";
import { registryEnvironment } from "../../src/environments/registry.ts";
import { ask, createEnvironment, fill, mayRead } from "./host.ts";

const timeoutMs = 90_000;
const { run } = workspace();
const settings = { OSTIARY_NODE_KEY: nodeKey, OSTIARY_ENVIRONMENT: "test" };

async function ostiary(words: readonly string[], key = adminKey): Promise<string> {
  const { status, output, errors } = await run(words, "", { ...settings, OSO_AUTH: key });
  expect([words, status, errors]).toEqual([words, 0, ""]);
  return output;
}

/** The commands of the first block of shell commands below a heading of the manual. */
function commandsBelow(heading: string, names: Readonly<Record<string, string>>): string[][] {
  const { blocks, text } = readDocument("appliance/manual/backup.md");
  const block = must(blocks.find(({ language, start }) => language === "sh" && start > text.indexOf(`\n${heading}\n`)));
  const replaced = Object.entries(names).reduce((all, [name, real]) => all.replaceAll(name, real), block.text);
  return replaced
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ").slice(1));
}

test(
  "the manual's procedure: everything is lost but the backups",
  () =>
    withCluster(async (cluster) => {
      const first = await cluster.host("primary", "primary");
      const { url, data } = first;
      await fill(first, adminKey, "ann");
      const staging = await createEnvironment(first, "staging");
      await fill(first, staging, "bob");
      const saved = join(cluster.directory, "2026-11-26");
      for (const command of commandsBelow("## Make a backup", { '"$OSO_URL"': url, "2026-11-26": saved }))
        await ostiary(command);
      await first.stop();
      rmSync(data, { recursive: true });
      const names = { "/backups/2026-11-26": saved, "/var/lib/ostiary": data };
      const [restore = [], serve = [], list = [], ...more] = commandsBelow("## Restore all environments", names);
      expect(more).toEqual([]);
      await ostiary(restore);
      expect(serve).toEqual(["serve", "--role", "primary", "--data", data]);
      const primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(true));
      expect(await mayRead(primary, adminKey, "ann")).toBe(true);
      const { status, output } = await run([...list, "--url", primary.url], "", { OSO_AUTH: adminKey });
      expect([status, output]).toEqual([0, expect.stringContaining("staging")]);
    }),
  timeoutMs,
);

const unknownKey = (id: string): string => `e_${id}_${"0".repeat(12)}_${"0".repeat(48)}`;

/** A backup of everything, in the directory `saved`. */
async function withEverything(cluster: Cluster) {
  const primary = await cluster.host("primary", "primary");
  await fill(primary, adminKey, "ann");
  const staging = await createEnvironment(primary, "staging", { name: "Stage" });
  await fill(primary, staging, "bob");
  const web = await createEnvironment(primary, "web");
  await fill(primary, web, "cid");
  const saved = join(cluster.directory, "saved");
  await ostiary(["backup", "--all", "--url", primary.url, "--out", saved]);
  return { primary, staging, web, saved };
}

test(
  "after a total loss, the restored backups of two environments serve both",
  () =>
    withCluster(async (cluster) => {
      let primary = await cluster.host("primary", "primary");
      const { url, data } = primary;
      await fill(primary, adminKey, "ann");
      const staging = await createEnvironment(primary, "staging");
      await fill(primary, staging, "bob");
      const [first, second] = [join(cluster.directory, "default.backup"), join(cluster.directory, "staging.backup")];
      await ostiary(["backup", "--url", url, "--out", first]);
      await ostiary(["backup", "--url", url, "--out", second], staging);
      await primary.stop();
      rmSync(data, { recursive: true });
      await ostiary(["restore", first, "--data", data]);
      await ostiary(["restore", second, "--data", join(data, "environments", "staging"), "--force"]);
      primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(true), 5000);
      expect(await mayRead(primary, adminKey, "ann")).toBe(true);
    }),
  timeoutMs,
);

test(
  "after the loss of the primary's disk and a restore of the default environment, the edges' data of the others are served",
  () =>
    withCluster(async (cluster) => {
      const ports = [String(await freePort()), String(await freePort())] as const;
      const [own, other] = ports.map((port) => `http://127.0.0.1:${port}`);
      const start = () => cluster.host("primary", "primary", { port: ports[0], peers: String(other) });
      let primary = await start();
      const edge = await cluster.host("edge", "edge", { port: ports[1], primary: String(own), peers: String(own) });
      await fill(primary, adminKey, "ann");
      const backup = join(cluster.directory, "default.backup");
      await ostiary(["backup", "--url", primary.url, "--out", backup]);
      const staging = await createEnvironment(primary, "staging");
      await fill(primary, staging, "bob");
      await eventually(async () => expect(await mayRead(edge, staging, "bob")).toBe(true));
      await primary.stop();
      rmSync(primary.data, { recursive: true });
      await ostiary(["restore", backup, "--data", primary.data, "--term", "9999999"]);
      primary = await start();
      const seen = new Set<number | boolean>();
      await eventually(async () => {
        const answer = await mayRead(primary, staging, "bob");
        seen.add(answer);
        expect(answer).toBe(true);
      }, 20_000);
      expect([...seen].filter((answer) => ![true, 503].includes(answer))).toEqual([]);
    }),
  timeoutMs,
);

test(
  "one command backs up all environments, and one restores them: after a total loss each is served, with its name",
  () =>
    withCluster(async (cluster) => {
      const { primary: first, staging, web, saved } = await withEverything(cluster);
      const { data } = first;
      expect(readdirSync(saved).toSorted()).toEqual([
        `${registryEnvironment}.backup`,
        "staging.backup",
        "test.backup",
        "web.backup",
      ]);
      await first.stop();
      await ostiary(["backup", "--all", "--data", data, "--out", join(cluster.directory, "stopped")]);
      expect(readdirSync(join(cluster.directory, "stopped")).toSorted()).toEqual(readdirSync(saved).toSorted());
      rmSync(data, { recursive: true });
      await ostiary(["restore", saved, "--data", data]);
      const system = new SystemWithClock();
      const primary = await cluster.host("primary", "primary", {}, system);
      for (const [key, user] of [
        [staging, "bob"],
        [web, "cid"],
      ] as const)
        await eventually(async () => expect(await mayRead(primary, key, user)).toBe(true));
      expect(await mayRead(primary, adminKey, "ann")).toBe(true);
      const { environments } = (await ask(primary, adminKey, "GET", "/api/environments")).json;
      expect(environments).toMatchObject([{ id: "test" }, { id: "staging", name: "Stage" }, { id: "web" }]);

      // Nobody learns from a refusal which of them exist, and an edge says the same.
      const edge = await cluster.host("edge", "edge", { primary: primary.url }, system);
      for (const [key, user] of [
        [staging, "bob"],
        [web, "cid"],
      ] as const)
        await eventually(async () => expect(await mayRead(edge, key, user)).toBe(true));
      const refusals = async (node: { readonly url: string }) => {
        const asked = ["nobody", "web", "staging"].map((id) => ask(node, unknownKey(id), "GET", "/api/keys"));
        return (await Promise.all(asked)).map(({ status, text }) => [status, text.replaceAll(/"[0-9a-f-]{36}"/g, "")]);
      };
      for (const node of [primary, edge]) {
        const [unknown, ...others] = await refusals(node);
        expect(unknown).toEqual([503, expect.stringContaining("ostiary env complete")]);
        for (const refusal of others) expect(refusal).toEqual(must(unknown));
      }
      system.aheadMs = 3_600_000;
      for (const node of [primary, edge])
        expect((await refusals(node)).map(([status]) => status)).toEqual([401, 401, 401]);
    }),
  timeoutMs,
);

test(
  "an environment whose backup is restored later is refused with 503 until then, or until an administrator says that there are no others",
  () =>
    withCluster(async (cluster) => {
      const { primary: first, staging, web, saved } = await withEverything(cluster);
      const { data } = first;
      await first.stop();
      rmSync(data, { recursive: true });
      // The wrong order, and without the list of environments.
      await ostiary(["restore", join(saved, "web.backup"), "--data", data]);
      await ostiary(["restore", join(saved, "test.backup"), "--data", data]);
      let primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, web, "cid")).toBe(true));
      expect(await mayRead(primary, staging, "bob")).toBe(503);
      await primary.stop();
      await ostiary(["restore", saved, "--environment", "staging", "--data", data]);
      primary = await cluster.host("primary", "primary");
      for (const [key, user] of [
        [staging, "bob"],
        [web, "cid"],
      ] as const)
        await eventually(async () => expect(await mayRead(primary, key, user)).toBe(true));
      expect(await mayRead(primary, unknownKey("nobody"), "ann")).toBe(503);
      const listed = await run(["env", "list", "--url", primary.url], "", { OSO_AUTH: adminKey });
      expect([listed.status, listed.errors]).toEqual([0, expect.stringContaining("ostiary env complete")]);
      await ostiary(["env", "complete", "--url", primary.url]);
      expect(await mayRead(primary, unknownKey("nobody"), "ann")).toBe(401);
      await ostiary(["env", "list", "--url", primary.url]);
    }),
  timeoutMs,
);

test(
  "the list of the edges is newer than a restored one: what was deleted since stays deleted, what was created since is there",
  () =>
    withCluster(async (cluster) => {
      const ports = [String(await freePort()), String(await freePort())] as const;
      const [own, other] = ports.map((port) => `http://127.0.0.1:${port}`);
      const start = () => cluster.host("primary", "primary", { port: ports[0], peers: String(other) });
      let primary = await start();
      const edge = await cluster.host("edge", "edge", { port: ports[1], primary: String(own), peers: String(own) });
      await fill(primary, adminKey, "ann");
      const web = await createEnvironment(primary, "web");
      await fill(primary, web, "bob");
      const saved = join(cluster.directory, "saved");
      await ostiary(["backup", "--all", "--url", primary.url, "--out", saved]);
      const staging = await createEnvironment(primary, "staging");
      await fill(primary, staging, "cid");
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/web")).status).toBe(200);
      await eventually(async () => expect(await mayRead(edge, staging, "cid")).toBe(true));
      await eventually(async () => expect(await mayRead(edge, web, "bob")).toBe(401));
      await primary.stop();
      rmSync(primary.data, { recursive: true });
      await ostiary(["restore", saved, "--data", primary.data, "--term", "9999999"]);
      primary = await start();
      await eventually(async () => expect(await mayRead(primary, staging, "cid")).toBe(true));
      expect(await mayRead(primary, web, "bob")).toBe(401);
      await eventually(async () =>
        expect((await ask(primary, adminKey, "POST", "/api/environments/web/restore")).status).toBe(200),
      );
      await eventually(async () => expect(await mayRead(primary, web, "bob")).toBe(true));
    }),
  timeoutMs,
);

test(
  "after a total loss, environments do not wait for peers that are down, and new edges get them",
  () =>
    withCluster(async (cluster) => {
      const { primary: first, staging, saved } = await withEverything(cluster);
      await first.stop();
      rmSync(first.data, { recursive: true });
      await ostiary(["restore", saved, "--data", first.data, "--term", "0"]);
      const ports = [String(await freePort()), String(await freePort())] as const;
      const [own, ...others] = ports.map((port) => `http://127.0.0.1:${port}`);
      // One list serves all nodes.
      const peers = [own, ...others].join(",");
      const start = () => cluster.host("primary", "primary", { port: ports[0], peers });
      let primary = await start();
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(true));
      expect(await mayRead(primary, unknownKey("nobody"), "ann")).toBe(503);
      const refused = await ask(primary, adminKey, "POST", "/api/environments", { id: "other" });
      expect([refused.status, refused.text]).toEqual([503, expect.stringContaining("ostiary env complete")]);
      const edge = await cluster.host("edge", "edge", { port: ports[1], primary: String(own), peers });
      await eventually(async () => expect(await mayRead(edge, staging, "bob")).toBe(true));
      expect(await mayRead(edge, unknownKey("nobody"), "ann")).toBe(503);
      await createEnvironment(primary, "other");
      // A restart does not begin anew.
      await primary.stop();
      primary = await start();
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(true));
      expect((await ask(primary, adminKey, "GET", "/api/environments")).json.environments).toHaveLength(4);
    }),
  timeoutMs,
);

test(
  "an environment that was finally deleted is not served because its backup is restored, until an administrator restores it",
  () =>
    withCluster(async (cluster) => {
      const system = new SystemWithClock();
      const flags = { "advanced.environmentGrace": "0s" };
      let primary = await cluster.host("primary", "primary", flags, system);
      const web = await createEnvironment(primary, "web");
      await fill(primary, web, "bob");
      const backup = join(cluster.directory, "web.backup");
      await ostiary(["backup", "--environment", "web", "--url", primary.url, "--out", backup]);
      expect((await ask(primary, adminKey, "DELETE", "/api/environments/web")).status).toBe(200);
      const directory = join(primary.data, "environments", "web");
      await eventually(() => expect(existsSync(directory)).toBe(false));
      await primary.stop();
      await ostiary(["restore", backup, "--data", primary.data]);
      primary = await cluster.host("primary", "primary", flags, system);
      await eventually(async () => expect(await mayRead(primary, web, "bob")).toBe(401));
      await ostiary(["env", "restore", "web", "--url", primary.url]);
      expect(await mayRead(primary, web, "bob")).toBe(true);
    }),
  timeoutMs,
);

test(
  "a deleted environment is in no backup of the data directory, and not served again when the list of environments is lost",
  () =>
    withCluster(async (cluster) => {
      let primary = await cluster.host("primary", "primary");
      const { data } = primary;
      const web = await createEnvironment(primary, "web");
      await fill(primary, web, "bob");
      const shop = await createEnvironment(primary, "shop");
      await fill(primary, shop, "cid");
      const backup = join(cluster.directory, "test.backup");
      await ostiary(["backup", "--url", primary.url, "--out", backup]);
      const isNoted = (id: string): boolean => existsSync(join(data, "environments", id, "deleted"));
      for (const id of ["web", "shop"]) {
        expect((await ask(primary, adminKey, "DELETE", `/api/environments/${id}`)).status).toBe(200);
        await eventually(() => expect(isNoted(id)).toBe(true));
      }
      await ostiary(["env", "restore", "shop", "--url", primary.url]);
      await eventually(() => expect(isNoted("shop")).toBe(false));
      await primary.stop();
      const saved = join(cluster.directory, "saved");
      await ostiary(["backup", "--all", "--data", data, "--out", saved]);
      expect(readdirSync(saved).toSorted()).toEqual([`${registryEnvironment}.backup`, "shop.backup", "test.backup"]);
      rmSync(join(data, "environments", registryEnvironment), { recursive: true });
      await ostiary(["restore", backup, "--data", data, "--force"]);
      primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, shop, "cid")).toBe(true));
      expect(await mayRead(primary, web, "bob")).toBe(503);
      await ostiary(["env", "complete", "--url", primary.url]);
      expect(await mayRead(primary, web, "bob")).toBe(401);
    }),
  timeoutMs,
);

test(
  "edges that know nothing yet do not wait for each other: without environments, keys of unknown ones are wrong keys",
  () =>
    withCluster(async (cluster) => {
      const ports = [await freePort(), await freePort(), await freePort()].map(String);
      const urls = ports.map((port) => `http://127.0.0.1:${port}`);
      const start = (role: "primary" | "edge", index: number) =>
        cluster.host(role, `node-${index}`, {
          ...{ port: must(ports[index]), peers: urls.join(",") },
          ...(role === "edge" && { primary: must(urls[0]) }),
        });
      const edges = await Promise.all([start("edge", 1), start("edge", 2)]);
      const primary = await start("primary", 0);
      for (const node of [primary, ...edges])
        await eventually(async () => expect(await mayRead(node, unknownKey("nobody"), "ann")).toBe(401));
    }),
  timeoutMs,
);

test.each(["unpacking", "going back"])(
  "no primary begins a new history where a restore was killed while it was %s, and the restore can be repeated",
  (step) =>
    withCluster(async (cluster) => {
      const { primary: first, staging, saved } = await withEverything(cluster);
      const { data } = first;
      await first.stop();
      rmSync(data, { recursive: true });
      const program = `
        import { restore } from "${projectRoot}/src/replication/backup/restore.ts";
        import { defaultLimits as limits } from "${projectRoot}/src/config/limits.ts";
        const onStep = (step) => step === "${step}" && process.kill(process.pid, "SIGKILL");
        const [file, directory] = ["${join(saved, "test.backup")}", "${data}"];
        const options = { target: undefined, force: false, dryRun: false, knownTerm: 0, allowUnauthenticated: true };
        await restore({ file, directory, limits, onStep, warn: console.warn, nodeKeyHashes: undefined, ...options });`;
      const child = Bun.spawn([process.execPath, "-e", program], { stdout: "ignore", stderr: "ignore" });
      await child.exited;
      expect(child.signalCode).toBe("SIGKILL");
      const refused = await refusal(cluster.host("primary", "primary"));
      expect(refused.message).toContain("was interrupted: run it again");
      await ostiary(["restore", saved, "--data", data]);
      const primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(true));
    }),
  timeoutMs,
);

test(
  "a restore of all environments names a damaged backup, and restores the others",
  () =>
    withCluster(async (cluster) => {
      const { primary: first, staging, web, saved } = await withEverything(cluster);
      const { data } = first;
      await first.stop();
      rmSync(data, { recursive: true });
      truncateSync(join(saved, "staging.backup"), 1000);
      const restored = await run(["restore", saved, "--data", data], "", settings);
      expect([restored.status, restored.errors]).toEqual([1, expect.stringContaining("staging.backup")]);
      const primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, web, "cid")).toBe(true));
      expect(await mayRead(primary, staging, "bob")).toBe(503);
    }),
  timeoutMs,
);

test(
  "a restored node without peers can have new environments at once",
  () =>
    withCluster(async (cluster) => {
      let primary = await cluster.host("primary", "primary");
      const backup = join(cluster.directory, "default.backup");
      await ostiary(["backup", "--url", primary.url, "--out", backup]);
      await primary.stop();
      await ostiary(["restore", backup, "--data", primary.data, "--force"]);
      primary = await cluster.host("primary", "primary");
      const shop = await createEnvironment(primary, "shop");
      await fill(primary, shop, "ann");
      await primary.stop();
      primary = await cluster.host("primary", "primary");
      await eventually(async () => expect(await mayRead(primary, shop, "ann")).toBe(true));
      expect(await mayRead(primary, unknownKey("nobody"), "ann")).toBe(503);
    }),
  timeoutMs,
);

test(
  "peers that are named after the time is over are asked as well",
  () =>
    withCluster(async (cluster) => {
      const system = new SystemWithClock();
      const [port, other] = [String(await freePort()), String(await freePort())];
      let primary = await cluster.host("primary", "primary", { port }, system);
      const edge = await cluster.host("edge", "edge", { port: other, primary: primary.url });
      await fill(primary, adminKey, "ann");
      const backup = join(cluster.directory, "default.backup");
      await ostiary(["backup", "--url", primary.url, "--out", backup]);
      const staging = await createEnvironment(primary, "staging");
      await fill(primary, staging, "bob");
      await eventually(async () => expect(await mayRead(edge, staging, "bob")).toBe(true));
      await primary.stop();
      rmSync(primary.data, { recursive: true });
      await ostiary(["restore", backup, "--data", primary.data, "--term", "9999999"]);
      primary = await cluster.host("primary", "primary", { port }, system);
      expect(await mayRead(primary, staging, "bob")).toBe(503);
      system.aheadMs = 3_700_000;
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(401));
      await primary.stop();
      primary = await cluster.host("primary", "primary", { port, peers: edge.url }, system);
      await eventually(async () => expect(await mayRead(primary, staging, "bob")).toBe(true));
    }),
  timeoutMs,
);
