/** `ostiary audit` with a real node: its output as text and as JSON, filters, and that `--follow` prints new entries once. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { auditEntry, operator } from "../../src/store/log/audit-entry.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, eventually, nodeKey, post, withCluster } from "../replication/cluster.ts";
import { wildcardPolicy } from "../http/api.ts";
import { readUntil } from "./read-until.ts";
import { workspace } from "./workspace.ts";

const { run, start } = workspace();
const timeoutMs = 120_000;
const access = (url: string) => ({ OSO_URL: url, OSO_AUTH: adminKey });

describe("the audit log", () => {
  test(
    "is printed as text, newest first, and as JSON",
    () =>
      withCluster(async (cluster) => {
        const { url } = await cluster.primary();
        await post(url, "/api/policy", { src: wildcardPolicy, filename: "a\u0007.polar" });
        await post(url, "/api/policy", { src: "actor User {" });
        await eventually(async () => {
          const { status, output, errors } = await run(["audit"], "", access(url));
          expect([status, errors]).toEqual([0, ""]);
          const [headings, ...lines] = output.trimEnd().split("\n");
          expect(headings).toMatch(/^TIME +RESULT +ACTION +WHO +FROM +TARGET$/);
          expect(lines.map((line) => line.replace(/^\S+ +/, "").replaceAll(/ {2,}/g, "|"))).toEqual([
            "refused|policy.upload|admin (admin)|127.0.0.1|- filename=null force=false invalid_policy",
            'ok|policy.upload|admin (admin)|127.0.0.1|1 filename="a\\u0007.polar" force=false',
            'ok|key.create|operator|-|admin name="admin" role="admin"',
          ]);
        });
        const filtered = await run(["audit", "--json", "--who", "admin", "--result", "ok"], "", access(url));
        expect(JSON.parse(filtered.output)).toMatchObject([{ action: "policy.upload", target: "1" }]);
        const limited = await run(["audit", "--json", "--limit", "2"], "", access(url));
        expect(JSON.parse(limited.output)).toHaveLength(2);
        const wrong = await run(["audit", "--since", "yesterday"], "", access(url));
        expect([wrong.status, wrong.errors]).toEqual([1, expect.stringContaining("must be a time with a zone")]);
      }),
    timeoutMs,
  );

  test(
    "has the actions of commands on a data directory, as soon as its node runs",
    () =>
      withCluster(
        async (cluster) => {
          const primary = await cluster.primary();
          const [file, edge, fresh] = ["a.zst", "edge", "fresh"].map((name) => join(cluster.directory, name));
          const environment = { OSTIARY_NODE_KEY: nodeKey };
          const succeeds = async (...words: string[]): Promise<void> => {
            const { status, errors } = await run(words, "", environment);
            expect([words, status, errors]).toEqual([words, 0, ""]);
          };
          await succeeds("snapshot", "create", "--data", primary.data, "--out", must(file));
          await succeeds("snapshot", "import", must(file), "--data", must(edge));
          await cluster.edge("edge", primary);
          const actionsAt = async ({ url }: { readonly url: string }): Promise<unknown[]> => {
            const found = await run(["audit", "--json"], "", access(url));
            return (JSON.parse(found.output) as { action: string }[]).filter(({ action }) =>
              /import|history/.test(action),
            );
          };
          const actor = { kind: "operator", id: null, name: userInfo().username };
          const imported = {
            ...{ action: "snapshot.import", actor, node: "edge", result: "ok" },
            ...{ target: expect.stringMatching(/^[0-9a-f]{16}:\d+$/) as string },
            details: { file: "a.zst", force: false, authenticity: "verified" },
          };
          await eventually(async () => expect(await actionsAt(primary)).toMatchObject([imported]));
          // The node runs.
          await succeeds("adopt-history", "0123456789abcdef", "--data", must(edge));
          const target = "0123456789abcdef";
          const adopted = { action: "history.adopt", actor, node: "edge", target };
          await eventually(async () => expect(await actionsAt(primary)).toMatchObject([adopted, imported]));
          expect(readdirSync(must(edge)).filter((name) => name.startsWith("audit-"))).toEqual([]);

          await succeeds("abandon-history", target, "--data", must(fresh));
          const other = await cluster.primary({ data: must(fresh) });
          const abandoned = { action: "history.abandon", actor, node: "primary", target };
          await eventually(async () => expect(await actionsAt(other)).toMatchObject([abandoned]));
        },
        { "advanced.auditExchangeIntervalMs": "100ms" },
      ),
    timeoutMs,
  );

  test(
    "is followed: each new entry is printed once, and none that was there before",
    () =>
      withCluster(async (cluster) => {
        const { url } = await cluster.primary();
        await post(url, "/api/policy", { src: wildcardPolicy });
        const following = await start(["audit", "--follow", "--json"], access(url));
        const first = readUntil(following.stdout, /^.*"name":"new [^\n]*\n/);
        let isRead = false;
        void first.finally(() => (isRead = true));
        // What is there when the command begins is not new.
        for (let round = 0; !isRead; round++) {
          await post(url, "/api/keys", { name: `new ${round}`, role: "read" });
          await Promise.race([first, Bun.sleep(500)]);
        }
        expect(String(await first)).not.toContain("policy.upload");
        following.kill("SIGINT");
        expect(await following.exited).toBe(0);

        const since = new Date(Date.now() - 3_600_000).toISOString();
        const again = await start(
          ["audit", "--follow", "--json", "--since", since, "--action", "policy.upload"],
          access(url),
        );
        const later = readUntil(again.stdout, /^[^]*"target":"2"[^\n]*\n/);
        await post(url, "/api/policy", { src: "actor User {}" });
        const lines = String((await later)[0])
          .trimEnd()
          .split("\n");
        expect(lines.map((line) => (JSON.parse(line) as { target: string }).target)).toEqual(["1", "2"]);
        again.kill("SIGINT");
        expect(await again.exited).toBe(0);
      }),
    timeoutMs,
  );

  test(
    "is followed also if a node recorded something with a clock that was ahead",
    () =>
      withCluster(async (cluster) => {
        const { url } = await cluster.primary();
        const draft = { actor: operator(), action: "backup.download" } as const;
        const entries = [auditEntry(draft, { node: "edge", timeMs: Date.now() + 365 * 86_400_000 })];
        const headers = { authorization: `Bearer ${nodeKey}` };
        const body = JSON.stringify({ entries });
        expect((await fetch(`${url}/replication/v1/audit`, { method: "POST", headers, body })).status).toBe(200);
        const following = await start(["audit", "--follow", "--json"], access(url));
        const read = readUntil(following.stdout, /^(?:.*"name":"new [^\n]*\n){5}/);
        let isRead = false;
        void read.finally(() => (isRead = true));
        for (let round = 0; !isRead; round++) {
          await post(url, "/api/keys", { name: `new ${round}`, role: "read" });
          await Promise.race([read, Bun.sleep(500)]);
        }
        await read;
        following.kill("SIGINT");
        expect(await following.exited).toBe(0);
      }),
    timeoutMs,
  );
});
