/** `ostiary env` and what other commands do with environments: their texts, requests and questions. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { builtBinary } from "../../scripts/built-binary.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import { environmentsWith, type InMemory } from "../http/environments-in-memory.ts";
import { withPrimary } from "../http/api.ts";
import { adminKey } from "../replication/cluster.ts";
import { runOnPseudoTerminal } from "./pseudo-terminal.ts";
import { workspace } from "./workspace.ts";

const { run, runOnTerminal, path } = workspace();
const timeoutMs = 120_000;

type Access = Readonly<Record<"OSO_URL" | "OSO_AUTH", string>>;

async function withEnvironments(body: (access: Access, environments: InMemory) => Promise<void>): Promise<void> {
  await withPrimary(async ({ node }) => {
    const environments = environmentsWith();
    const app = createApp(node, defaultLimits, { environments });
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
    try {
      await body({ OSO_URL: `http://127.0.0.1:${server.port}`, OSO_AUTH: adminKey }, environments);
    } finally {
      await server.stop(true);
      app.close();
    }
  });
}

test(
  "environments are listed, created, copied, renamed, deleted, restored and abandoned, and get keys",
  () =>
    withEnvironments(async (access, { calls }) => {
      const lines = [
        [
          "list",
          [
            "ID       STATE                                     NODE     OFFSET  CREATED                   NAME",
            "test     default                                   primary  7       -                         test",
            "staging  active                                    -        -       2026-11-29T00:00:00.000Z  Staging",
            "old      deleted, final at 2026-12-06T00:00:00.000Z  edge     -       2026-11-29T00:00:00.000Z  Staging",
          ].join("\n"),
        ],
        ["create qa", "e_qa_secret"],
        ["create qa --name Tests --copy-of staging", "e_qa_secret"],
        ["copy staging qa", "e_qa_secret"],
        ["key staging", "e_staging_secret"],
        ["rename staging New", "staging is now named New"],
        ["delete staging --yes", "deleted staging; until 2026-12-06T00:00:00.000Z `ostiary env restore` undoes it"],
        ["restore old", "restored old"],
        ["create qa --again", "e_qa_secret"],
        ["abandon staging", "abandoned staging"],
        ["complete", "the list of environments is complete"],
      ] as const;
      for (const [line, expected] of lines) {
        const { status, output, errors } = await run(["env", ...line.split(" ")], "", access);
        const spaced = (text: string): string => text.replaceAll(/ {2,}/g, "  ");
        expect([line, status, errors, spaced(output)]).toEqual([line, 0, "", `${spaced(expected)}\n`]);
        const asJson = await run(["env", ...line.split(" "), "--json"], "", access);
        expect([line, typeof JSON.parse(asJson.output), asJson.output.includes("message")]).toEqual([
          line,
          "object",
          false,
        ]);
      }
      const once = calls.filter((_, index) => index % 2 === 0);
      expect(once).toEqual([
        ["create", { id: "qa", name: "qa", copyOf: undefined, again: false }],
        ["create", { id: "qa", name: "Tests", copyOf: "staging", again: false }],
        ["create", { id: "qa", name: "qa", copyOf: "staging", again: false }],
        ["createKey", "staging"],
        ["rename", "staging", "New"],
        ["delete", "staging"],
        ["restore", "old"],
        ["create", { id: "qa", name: "qa", copyOf: undefined, again: true }],
        ["abandon", "staging"],
        ["complete"],
      ]);
    }),
  timeoutMs,
);

test(
  "errors say what to do, and nothing is deleted without a yes",
  () =>
    withEnvironments(async (access, { calls }) => {
      const table = [
        ["delete staging", 2, "without a terminal, say so with `--yes`"],
        ["create A_b", 1, "`id` in the body must be 1 to 32 of `a-z`, `0-9` and `-`"],
        ["create staging", 1, "there is an environment `staging` already"],
        ["copy none qa", 1, "there is no environment `none`"],
        ["delete ../keys/admin --yes", 1, "there is no environment `../keys/admin`"],
        ["restore staging", 1, "the environment `staging` is not deleted"],
        ["rename staging", 2, "missing required argument 'name'"],
      ] as const;
      for (const [line, expected, text] of table) {
        const { status, output, errors } = await run(["env", ...line.split(" ")], "", access);
        expect([line, status, output, errors]).toEqual([line, expected, "", expect.stringContaining(text)]);
      }
      expect(calls.filter(([name]) => name !== "create")).toEqual([]);
    }),
  timeoutMs,
);

test(
  "on a terminal, a deletion is asked for",
  () =>
    withEnvironments(async (access, { calls }) => {
      const table = [
        ["y\r", 0, 1],
        ["yes\r", 0, 2],
        ["\r", 1, 2],
        ["n\r", 1, 2],
        ["staging\r", 1, 2],
        ["\u0004", 1, 2],
      ] as const;
      for (const [answer, expected, deletions] of table) {
        const { status, output, errors } = await runOnTerminal(["env", "delete", "staging"], answer, access);
        expect([answer, status, errors.includes("nothing was deleted")]).toEqual([answer, expected, expected === 1]);
        expect([output !== "", errors.includes("Delete the environment staging of http://127.0.0.1:")]).toEqual([
          expected === 0,
          true,
        ]);
        expect([answer, calls.length]).toEqual([answer, deletions]);
      }
      const asked = { directory: path(""), environment: access, question: "[y/N]", answer: "y\r" };
      const shown = await runOnPseudoTerminal([await builtBinary(), "env", "delete", "staging"], asked);
      expect(shown).toEqual({ status: 0, text: expect.stringContaining("\ndeleted staging") });
      expect(calls).toHaveLength(3);
    }),
  timeoutMs,
);

test(
  "a promotion that lacks environments fails, and names them",
  () =>
    withPrimary(async ({ node }) => {
      const preview = { reasons: [], warnings: [], missingEvents: 0, lostEvents: 0 };
      const previewOthers = async () => [["qa", preview] as const];
      const promoteOthers = async () => [{ id: "qa", reason: "another node has more events" }];
      const app = createApp(node, defaultLimits, { environments: environmentsWith({ previewOthers, promoteOthers }) });
      const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => app.fetch(request) });
      const access = { OSO_URL: `http://127.0.0.1:${server.port}`, OSO_AUTH: adminKey };
      const { status, output, errors } = await run(["promote"], "", access);
      await server.stop(true);
      app.close();
      expect([status, output, errors]).toEqual([
        1,
        expect.stringContaining("is now the primary"),
        "error: it is not the primary of qa: another node has more events\n",
      ]);
    }),
  timeoutMs,
);
