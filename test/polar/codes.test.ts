/**
 * For every code of a diagnostic a policy that gets it, with the place, and the nearest one that does not: `codes/*.yaml`, by the stage that
 * finds it. What the message says is in `diagnostics/` and `test/engine/warnings/`.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/engine/state/apply.ts";
import type { Effect } from "../../src/engine/state/event.ts";
import { PolicyChecks } from "../../src/engine/workers/policy-checks.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { policyReport, type PolicyReport } from "../../src/engine/validation/policy-report.ts";
import type { DiagnosticJson } from "../../src/polar/render.ts";
import type { Source } from "../../src/polar/source.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { parseFact } from "../cases/case.ts";
import { insertion } from "../cases/engine-target.ts";
import { code, describeCode, limits, readEntries } from "./entries.ts";
import { codesInSource } from "./codes-in-source.ts";

/** One text, or several files. */
const policy = z.union([
  z.string().transform((text): Source[] => [{ name: "policy.polar", text }]),
  z.array(z.strictObject({ name: z.string(), text: z.string() })).min(2),
]);

const common = {
  code,
  /** Line and column of the finding, behind the file's name where there are several. */
  at: z.string().regex(/^(?:\S+:)?\d+:\d+$/),
  /** Compiles, and its tests pass, without that code. */
  accepted: policy,
  limits: limits.default({}),
  /** What the policy would replace, and the facts that are stored under that one. */
  stored: z.strictObject({ policy: z.string(), facts: z.array(z.string().transform(parseFact)) }).optional(),
};
const entry = z.union([
  z.strictObject({ ...common, refused: policy }),
  /** Accepted, with a warning of that code. */
  z.strictObject({ ...common, warned: policy }),
]);
type Entry = z.infer<typeof entry>;

const files = readEntries(join(import.meta.dir, "codes"), entry);

test("every code has its entry, in the file of its stage, and no other has", () => {
  const codes = files.flatMap(([, entries]) => entries.map((given) => given.code));
  expect(codes.toSorted()).toEqual(codesInSource("src/polar", "src/datalog", "src/engine"));
  for (const [file, entries] of files) {
    for (const given of entries) expect(`${given.code.split("/")[0]}.yaml`).toBe(file);
  }
});

for (const [file, entries] of files) {
  describe(file, () => {
    test.each(entries)("$code", async (given) => {
      const sources = "refused" in given ? given.refused : given.warned;
      const found = await check(sources, given);
      const places = found.map((problem) => `${describeCode(problem)} at ${placeOf(problem, sources)}`);
      const severity = "refused" in given ? "error" : "warning";
      expect(places).toContain(`${describeCode({ code: given.code, severity })} at ${given.at}`);
      expect(found.some((problem) => problem.severity === "error")).toBe("refused" in given);
      for (const { message, hint = "" } of found) expect([message, hint].join("\0")).not.toMatch(unstyled);

      const cured = await check(given.accepted, given);
      expect(cured.filter((problem) => problem.severity === "error" || problem.code === given.code)).toEqual([]);
    });
  });
}

/** A capital first, a full stop last, more than one line. */
const unstyled = /(?:^|\0)[A-Z]|\.(?:$|\0)|[\n\r]/;

/** All that is said of a policy, its failed assertions too. */
async function check(sources: readonly Source[], given: Entry): Promise<readonly DiagnosticJson[]> {
  const low: Limits = { ...defaultLimits, ...given.limits };
  const options = { runTests: true, coverage: false };
  const asked = { sources, ...options };
  const report = given.stored
    ? (JSON.parse(
        await withStore(given.stored, (storePath) => new PolicyChecks(low).check({ ...asked, storePath }, "")),
      ) as PolicyReport)
    : policyReport(checkPolicy(sources, { ...options, limits: low }), sources, options);
  return [...report.problems, ...(report.failures ?? [])];
}

async function withStore<T>(stored: NonNullable<Entry["stored"]>, body: (path: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-codes-"));
  const path = join(folder, "data.db");
  const store = openStore(path);
  createState(store, "test", "test");
  const loaded: Effect = { kind: "policy", id: 1, source: stored.policy, filename: null };
  [loaded, insertion(stored.facts)].forEach((effect, index) =>
    store.transaction(() => applyEvent(store, { offset: index + 1, timeMs: 0, traceparent: null, effect })),
  );
  try {
    return await body(path);
  } finally {
    store.close();
    rmSync(folder, { recursive: true });
  }
}

function placeOf({ file, line, column }: DiagnosticJson, sources: readonly Source[]): string {
  return `${sources.length > 1 ? `${file}:` : ""}${line}:${column}`;
}
