/**
 * Who may be the primary without a lease: a node that knows its successor becomes the primary only by a promotion,
 * whatever its configuration says and however often it is started.
 */
import * as Bun from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import { noteReplaced } from "../../src/replication/role-notes.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { registryEnvironment } from "../../src/environments/registry.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "../environments/host.ts";
import { prepareMosquitto } from "../e2e/mosquitto.ts";
import { withCapturedLog } from "./captured-log.ts";
import { adminKey, eventually, policy, post, reader, withCluster, type Cluster } from "./cluster.ts";
import { positionAt, quick } from "./three-nodes.ts";
import { mayReadWith, saved, written } from "./written.ts";

setDefaultTimeout(120_000);

async function addresses(count: number) {
  const ports: string[] = [];
  while (ports.length < count) ports.push(String(await freePort()));
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const all = urls.map((url, index) => ({
    ...{ url, port: ports[index] ?? "", peers: urls.filter((other) => other !== url).join(",") },
  }));
  return all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]];
}

async function loadPolicyAt(url: string, edges: readonly { readonly url: string }[]): Promise<void> {
  expect((await post(url, "/api/policy", { src: policy })).status).toBe(200);
  const { offset } = await positionAt(url);
  for (const edge of edges) await eventually(async () => expect(await positionAt(edge.url)).toMatchObject({ offset }));
}

const readiness = async (url: string) => {
  const response = await fetch(`${url}/readyz`);
  const { degraded } = (await response.json()) as { degraded?: string };
  return { status: response.status, degraded };
};

const roleNote = ({ data }: { readonly data: string }): string => readFileSync(join(data, "role"), "utf8");

/** Becomes the primary by a promotion, and stays it over a restart. */
async function requireWayOut(cluster: Cluster, url: string, flags: Record<string, string>, body: object) {
  const promoted = await post(url, "/api/promote", body);
  expect([promoted.status, await promoted.text()]).toEqual([200, expect.any(String)]);
  await written(url, "after");
  const { term } = await positionAt(url);
  await cluster.stop();
  const again = await cluster.member(flags);
  expect(await positionAt(again.url)).toMatchObject({ state: "PRIMARY", term: term + 1 });
}

test("a former primary that is behind its successor, as a broker says, does not recover as if it was rolled back", () =>
  withCapturedLog((lines) =>
    withCluster(async (cluster) => {
      const mosquitto = await prepareMosquitto(join(cluster.directory, "mosquitto"));
      await mosquitto.start();
      try {
        const [p, a, b] = await addresses(3);
        const login = { brokerUsername: "ostiary-primary", brokerPassword: mosquitto.passwords["ostiary-primary"] };
        const shared = { ...quick, broker: mosquitto.url, ...login };
        const first = await cluster.member({ ...shared, port: p.port, peers: p.peers });
        const edgeA = await cluster.promotable("a", { ...shared, primary: p.url, port: a.port, peers: b.url });
        await cluster.promotable("b", { ...shared, primary: p.url, port: b.port, peers: a.url });
        await loadPolicyAt(p.url, [a, b]);
        expect((await post(a.url, "/api/promote", { graceful: true })).status).toBe(200);
        const { epoch } = await positionAt(a.url);
        await eventually(async () => expect(await positionAt(p.url)).toMatchObject({ role: "edge", epoch }));
        await first.stop();
        const token = await written(a.url, "meanwhile");
        await eventually(async () => expect((await mayReadWith(b.url, "meanwhile", token)).allowed).toBe(true));

        const before = lines.length;
        const flags = { ...shared, port: p.port, peers: p.peers };
        const back = await cluster.member(flags);
        await edgeA.stop();
        await eventually(async () => expect((await positionAt(p.url)).role).toBe("edge"));
        expect(roleNote(back)).toBe("replaced");
        const said = lines.slice(before).join("\n");
        expect(said).toContain("this primary was replaced");
        expect(said).not.toMatch(/is not the newest|the primary now|fatal/i);
        await requireWayOut(cluster, p.url, flags, {});
      } finally {
        await mosquitto.kill();
      }
    }),
  ));

test("what a fenced primary knows survives its end, before it is an edge: alone it stays an edge until it is promoted", () =>
  withCluster(async (cluster) => {
    const [p, a, b] = await addresses(3);
    const flags = { ...quick, port: p.port, peers: p.peers };
    const first = await cluster.member(flags);
    const edgeA = await cluster.promotable("a", { ...quick, primary: p.url, port: a.port, peers: b.url });
    await loadPolicyAt(p.url, [a]);
    await first.stop();
    expect((await post(a.url, "/api/promote", {})).status).toBe(200);
    // It only notices its successor, and does not follow it.
    const fenced = await cluster.primary(flags);
    expect(fenced.node.health()).toMatchObject({ state: "FENCED" });
    await fenced.stop();
    const { epoch } = await positionAt(a.url);
    await edgeA.stop();

    for (let starts = 0; starts < 2; starts++) {
      const back = await cluster.member(flags);
      await eventually(async () => expect((await positionAt(p.url)).role).toBe("edge"));
      expect((await positionAt(p.url)).epoch).not.toBe(epoch);
      expect(await readiness(p.url)).toMatchObject({ status: 503 });
      expect((await post(p.url, "/api/batch", [{ inserts: [reader("nobody")] }])).status).toBe(503);
      if (starts === 0) await back.stop();
    }
    await requireWayOut(cluster, p.url, flags, {});
  }));

test("a primary that hands over notes it, so that it asks for votes if it ends before it knows its successor", () =>
  withCluster(async (cluster) => {
    const [p, a] = await addresses(2);
    // Shortens the handover, which the edge does not learn of.
    const after: typeof realClusterSystem.clock.after = (ms, body) =>
      realClusterSystem.clock.after(ms === 20_000 ? 300 : ms, body);
    const clock = { ...realClusterSystem.clock, after };
    const first = await cluster.member({ ...quick, port: p.port, peers: p.peers }, { ...realClusterSystem, clock });
    const notes: string[] = [];
    using between = Bun.serve({
      port: 0,
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const { method, headers } = request;
        const response = await fetch(`${p.url}${pathname}${search}`, { method, headers });
        if (!pathname.endsWith("/pledge")) return response;
        notes.push(roleNote(first));
        return new Response(null, { status: 503 });
      },
    });
    await cluster.promotable("a", { ...quick, primary: `http://127.0.0.1:${between.port}`, port: a.port });
    await loadPolicyAt(p.url, [a]);
    expect((await post(a.url, "/api/promote", { graceful: true })).status).toBe(409);
    expect(notes).toEqual(["edge"]);
    await written(p.url, "again");
    expect(roleNote(first)).toBe("primary");
  }));

test("what the default environment knows of its successor holds for the others, which were not running then", () =>
  withCluster(async (cluster) => {
    const [p, a] = await addresses(2);
    const flags = { ...quick, port: p.port, peers: p.peers };
    const first = await cluster.host("primary", "primary", flags);
    const edge = await cluster.host("edge", "a", { ...quick, primary: p.url, port: a.port });
    const lab = await createEnvironment(first, "lab");
    await fill(first, lab, "ann");
    await eventually(async () => expect(await mayRead(edge, lab, "ann")).toBe(true));
    await first.stop();
    expect((await post(a.url, "/api/promote", {})).status).toBe(200);
    // The others have not started yet when it ends.
    const back = await cluster.member(flags);
    await eventually(async () => expect((await positionAt(p.url)).role).toBe("edge"));
    await back.stop();
    await edge.stop();

    const alone = await cluster.host("primary", "primary", flags);
    const write = () => ask({ url: p.url }, lab, "POST", "/api/batch", [{ inserts: [isReader("bob")] }]);
    await eventually(async () => expect(await mayRead(alone, lab, "ann")).toBe(true));
    expect((await write()).status).toBe(503);
    expect((await post(p.url, "/api/promote", {})).status).toBe(200);
    await eventually(async () => expect((await write()).status).toBe(200));
    await alone.stop();
    const again = await cluster.host("primary", "primary", flags);
    await eventually(async () => expect(await mayRead(again, lab, "bob")).toBe(true));
    await eventually(async () => expect((await write()).status).toBe(200));
  }));

test("without peers it stays fenced over restarts, and a forced promotion begins a term after its successor's", () =>
  withCluster(async (cluster) => {
    const [p, a] = await addresses(2);
    const flags = { ...quick, port: p.port };
    const first = await cluster.member(flags);
    const edge = await cluster.promotable("a", { ...quick, primary: p.url, port: a.port });
    await loadPolicyAt(p.url, [a]);
    await first.stop();
    expect((await post(a.url, "/api/promote", {})).status).toBe(200);
    const { term } = await positionAt(a.url);
    const second = await cluster.member(flags);
    await eventually(async () => expect((await positionAt(p.url)).state).toBe("FENCED"));
    await Promise.all([second.stop(), edge.stop()]);

    await cluster.member(flags);
    expect(await positionAt(p.url)).toMatchObject({ role: "primary", state: "FENCED" });
    expect(await readiness(p.url)).toEqual({ status: 503, degraded: "another primary has taken over" });
    const refused = await post(p.url, "/api/promote", {});
    expect([refused.status, await refused.text()]).toEqual([409, expect.stringContaining("use force")]);
    const preview = async (query: string) =>
      (await fetch(`${p.url}/api/promote${query}`, { headers: { Authorization: `Bearer ${adminKey}` } })).json();
    expect(await preview("")).toMatchObject({ possible: false, reasons: [expect.stringContaining("use force")] });
    expect(await preview("?force=true")).toMatchObject({ possible: true, reasons: [] });
    await requireWayOut(cluster, p.url, flags, { force: true });
    expect((await positionAt(p.url)).term).toBeGreaterThan(nextFailoverTerm(term));
  }));

test("without peers, environments of a primary that were replaced can be promoted by themselves", () =>
  withCluster(async (cluster) => {
    const first = await cluster.host("primary", "primary", quick);
    const lab = await createEnvironment(first, "lab");
    await fill(first, lab, "ann");
    await first.stop();
    // As a forced promotion leaves it that ends after the default environment.
    for (const id of ["lab", registryEnvironment]) noteReplaced(join(first.data, "environments", id));
    const { url } = await cluster.host("primary", "primary", quick);
    await eventually(async () => expect(await mayRead({ url }, lab, "ann")).toBe(true));
    const write = () => ask({ url }, lab, "POST", "/api/batch", [{ inserts: [isReader("bob")] }]);
    expect((await write()).status).toBe(503);
    const preview = await ask({ url }, adminKey, "GET", "/api/promote");
    expect(preview.text).toContain("use force");
    const refused = await (await post(url, "/api/promote", {})).json();
    expect(refused).toMatchObject({ failed_environments: [{ id: registryEnvironment }, { id: "lab" }] });
    expect(Object.keys((await (await post(url, "/api/promote", { force: true })).json()) as object)).not.toContain(
      "failed_environments",
    );
    expect((await write()).status).toBe(200);
    expect((await post(url, "/api/promote", { force: true })).status).toBe(409);
  }));

test("a rolled back primary is not ready while it asks for votes, does not count its own, and ends that in time", () =>
  withCapturedLog((lines) =>
    withCluster(async (cluster) => {
      const [p, b] = await addresses(2);
      let refusesVotes = true;
      using edge = Bun.serve({
        port: 0,
        async fetch(request) {
          const { pathname, search } = new URL(request.url);
          if (refusesVotes && pathname.endsWith("/pledge")) return new Response(null, { status: 503 });
          const { method, headers } = request;
          const response = fetch(`${b.url}${pathname}${search}`, { method, headers });
          return response.catch(() => new Response(null, { status: 502 }));
        },
      });
      // One list of peers may serve all nodes.
      const flags = { ...quick, port: p.port, peers: `${p.url},http://127.0.0.1:${edge.port}` };
      const first = await cluster.member(flags);
      await cluster.promotable("b", { ...quick, primary: p.url, port: b.port });
      await loadPolicyAt(p.url, [b]);
      await first.stop();
      const rollBack = saved(first.data);
      const second = await cluster.member(flags);
      const token = await written(p.url, "bob");
      await eventually(async () => expect((await mayReadWith(b.url, "bob", token)).allowed).toBe(true));
      await second.stop();
      rollBack();

      let aheadMs = 0;
      const monotonicMs = (): number => realClusterSystem.clock.monotonicMs() + aheadMs;
      const clock = { ...realClusterSystem.clock, monotonicMs };
      const third = await cluster.member(flags, { ...realClusterSystem, clock });
      await eventually(() => expect(lines.join("\n")).toContain("no other node grants its vote"));
      expect(await positionAt(p.url)).toMatchObject({ role: "edge" });
      expect(await readiness(p.url)).toEqual({
        status: 503,
        degraded: expect.stringMatching(/^this node asks its peers for their votes to be the primary: .* in \d+ s$/),
      });
      aheadMs = 121_000;
      await eventually(() => expect(lines.join("\n")).toContain("its peers have not voted for it within 120 s"));
      await eventually(async () => expect((await readiness(p.url)).degraded ?? "").not.toContain("votes"));
      expect(await positionAt(p.url)).toMatchObject({ role: "edge" });
      expect(lines.filter((line) => /fatal/i.test(line))).toEqual([]);

      // It knows no successor, so another start asks again.
      await third.stop();
      refusesVotes = false;
      await cluster.member(flags);
      await eventually(async () => expect((await positionAt(p.url)).state).toBe("PRIMARY"));
      expect((await mayReadWith(p.url, "bob", token)).allowed).toBe(true);
    }),
  ));
