/** What is said about policies that are allowed and hardly meant: `warnings/*.polar` hold them, the `.txt` of the same name what is said. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { checkPolicy } from "../../src/engine/policy-check.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";
import { expectGolden, readCases } from "../golden.ts";

const directory = join(import.meta.dir, "warnings");

test("warnings", () => {
  const answers = readCases(join(directory, "warnings.polar")).map(({ name, text }) => {
    const sources = [{ name: "policy.polar", text }];
    const { policy, diagnostics } = checkPolicy(sources, { runTests: false });
    expect(policy).toBeDefined();
    return `# --- ${name}\n${renderDiagnostics(diagnostics, sources, { color: false })}`;
  });
  expectGolden(join(directory, "warnings.txt"), answers.join("\n"));
});
