/** The preview of a promotion says what `POST /api/promote` would do, and changes nothing. */
import { describe, expect, test } from "bun:test";
import { freePort } from "../../scripts/node-process.ts";
import { adminKey, type Cluster, eventually, insert, loadPolicy, post, type Running, withCluster } from "./cluster.ts";
import type { Node } from "../../src/replication/node.ts";
import { expectDocumented } from "../http/documented.ts";
import { startS3 } from "./lease/s3-server.ts";

interface Preview {
  readonly role: string;
  readonly offset: number;
  readonly possible: boolean;
  readonly reasons: readonly string[];
  readonly warnings: readonly string[];
  readonly primary: { readonly url: string; readonly answers: boolean } | null;
  readonly nodes: readonly { readonly url: string; readonly node: string | null; readonly offset: number | null }[];
  readonly missing_events: number;
  readonly lost_events: number | null;
}

async function previewAt(url: string, query = ""): Promise<Preview> {
  const path = `/api/promote${query}`;
  const response = await fetch(url + path, { headers: { Authorization: `Bearer ${adminKey}` } });
  const text = await response.text();
  const { status, headers } = response;
  expectDocumented("GET", path, { status, type: headers.get("content-type") ?? "", text });
  expect([status, text]).toEqual([200, expect.any(String)]);
  return JSON.parse(text) as Preview;
}

async function offsetAt(url: string): Promise<number> {
  return ((await (await fetch(`${url}/healthcheck`)).json()) as { readonly offset: number }).offset;
}

async function primaryWithTwoEdges(cluster: Cluster, flags: Readonly<Record<string, string>> = {}) {
  const [portB, portC] = [String(await freePort()), String(await freePort())];
  const [urlB, urlC] = [`http://127.0.0.1:${portB}`, `http://127.0.0.1:${portC}`];
  const primary = await cluster.primary({ peers: `${urlB},${urlC}`, ...flags });
  const b = await cluster.promotable("edge-b", { primary: primary.url, port: portB, peers: urlC, ...flags });
  const c = await cluster.promotable("edge-c", { primary: primary.url, port: portC, peers: urlB, ...flags });
  await loadPolicy(primary.node);
  await insert(primary.node, "ann");
  const caughtUp = async (): Promise<void> => {
    for (const { url } of [b, c]) expect(await offsetAt(url)).toBe(primary.node.health().offset ?? -1);
  };
  await eventually(caughtUp);
  return { primary: primary as Running<Node>, b, c };
}

describe("the preview of a promotion", () => {
  test("says of a primary that answers that only a handover or force replaces it", () =>
    withCluster(async (cluster) => {
      const { primary, b } = await primaryWithTwoEdges(cluster);
      const plain = await previewAt(b.url);
      expect(plain).toMatchObject({ role: "edge", possible: false, missing_events: 0, lost_events: 0 });
      expect(plain.reasons).toEqual([expect.stringContaining(`the primary ${primary.url} is alive`)]);
      expect(plain.primary).toEqual({ url: primary.url, answers: true });
      expect(plain.nodes.map(({ node }) => node).toSorted()).toEqual(["edge-c", "primary"]);
      const graceful = await previewAt(b.url, "?graceful=true");
      expect(graceful).toMatchObject({ possible: true, reasons: [], warnings: [], lost_events: 0 });
      const forced = await previewAt(b.url, "?force=true");
      expect(forced).toMatchObject({ possible: true, warnings: [expect.stringContaining("are lost")] });
      expect(await previewAt(primary.url)).toMatchObject({
        possible: false,
        reasons: ["this is a primary, only an edge can be promoted"],
        primary: null,
      });
      // Nothing has changed: neither a vote nor a term.
      const health = (await (await fetch(`${b.url}/healthcheck`)).json()) as object;
      expect(health).toMatchObject({ role: "edge" });
      expect(health).not.toHaveProperty("pledged_to");
      const refused = await fetch(`${b.url}/api/promote?force=true&graceful=true`, {
        headers: { Authorization: `Bearer ${adminKey}` },
      });
      expect(refused.status).toBe(400);
    }));

  test("agrees with the promotion of an edge whose primary is gone", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await primaryWithTwoEdges(cluster);
      await primary.stop();
      const preview = await previewAt(b.url);
      expect(preview).toMatchObject({ possible: true, reasons: [], missing_events: 0, lost_events: 0 });
      expect(preview.primary).toEqual({ url: primary.url, answers: false });
      expect(preview.warnings).toEqual([expect.stringContaining("events that only it has")]);
      expect(preview.nodes).toContainEqual(expect.objectContaining({ url: primary.url, node: null, offset: null }));
      expect((await post(b.url, "/api/promote", {})).status).toBe(200);
      await eventually(async () => expect((await previewAt(c.url)).primary).toEqual({ url: b.url, answers: true }));
      expect((await previewAt(b.url)).reasons).toEqual(["this is a primary, only an edge can be promoted"]);
    }));

  test("names the nodes that may have acknowledged writes and cannot be asked, as the promotion does", () =>
    withCluster(async (cluster) => {
      const { primary, b, c } = await primaryWithTwoEdges(cluster, { ack: "edges:1" });
      await c.stop();
      await primary.stop();
      const preview = await previewAt(b.url);
      expect(preview.possible).toBe(false);
      expect(preview.reasons).toEqual([expect.stringContaining("cannot be asked")]);
      const refused = await post(b.url, "/api/promote", {});
      expect([refused.status, await refused.text()]).toEqual([409, expect.stringContaining("cannot be asked")]);
      const forced = await previewAt(b.url, "?force=true");
      expect(forced).toMatchObject({ possible: true, reasons: [] });
      expect(forced.warnings.join()).toContain("acknowledged writes that only they have are lost");
    }));

  test(
    "with a lease names its holder, and says if the coordination service does not answer",
    () =>
      withCluster(async (cluster) => {
        const credentials = { accessKeyId: "preview", secretAccessKey: "secret" };
        const s3 = startS3(credentials, "bucket");
        const variables = { AWS_ACCESS_KEY_ID: "preview", AWS_SECRET_ACCESS_KEY: "secret" };
        const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
        Object.assign(process.env, variables);
        try {
          const [portA, portB] = [String(await freePort()), String(await freePort())];
          const failover = `s3://bucket/lease?endpoint=http://127.0.0.1:${s3.port}&region=eu-central-1`;
          const flags = { failover, ack: "edges:1" };
          const a = await cluster.member({ ...flags, port: portA, peers: `http://127.0.0.1:${portB}` });
          const b = await cluster.promotable("edge-b", { ...flags, port: portB, primary: a.url, peers: a.url });
          await eventually(async () => {
            const { reasons, warnings } = await previewAt(b.url);
            expect(reasons).toEqual([expect.stringContaining("is alive")]);
            expect(warnings).toEqual([expect.stringContaining("primary holds the lease of the primary")]);
          });
          expect((await previewAt(b.url, "?graceful=true")).warnings).toEqual([]);
          await s3.stop();
          await eventually(async () => {
            const { possible, reasons } = await previewAt(b.url, "?force=true");
            expect([possible, reasons]).toEqual([false, [expect.stringContaining("the lease cannot be acquired")]]);
          });
        } finally {
          await s3.stop();
          for (const [name, value] of before)
            if (value === undefined) delete process.env[name];
            else process.env[name] = value;
        }
      }),
    120_000,
  );
});
