/**
 * The generated types in the hands of the official client: right calls compile, and each wrong one is an error. The checker runs over a folder
 * outside the project, which borrows the project's packages.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { prepare } from "../../src/policy/active-policy.ts";
import { generateTypeScript } from "../../src/policy/typescript.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { readCases } from "../golden.ts";
import { usages } from "./usages.ts";

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostiary-types-"));
  symlinkSync(resolve(import.meta.dirname, "../../node_modules"), join(folder, "node_modules"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const header =
  'import { Oso, typedVar } from "oso-cloud";\nimport type { PolarTypes, PolarResources } from "./types";\n';
const setup = [
  'export const oso = new Oso<PolarTypes>("http://localhost:8080", "key");',
  "export const action = typedVar('String');",
  "export type Resources = keyof typeof PolarResources;",
];

/** Writes a folder of its own for a policy: its types, and a program with the given lines. */
function write(name: string, policy: string, lines: readonly string[], ending = "ts"): void {
  const types = generateTypeScript(prepare(compilePolicy(policy), defaultLimits), "x");
  const own = mkdtempSync(join(folder, `${name.replaceAll(/\W+/g, "-")}-`));
  writeFileSync(join(own, `types.${ending}`), types);
  writeFileSync(join(own, "use.ts"), header + [...setup, ...lines, ""].join("\n"));
}

async function check(): Promise<string> {
  const compilerOptions = {
    ...{ target: "ESNext", module: "Preserve", moduleResolution: "bundler", lib: ["ESNext"], types: [] },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: true },
    noEmit: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*/*.ts"] }));
  const checker = Bun.spawn([process.execPath, "check", "--no-script", "--no-pretty", "--all", "-p", folder], {
    cwd: folder,
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  const [output, errors] = await Promise.all([checker.stdout.text(), checker.stderr.text(), checker.exited]);
  return checker.exitCode === 0 ? "" : output + errors;
}

test("every right call compiles and every wrong one is refused", async () => {
  for (const { name, text } of readCases(join(import.meta.dirname, "policies.polar"))) write(name, text, []);
  for (const [name, { policy, right, wrong }] of Object.entries(usages)) {
    // The checker complains of an expected error that is none.
    write(name, policy, [...right, ...wrong.flatMap((line) => ["// @ts-expect-error", line])]);
    write(name, policy, right, "d.ts");
  }
  expect(await check()).toBe("");
}, 60_000);

test("and this would show", async () => {
  const policy = usages["documents"]?.policy ?? "";
  write("spoilt", policy, [
    'await oso.insert(["has_role", { type: "User", id: "u" }, "raeder", { type: "Document", id: "d" }]);',
    "// @ts-expect-error",
    'await oso.insert(["has_role", { type: "User", id: "u" }, "reader", { type: "Document", id: "d" }]);',
  ]);
  const problems = await check();
  expect(problems).toMatch(/use\.ts.*6.*"raeder"/);
  expect(problems).toContain("Unused '@ts-expect-error' directive");
}, 60_000);
