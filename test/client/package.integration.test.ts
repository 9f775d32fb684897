/**
 * The package in an application: packed, installed, type-checked, and imported by a program on Node (on Bun if there is
 * no Node).
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { declarationsOf } from "../../scripts/client-package.ts";
import { adminKey, converged, loadPolicy, withCluster, withDirectory } from "../replication/cluster.ts";

const application = `
import { Oso } from "oso-cloud";
import { redundantFetch } from "ostiary/redundant-fetch";

const [dead, edge, key] = process.argv.slice(2);
const oso = new Oso(dead, key, { fetchBuilder: redundantFetch([dead, edge], { hedgeAfterMs: 100 }) });
const ann = { type: "User", id: "ann" };
const main = { type: "Repo", id: "main" };
await oso.insert(["has_role", ann, "reader", main]);
const answers = [await oso.authorize(ann, "read", main), await oso.list(ann, "read", "Repo"), await oso.actions(ann, main)];
console.log(JSON.stringify(answers));
`;

const typed = `
import { Oso } from "oso-cloud";
import { redundantFetch, type FetchBuilder, type RedundantFetchOptions } from "ostiary/redundant-fetch";
import { localSql } from "ostiary/local-sql";

const options: RedundantFetchOptions = { fallback: "http://fallback:8080", hedgeAfterMs: 50 };
const fetchBuilder: FetchBuilder = redundantFetch(["http://edge-a:8080"], options);
export const oso = new Oso("http://edge-a:8080", "key", { fetchBuilder });
export const answer: Promise<Response> = fetchBuilder(fetch)("http://edge-a:8080/api/facts");
export const condition: string = localSql((strings) => strings.join(), { sql: "TRUE" });
`;

/** Each library has its own type of SQL. */
const typedLibraries = `
import { localSql, type LocalSqlAnswer } from "ostiary/local-sql";
import { sql as drizzleSql, type SQL as DrizzleSql } from "drizzle-orm";
import { sql as kyselySql, type RawBuilder } from "kysely";
import { sql as prismaSql, type Sql as PrismaSql } from "@prisma/client-runtime-utils";

const answered: LocalSqlAnswer = { sql: "issues.id = $1", parameters: ["x"] };
export const ofDrizzle: DrizzleSql<boolean> = localSql(drizzleSql<boolean>, answered);
export const ofKysely: RawBuilder<boolean> = localSql(kyselySql<boolean>, answered);
export const ofPrisma: PrismaSql = localSql(prismaSql, "TRUE");
`;

/** The configuration of an application on Node. */
const compilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  target: "ESNext",
  lib: ["ESNext"],
  module: "NodeNext",
  types: ["node"],
};

test(
  "an application can install the package and import its functions, with their types",
  () =>
    withDirectory(async (folder) => {
      await run(projectRoot, [process.execPath, "pm", "pack", "--destination", folder]);
      const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
      expect(tarball).toBeDefined();
      const home = join(folder, "application");
      mkdirSync(join(home, "node_modules"), { recursive: true });
      writeFileSync(join(home, "package.json"), JSON.stringify({ name: "application", private: true, type: "module" }));
      await run(home, [process.execPath, "add", `../${tarball}`]);
      expect(readdirSync(join(home, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["ostiary"]);

      for (const name of ["oso-cloud", "@types", "drizzle-orm", "kysely", "@prisma"])
        symlinkSync(join(projectRoot, "node_modules", name), join(home, "node_modules", name));
      // The declarations of Drizzle need packages of all databases.
      for (const [text, skipLibCheck] of [[typed, false] as const, [typedLibraries, true] as const]) {
        writeFileSync(join(home, "typed.ts"), text);
        const options = { ...compilerOptions, skipLibCheck };
        writeFileSync(join(home, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["typed.ts"] }));
        await run(home, [process.execPath, "check", "--no-script"]);
      }

      writeFileSync(join(home, "application.mjs"), application);
      await withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge", primary);
        await converged(edge.node, primary.node);
        const gone = await cluster.edge("gone", primary);
        await gone.stop();
        const program = Bun.which("node") ?? process.execPath;
        const output = await run(home, [program, "application.mjs", gone.url, edge.url, adminKey]);
        expect(JSON.parse(output)).toEqual([true, ["main"], ["read"]]);
      });
    }),
  300_000,
);

test("declarations are the exports without bodies, and other exports are refused", () => {
  const source = `
import type { X } from "./x.ts";
/** Why. */
export function f(a: readonly string[], b: { c?: number } = {}): Promise<void> { return g(a, b); }
export function h<X extends string>(x: X): X { return x; }
/** Not told. */
const hidden = 1;
export type T = "a" | "b";
`;
  expect(declarationsOf("a.ts", source)).toBe(
    `/** Why. */\nexport declare function f(a: readonly string[], b?: { c?: number }): Promise<void>;\n\nexport declare function h<X extends string>(x: X): X;\n\nexport type T = "a" | "b";\n`,
  );
  expect(() => declarationsOf("a.ts", "export const x = 1;")).toThrow("an export that is neither");
  expect(() => declarationsOf("a.ts", "export function f() {}")).toThrow("an export that is neither");
});

async function run(cwd: string, command: string[]): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 300_000 });
  const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (status !== 0) throw new Error(`${command.join(" ")} ended with status ${status}:\n${output}${errors}`);
  return output;
}
