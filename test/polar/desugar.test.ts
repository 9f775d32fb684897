/** Expansion to longhand: `desugar/*.polar` are policies, and the `.txt` files have their longhand. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expectGolden, readCases } from "../golden.ts";
import { compileText } from "./compile.ts";
import { printPolicy } from "./print.ts";

const directory = join(import.meta.dirname, "desugar");

for (const suite of readdirSync(directory).filter((name) => name.endsWith(".polar"))) {
  test(`longhand of ${suite}`, () => {
    const answers = readCases(join(directory, suite)).map(({ name, text }) => {
      const { policy, diagnostics } = compileText(text);
      expect(diagnostics.filter((diagnostic) => diagnostic.severity === "error")).toEqual([]);
      return `# --- ${name}\n${policy && printPolicy(policy)}\n`;
    });
    expectGolden(join(directory, suite.replace(".polar", ".txt")), answers.join("\n"));
  });
}
