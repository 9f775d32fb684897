/**
 * Compilation of random text: it never throws, ends soon, and returns either a policy or errors with positions inside
 * the text. `FUZZ_SEED` repeats a run, `FUZZ_RUNS` makes it longer.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { diagnosticToJson, renderDiagnostics } from "../../src/polar/render.ts";
import { policyMetadata } from "../../src/polar/metadata.ts";
import { readCases } from "../golden.ts";
import { seededRuns } from "../seeds.ts";
import { compileText } from "./compile.ts";
import { printPolicy } from "./print.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

function holds(text: string): void {
  const started = threadCpuMs();
  const { policy, diagnostics, sources } = compileText(text);
  expect(policy === undefined).toBe(diagnostics.some((found) => found.severity === "error"));
  for (const { span, message } of diagnostics) {
    expect(span.start).toBeGreaterThanOrEqual(0);
    expect(span.end).toBeGreaterThanOrEqual(span.start);
    expect(span.end).toBeLessThanOrEqual(text.length);
    expect(message).not.toContain("\n");
  }
  expect(diagnostics.map((found) => found.span.start)).toEqual(
    diagnostics.map((found) => found.span.start).toSorted((one, other) => one - other),
  );
  renderDiagnostics(diagnostics, sources, { color: true });
  for (const found of diagnostics) expect(diagnosticToJson(found, sources).line).toBeGreaterThan(0);
  if (policy) expect(printPolicy(policy) + JSON.stringify(policyMetadata(policy))).not.toContain("undefined");
  expect(threadCpuMs() - started).toBeLessThan(2000);
}

const words =
  'actor resource global extends test fixture setup assert assert_not iff declare type if and or not in on matches matches! role permission roles permissions relations true false _ x y User Org String Integer Actor @current_unix_time @flag ?= = != < <= > >= == := . + - ( ) { } [ ] , ; : :: "a" "b" 1 -2 1.5 \' # \n';
const tokens = fc.constantFrom(...words.split(" "));

const texts = collectTexts();

describe.each(seededRuns(20_240_501, 150))("$runs times, with seed $seed,", ({ seed, runs }) => {
  const parameters = { numRuns: runs, seed };

  test("random characters", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 300 }), holds), parameters);
  });

  test("random UTF-16 code units, including unpaired surrogates", () => {
    const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 200 });
    fc.assert(
      fc.property(units, (codes) => holds(String.fromCharCode(...codes))),
      parameters,
    );
  });

  test("random tokens", () => {
    fc.assert(
      fc.property(fc.array(tokens, { maxLength: 120 }), (list) => holds(list.join(" "))),
      { ...parameters, numRuns: runs * 5 },
    );
  });

  test("mutated policies", () => {
    const edit = fc.record({ at: fc.nat(), length: fc.nat({ max: 30 }), insert: fc.oneof(tokens, fc.constant("")) });
    const mutation = fc.tuple(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 4 }));
    fc.assert(
      fc.property(mutation, ([text, edits]) => {
        let changed = text;
        for (const { at, length, insert } of edits) {
          const start = at % (changed.length + 1);
          changed = changed.slice(0, start) + insert + changed.slice(start + length);
        }
        holds(changed);
      }),
      { ...parameters, numRuns: runs * 2 },
    );
  });

  test("policies cut off at any position", () => {
    const cut = fc.tuple(fc.constantFrom(...texts), fc.nat());
    fc.assert(
      fc.property(cut, ([text, end]) => holds(text.slice(0, end % (text.length + 1)))),
      { ...parameters, numRuns: runs * 2 },
    );
  });
});

/** The cases of the other tests, and the public policies if they exist. */
function collectTexts(): string[] {
  const own = ["desugar", "diagnostics"].flatMap((folder) => {
    const directory = join(import.meta.dirname, folder);
    const files = readdirSync(directory).filter((name) => name.endsWith(".polar"));
    return files.flatMap((name) => readCases(join(directory, name)).map((found) => found.text));
  });
  const corpus = join(import.meta.dirname, "../../../shared/corpus");
  if (!existsSync(corpus)) return own;
  const files = readdirSync(corpus, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".polar"));
  return [...own, ...files.map((name) => readFileSync(join(corpus, name), "utf8"))];
}
