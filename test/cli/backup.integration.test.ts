/** `ostiary backup` and `ostiary restore`: their output and their errors. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { drawHistory, type StoreContents } from "../replication/random-history.ts";
import { apiOf } from "../http/api.ts";
import { adminKey, nodeKey, withCluster } from "../replication/cluster.ts";
import { must } from "../../src/util/assert.ts";
import { workspace } from "./workspace.ts";

const timeoutMs = 120_000;
const { path, read, write, run: runWith } = workspace();
const run = (parameters: readonly string[], input = "", environment = {}): ReturnType<typeof runWith> =>
  runWith(parameters, input, { OSTIARY_NODE_KEY: nodeKey, ...environment });
let portraits: readonly StoreContents[] = [];
const stateAt = (offset: number): StoreContents["state"] => must(portraits[offset]).state;
const iso = (timeMs: number): string => new Date(timeMs).toISOString();

beforeAll(() => {
  mkdirSync(path("data"));
  const history = drawHistory(path("data/store-1.db"), 5, 30);
  history.store.close();
  portraits = history.portraits;
});

describe("from a data directory and back", () => {
  test(
    "the newest state, and any point in time",
    async () => {
      const made = await run(["backup", "--data", "data", "--out", "history.backup"]);
      expect(made).toMatchObject({ status: 0, errors: "" });
      const { digest, timeMs, epoch } = stateAt(30);
      expect(made.output).toContain("history.backup: a backup of environment `test`, made 20");
      expect(made.output).toContain("from    offset 0, before the first event");
      expect(made.output).toContain(`to      offset 30 of ${iso(timeMs)}, epoch ${epoch}`);

      const listed = await run(["restore", "history.backup", "--list", "--json"]);
      expect(JSON.parse(listed.output)).toMatchObject({
        file: "history.backup",
        kind: "backup",
        environment: "test",
        earliest: { offset: 0 },
        newest: { offset: 30, time: iso(timeMs) },
        epoch,
        digest,
        authenticity: "verified",
        bytes: readFileSync(path("history.backup")).length,
      });

      const back = ["--data", "restored", "--to-time", iso(stateAt(17).timeMs)];
      const tried = await run(["restore", "history.backup", ...back, "--dry-run"]);
      expect(tried).toMatchObject({ status: 0, errors: "" });
      expect(tried.output).toContain(`would be restored to offset 17 of ${iso(stateAt(17).timeMs)}`);
      expect(tried.output).toContain("nothing was changed");
      expect(readdirSync(path("."))).not.toContain("restored");

      const restored = await run(["restore", "history.backup", ...back]);
      expect(restored).toMatchObject({ status: 0, errors: "" });
      expect(restored.output).toMatch(/undone +13 events: /);
      expect(restored.output).toContain(`digest    ${stateAt(17).digest}`);
      expect(restored.output).toContain("ostiary serve --role primary --data restored");
      expect(readdirSync(path("restored")).sort()).toEqual([
        ...["history", "lock", "position", "restored", "role", "store-1.db"],
      ]);
      expect(read("restored/position")).toMatch(/^[0-9a-f]{16}:18$/);

      const again = await run([
        "restore",
        "history.backup",
        "--data",
        "restored",
        "--to-offset",
        "4",
        "--force",
        "--json",
      ]);
      expect(JSON.parse(again.output)).toMatchObject({
        environment: "test",
        offset: 4,
        time: iso(stateAt(4).timeMs),
        digest: stateAt(4).digest,
        replaced: { offset: 18 },
      });
      expect(readdirSync(path("restored")).sort()).toEqual([
        ...["history", "lock", "position", "restored", "role", "store-2.db"],
      ]);
    },
    timeoutMs,
  );

  test(
    "errors name the reason and the remedy",
    async () => {
      await run(["backup", "--data", "data", "--out", "history.backup"]);
      write("damaged.backup", read("history.backup").slice(0, 2000));
      const cases: readonly (readonly [parameters: string[], status: number, said: string])[] = [
        [["backup", "--data", "data"], 1, "required option '--out <file>'"],
        [["backup", "--data", "nowhere", "--out", "x"], 2, "`nowhere` is not the data directory of a node"],
        [["backup", "--data", "data", "--url", "http://h", "--out", "x"], 2, "--data and --url are both sources"],
        [["backup", "--data", "data", "--out", "no/such/x"], 2, "`no/such/x` cannot be written"],
        [["backup", "--out", "x"], 2, "OSO_AUTH is not set"],
        [["restore", "absent.backup", "--list"], 1, "`absent.backup` can't be read: there is no such file"],
        [["restore", "damaged.backup", "--data", "new"], 1, "`damaged.backup`: "],
        [["restore", "history.backup", "--data", "data"], 1, "`data` holds the data of a node (`store-1.db`)"],
        [
          ["restore", "history.backup", "--data", "new", "--to-offset", "31"],
          1,
          "there is no offset 31: the newest is",
        ],
        [["restore", "history.backup", "--data", "new", "--to-offset", "-1"], 2, "`-1` is not an offset"],
        [["restore", "history.backup", "--data", "new", "--to-time", "yesterday"], 2, "`yesterday` is not a time"],
        [
          ["restore", "history.backup", "--data", "new", "--to-time", "2026-11-26T07:00:00"],
          2,
          "is not a time with a zone",
        ],
        [["restore", "history.backup", "--to-time", "2026-11-26T07:00:00Z", "--to-offset", "3"], 2, "use one of them"],
        [
          ["restore", "history.backup", "--data", "new", "--to-time", "2999-01-01T00:00:00Z"],
          1,
          "is unknown: the data end at",
        ],
      ];
      for (const [parameters, status, said] of cases) {
        const outcome = await run(parameters);
        expect([parameters, outcome.errors]).toEqual([parameters, expect.stringContaining(said)]);
        expect([parameters, outcome.status, outcome.output]).toEqual([
          parameters,
          status === 1 && said.startsWith("required") ? 2 : status,
          "",
        ]);
        expect(outcome.errors).not.toContain("    at ");
      }
      expect(readdirSync(path(".")).filter((name) => /^(?:x|no)/.test(name))).toEqual([]);
    },
    timeoutMs,
  );
});

test(
  "from a running node, with an admin key",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const api = apiOf(primary);
      await api.call("POST", "/api/policy", { body: { src: "actor User {}" } });
      const made = await api.call("POST", "/api/keys", { body: { name: "w", role: "write" } });
      const parameters = ["backup", "--url", primary.url, "--out", "node.backup"];
      const refused = await run(parameters, "", { OSO_AUTH: (made.json as { token: string }).token });
      expect(refused).toMatchObject({ status: 1, output: "" });
      expect(refused.errors).toContain("the node answered 403: this API key may only `write`");
      expect(readdirSync(path(".")).filter((name) => name.startsWith("node."))).toEqual([]);
      const outcome = await run([...parameters, "--json"], "", { OSO_AUTH: adminKey });
      expect(outcome).toMatchObject({ status: 0, errors: "" });
      expect(JSON.parse(outcome.output)).toMatchObject({
        file: "node.backup",
        newest: { offset: 3 },
        earliest: { offset: 0 },
      });
      expect(outcome.output).not.toContain(adminKey);
    }),
  timeoutMs,
);
