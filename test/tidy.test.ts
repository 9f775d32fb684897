/** The rules of the house that a machine can hold, and proof that it would notice a breach of each. */
import { describe, expect, test } from "bun:test";
import { workerEntries } from "../scripts/worker-entries.ts";
import { checkBans } from "./tidy/bans.ts";
import { checkFolderOrder, importCycles } from "./tidy/import-order.ts";
import { checkLayers, unreachable } from "./tidy/layers.ts";
import { parseSource, readSources } from "./tidy/source-file.ts";
import { checkStartCost } from "./tidy/start-cost.ts";
import { checkWords } from "./tidy/words.ts";

const sources = readSources();
/** The checks of all texts take 1.5 s of processor time. */
const busyMachineMsMax = 60_000;

describe("the tree is tidy", () => {
  test("imports follow the table of layers", () => {
    expect(sources.flatMap(checkLayers)).toEqual([]);
  });

  test("subfolders import in one direction", () => {
    expect(sources.flatMap((file) => checkFolderOrder(file))).toEqual([]);
  });

  test("no files import each other in a circle", () => {
    expect(importCycles(sources)).toEqual([]);
  });

  test(
    "words are the standard terms",
    () => {
      expect(sources.flatMap((file) => checkWords(file))).toEqual([]);
    },
    busyMachineMsMax,
  );

  test(
    "nothing banned is in it",
    () => {
      expect(sources.flatMap(checkBans)).toEqual([]);
    },
    busyMachineMsMax,
  );

  test("no file of src/ is dead", () => {
    expect(sources.length).toBeGreaterThan(50);
    const entries = [
      "src/main.ts",
      "src/client/redundant-fetch.ts",
      "src/client/local-sql.ts",
      "src/console/ui/main.tsx",
      "src/runtime/worker-process-main.ts",
      ...workerEntries.map((entry) => `src/${entry}`),
    ];
    expect(unreachable(sources, entries)).toEqual([]);
  });
});

describe("starts are cheap", () => {
  /** The workers that validate bodies need the schemas of requests. */
  const validating = ["http/request/body-worker.ts", "threads/answering-thread-worker.ts"];
  const workers = workerEntries.filter((entry) => !validating.includes(entry)).map((entry) => `src/${entry}`);

  test.each(["src/main.ts", "src/cli/cli.ts", ...workers])("of %s", (entry) => {
    expect(checkStartCost(sources, [entry])).toEqual([]);
  });

  test("and a schema or a package that makes them expensive is noticed", () => {
    const reportsOf = (text: string) =>
      checkStartCost(
        [parseSource("src/a-worker.ts", `export { b } from "./b.ts";`), parseSource("src/b.ts", text)],
        ["src/a-worker.ts"],
      );
    expect(reportsOf(`const a = z.lazy(() => z.object({}));\nexport const b = z.string().min(1);`)).toEqual([
      "src/b.ts:2: each start makes this schema",
    ]);
    expect(reportsOf(`import { Counter } from "prom-client";`)).toEqual(["src/b.ts:1: each start loads `prom-client`"]);
    expect(reportsOf(`import type { Counter } from "prom-client";\nawait import("mqtt");`)).toEqual([]);
  });
});

describe("a breach of layers is noticed", () => {
  test.each([
    ["src/util/a.ts", `import { b } from "../config/limits.ts";`, "`util` must not import `config`"],
    ["src/client/a.ts", `import { b } from "../util/assert.ts";`, "`client` must not import `util`"],
    ["src/polar/a.ts", `import type { X } from "../engine/event.ts";`, "`polar` must not import `engine`"],
    ["src/polar/a.ts", `import { readFileSync } from "node:fs";`, "`polar` is pure"],
    ["src/datalog/a.ts", `import { Database } from "bun:sqlite";`, "`bun:sqlite` belongs to runtime"],
    ["src/http/a.ts", `import { $ } from "bun";`, "`bun` belongs to runtime"],
    ["src/http/a.ts", `import { SqliteDatabase } from "../runtime/sqlite.ts";`, "touch SQLite"],
    ["src/http/a.ts", `import { openStore } from "../store/connection/open-store.ts";`, "it has no connection"],
    ["src/log/a.ts", `import { Engine } from "../engine/engine.ts";`, "`log` must not import `engine`"],
    ["src/http/a.ts", `export { trace } from "@opentelemetry/sdk-trace";`, "belongs to telemetry"],
    ["src/http/a.ts", `import mqtt from "mqtt";`, "belongs to replication"],
    ["src/cli/a.ts", `import { parse } from "yaml";`, "belongs to runtime"],
    ["src/features/a/handle.ts", `import { b } from "../b/handle.ts";`, "must not import another one"],
    ["src/features/a/command.ts", `import { b } from "./handle.ts";`, "it has no part of it"],
    ["src/features/a/command-b.ts", `import { b } from "../b/command.ts";`, "of another feature"],
    ["src/features/a/handle.ts", `import { b } from "../../cli/table.ts";`, "must not import `cli`"],
    ["src/cli/a.ts", `import { b } from "../features/a/handle.ts";`, "not what the node does"],
    ["src/features/a/endpoints.ts", `import { b } from "./handle.ts";`, "they import no code of it"],
    ["src/engine/a.ts", `const { Elysia } = await import("elysia");`, "belongs to features, http, roles"],
    ["src/engine/a.ts", `const { x } = await import("../features/app.ts");`, "`engine` must not import `features`"],
    ["src/roles/a.ts", `import { runCommandLine } from "../cli/cli.ts";`, "`roles` must not import `cli`"],
    ["src/main.ts", `import { startPrimary } from "./roles/member.ts";`, "main.ts only starts cli/"],
    ["src/engine/a.ts", `import { x } from "../../test/oracle.ts";`, "`src/` must not import `test/oracle.ts`"],
    ["src/console/ui/a.tsx", `import { b } from "../../util/assert.ts";`, "separate programs"],
    ["src/console/ui/a.tsx", `import { b } from "../../features/keys/endpoints.ts";`, "separate programs"],
    ["src/console/a.ts", `import { b } from "./ui/b.ts";`, "separate programs"],
    ["src/http/a.ts", `import { render } from "preact";`, "belongs to console"],
    ["src/novelty/a.ts", `import { x } from "../util/assert.ts";`, "is not in the table"],
    ["test/a.ts", `import { x } from "./tidy.test.ts";`, "imports a test"],
  ])("%s: %s", (path, text, problem) => {
    const found = checkLayers(parseSource(path, `\n${text}`));
    expect(found).toHaveLength(1);
    expect(found[0]).toStartWith(`${path}:2: `);
    expect(found[0]).toContain(problem);
  });

  test("and what is allowed is not complained of", () => {
    const allowed = [
      [
        "src/engine/a.ts",
        `import { trace } from "@opentelemetry/api"; import { SqliteDatabase } from "../runtime/sqlite.ts";`,
      ],
      ["src/replication/a.ts", `import mqtt from "mqtt"; import { spawnWorker } from "../runtime/worker.ts";`],
      [
        "src/polar/a.ts",
        `import { must } from "../util/assert.ts"; import { b } from "./b.ts"; // import x from "elysia"`,
      ],
      ["scripts/a.ts", `import { $ } from "bun"; import { x } from "../src/config/settings.ts";`],
    ] as const;
    expect(allowed.flatMap(([path, text]) => checkLayers(parseSource(path, text)))).toEqual([]);
  });
});

describe("a banned thing is noticed", () => {
  test.each([
    ["src/a/b.ts", `const x = y as any;`, "`any`"],
    ["src/a/b.ts", `function f(x: any): void {}`, "`any`"],
    ["src/a/b.ts", `// TODO: later`, "left for later"],
    ["src/a/b.ts", `/* a FIXME */`, "left for later"],
    ["src/a/b.ts", `// @ts-ignore`, "not turned off"],
    ["src/a/b.ts", `// oxlint-disable-next-line`, "not turned off"],
    ["src/a/b.ts", `console.log(1);`, "no console"],
    ["src/console/ui/b.tsx", `const bytes = Buffer.from("a");`, "a browser has none"],
    ["src/http/b.ts", `const v = Bun.version;`, "only src/runtime/bun/ knows"],
    ["src/polar/b.ts", `const now = Date.now();`, "no clock"],
    ["src/polar/b.ts", `const now = new Date();`, "no clock"],
    ["src/datalog/b.ts", `const dice = Math.random();`, "no randomness"],
    ["src/datalog/b.ts", `const home = process.env;`, "no process"],
    ["src/datalog/b.ts", `const key = JSON.stringify(term);`, "JSON is no key"],
    ["src/engine/a/b.ts", `const isSame = JSON.stringify(term) === text;`, "JSON is no key"],
    ["src/a/b.ts", `enum Colour { Red }`, "no enums"],
    ["src/console/ui/b.tsx", `const a = <p>Some words</p>;`, "in `src/console/ui/texts`"],
    ["src/console/ui/b.tsx", `const a = <p>{"Some words"}</p>;`, "in `src/console/ui/texts`"],
    ["src/console/ui/b.tsx", `const a = <input aria-label="Some words" />;`, "in `src/console/ui/texts`"],
    ["test/b.test.ts", `test.only("x", () => {});`, "left out or alone"],
    ["test/b.test.ts", `describe.skip("x", () => {});`, "left out or alone"],
    ["test/b.test.ts", `test.todo("x");`, "left out or alone"],
    ["test/b.test.ts", `fc.assert(fc.property(fc.nat(), holds));`, "without a seed"],
    ["test/b.test.ts", `fc.assert(fc.property(fc.nat(), holds), { numRuns: 5 });`, "without a seed"],
    ["src/a/b.ts", `import { c } from "./c";`, "lacks its ending"],
    ["src/a/b.ts", `const root = "/${"work"}/main/src";`, "somebody's machine"],
    ["src/a/index.ts", `export const x = 1;`, "named by its one idea"],
    ["src/a/helpers.ts", `export const x = 1;`, "named by its one idea"],
    ["src/a/CamelCase.ts", `export const x = 1;`, "kebab-case"],
  ])("%s: %s", (path, text, problem) => {
    const found = checkBans(parseSource(path, text));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(problem);
  });

  test("and words in texts, or things in their right place, are not complained of", () => {
    const allowed = [
      ["src/a/b.ts", `const help = "TODO: console.log(Date.now() as any) // @ts-ignore";`],
      ["src/runtime/bun/b.ts", `export const version = Bun.version;`],
      ["src/http/b.ts", `const now = Date.now(); const anything: unknown = company.only(1);`],
      ["scripts/b.ts", `console.log(Bun.version);`],
      ["test/b.test.ts", `test.skipIf(process.getuid?.() !== 0)("x", () => {});`],
      ["test/b.test.ts", `fc.assert(property, { seed }); fc.assert(property, parameters);`],
    ] as const;
    expect(allowed.flatMap(([path, text]) => checkBans(parseSource(path, text)))).toEqual([]);
  });
});

test("a file that nothing reaches is noticed, also where a test imports it", () => {
  const files = [
    parseSource("src/main.ts", `import "./cli/a.ts";`),
    parseSource("src/cli/a.ts", `export type { B } from "./b.ts"; const c = await import("./c.ts");`),
    parseSource("src/cli/b.ts", ""),
    parseSource("src/cli/c.ts", ""),
    parseSource("src/cli/dead.ts", ""),
    parseSource("test/a.test.ts", `import "../src/cli/dead.ts";`),
  ];
  expect(unreachable(files, ["src/main.ts"])).toEqual(["src/cli/dead.ts"]);
});

describe("the order of subfolders", () => {
  const orders = { "src/engine": ["state", "query", ".", "engine.ts"], "src/engine/query": ["plans", "."] };
  test.each([
    ["src/engine/state/a.ts", `import type { B } from "../query/b.ts";`, "`state` comes before `query`"],
    ["src/engine/query/a.ts", `import { b } from "../authenticate.ts";`, "`query` comes before `.`"],
    ["src/engine/authenticate.ts", `import { b } from "./engine.ts";`, "`.` comes before `engine.ts`"],
    ["src/engine/query/plans/a.ts", `import { b } from "../b.ts";`, "`plans` comes before `.`"],
  ])("%s: %s", (path, text, problem) => {
    const found = checkFolderOrder(parseSource(path, `\n${text}`), orders);
    expect(found).toHaveLength(1);
    expect(found[0]).toStartWith(`${path}:2: `);
    expect(found[0]).toContain(problem);
  });

  test("names every subfolder", () => {
    expect(checkFolderOrder(parseSource("src/engine/new/a.ts", ""), orders)).toEqual([
      "src/engine/new/a.ts: `new` is not in the order of `src/engine`",
    ]);
  });

  test("allows imports of earlier entries and of other folders", () => {
    const text = `import "../state/a.ts"; import "./b.ts"; import "../../store/c.ts";`;
    expect(checkFolderOrder(parseSource("src/engine/query/a.ts", text), orders)).toEqual([]);
  });
});

test("files that import each other in a circle are noticed, types included", () => {
  const files = [
    parseSource("src/a.ts", `import { b } from "./b.ts";`),
    parseSource("src/b.ts", `export type { C } from "./c.ts"; import { d } from "./d.ts";`),
    parseSource("src/c.ts", `import type { A } from "./a.ts";`),
    parseSource("src/d.ts", `import { e } from "./e.ts";`),
    parseSource("src/e.ts", ""),
    parseSource("src/f.ts", `const f = await import("./f.ts");`),
  ];
  expect(importCycles(files)).toEqual(["src/a.ts src/b.ts src/c.ts", "src/f.ts"]);
});

describe("a word that is not the standard term is noticed", () => {
  test.each([
    ["src/a/aside-lane.ts", ""],
    ["src/a/b.ts", "function ask(idleCells: string): void {}"],
    ["src/a/b.ts", "const a = { memoHits: 1 };"],
    ["src/a/b.ts", `const message = "this is answered aside";`],
    ["src/a/b.ts", "const message = `the feed of ${a} ends`;"],
    ["src/a/b.ts", "/** The answer of\n * whoever asks. */"],
    ["src/a/b.ts", "class A { #tallies = 0; }"],
    ["src/a/b.ts", "/** The lease in the coordination\n * engine. */"],
    ["src/replication/lease/b.ts", "const message = `the engine at ${a} gave no answer`;"],
  ])("%s: %j", (path, text) => {
    const found = checkWords(parseSource(path, text));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(": say ");
  });

  test("and words that contain one are not complained of", () => {
    const text = `const excellent = "cellar memory sealant"; // asides, feedback`;
    expect(checkWords(parseSource("src/a/b.ts", text))).toEqual([]);
  });
});
