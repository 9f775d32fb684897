/** The backups in the configured directory: `GET /api/backups` and `ostiary backup list`. */
import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { admin, apiOf } from "../http/api.ts";
import { adminKey, loadPolicy, withCluster, withDirectory } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run } = workspace();

interface Listed {
  readonly backups: readonly {
    readonly name: string;
    readonly newest: { readonly offset: number };
    readonly authenticity: string;
  }[];
  readonly complete: boolean;
}

test(
  "the backups of the environment are listed, newest first, with what they cover and where they come from",
  () =>
    withDirectory((directory) =>
      withCluster(
        async (cluster) => {
          const primary = await cluster.primary();
          const { url } = primary;
          const { call } = apiOf(primary);
          const list = () => run(["backup", "list", "--url", url], "", { OSO_AUTH: adminKey });
          expect(await list()).toEqual({ status: 0, output: "", errors: "(no results)\n" });
          const download = async (): Promise<Uint8Array> => {
            const response = await fetch(`${url}/api/backup`, { headers: admin });
            return new Uint8Array(await response.arrayBuffer());
          };
          writeFileSync(join(directory, "monday.backup"), await download());
          await loadPolicy(primary.node);
          const tuesday = await download();
          writeFileSync(join(directory, "<script>.backup"), tuesday);
          // Neither is a backup that a node made: another manifest, a part of a file, another file, a directory.
          const changed = Buffer.from(tuesday);
          changed.write("0", changed.indexOf('"madeMs":') + 11);
          writeFileSync(join(directory, "changed.backup"), changed);
          writeFileSync(join(directory, "part.backup"), tuesday.subarray(0, 20));
          writeFileSync(join(directory, "notes.txt"), "nothing");
          mkdirSync(join(directory, "folder"));
          const { json } = await call("GET", "/api/backups");
          const { backups, complete } = json as Listed;
          expect(complete).toBe(true);
          expect(backups.map(({ name, newest, authenticity }) => [name, newest.offset, authenticity])).toEqual([
            ["<script>.backup", 2, "verified"],
            ["monday.backup", 1, "verified"],
          ]);
          const listed = await list();
          expect([listed.status, listed.errors]).toEqual([0, ""]);
          const lines = listed.output.trimEnd().split("\n");
          expect(lines[0]).toMatch(/^MADE +FROM +TO +LAST CHANGE +SIZE +ORIGIN +KEY +FILE$/);
          expect(lines[2]).toMatch(/^\S+Z +0 +1 +\S+Z +0\.0 MB +verified +[0-9a-f]{8} +monday\.backup$/);
          // Another node key, and another environment.
          const stranger = await cluster.primary({
            ...{ nodeId: "stranger", data: join(cluster.directory, "stranger"), nodeKey: "n_test_another_0123456789" },
          });
          const seen = (await apiOf(stranger).call("GET", "/api/backups")).json as Listed;
          expect(seen.backups.map(({ authenticity }) => authenticity)).toEqual(["wrong", "wrong"]);
          const elsewhere = await cluster.primary({
            ...{ nodeId: "elsewhere", data: join(cluster.directory, "elsewhere"), environment: "other" },
            adminKey: adminKey.replace("_test_", "_other_"),
          });
          const headers = { authorization: `Bearer ${adminKey.replace("_test_", "_other_")}` };
          expect((await apiOf(elsewhere).call("GET", "/api/backups", { headers })).json).toEqual({
            ...{ backups: [], complete: true },
          });
          rmSync(directory, { recursive: true });
          const gone = await call("GET", "/api/backups");
          expect([gone.status, gone.text]).toEqual([
            409,
            expect.stringContaining("correct the setting or the directory"),
          ]);
        },
        { backupDirectory: directory },
      ),
    ),
  90_000,
);

test(
  "a node without a directory says which setting names one",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const { status, errors } = await run(["backup", "list", "--url", primary.url], "", { OSO_AUTH: adminKey });
      expect([status, errors]).toEqual([1, expect.stringContaining("set `backupDirectory`")]);
    }),
  60_000,
);
