/**
 * For every code of a diagnostic, `codes/*.yaml` has a policy with it and its position, and a similar policy without
 * it. The files are named after the stage of the code. The messages are in `diagnostics/` and `test/engine/warnings/`.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import type { Effect } from "../../src/log/event/event.ts";
import { policyChecks } from "../../src/engine/workers/policy-checks.ts";
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
  /** Line and column of the diagnostic, after the name of the file if there are several. */
  at: z.string().regex(/^(?:\S+:)?\d+:\d+$/),
  /** A policy that compiles without this code, and whose tests pass. */
  accepted: policy,
  limits: limits.default({}),
  /** The active policy that this one would replace, and the facts that are stored under it. */
  stored: z.strictObject({ policy: z.string(), facts: z.array(z.string().transform(parseFact)) }).optional(),
};
const entry = z.union([
  z.strictObject({ ...common, refused: policy }),
  /** A policy that is accepted with a warning of this code. */
  z.strictObject({ ...common, warned: policy }),
]);
type Entry = z.infer<typeof entry>;

const files = readEntries(join(import.meta.dirname, "codes"), entry);

test("every code has an entry in the file of its stage, and there are no others", () => {
  const codes = files.flatMap(([, entries]) => entries.map((given) => given.code));
  expect(codes.toSorted()).toEqual(codesInSource("src/polar", "src/datalog", "src/engine", "src/policy", "src/log"));
  for (const [file, entries] of files) {
    for (const given of entries) expect(`${given.code.split("/")[0]}.yaml`).toBe(file);
  }
});

for (const [file, entries] of files) {
  describe(file, () => {
    test.each(entries)("$code", async (given) => {
      const sources = "refused" in given ? given.refused : given.warned;
      const found = await check(sources, given);
      const positions = found.map((problem) => `${describeCode(problem)} at ${placeOf(problem, sources)}`);
      const severity = "refused" in given ? "error" : "warning";
      expect(positions).toContain(`${describeCode({ code: given.code, severity })} at ${given.at}`);
      expect(found.some((problem) => problem.severity === "error")).toBe("refused" in given);
      for (const { message, hint = "" } of found) expect([message, hint].join("\0")).not.toMatch(unstyled);

      const cured = await check(given.accepted, given);
      expect(cured.filter((problem) => problem.severity === "error" || problem.code === given.code)).toEqual([]);
    });
  });
}

/** Texts with a capital letter first, a full stop last, or more than one line. */
const unstyled = /(?:^|\0)[A-Z]|\.(?:$|\0)|[\n\r]/;

/** All diagnostics of a policy, including those of failed assertions. */
async function check(sources: readonly Source[], given: Entry): Promise<readonly DiagnosticJson[]> {
  const low: Limits = { ...defaultLimits, ...given.limits };
  const options = { runTests: true, coverage: false };
  const asked = { sources, ...options };
  const report = given.stored
    ? (JSON.parse(
        await withStore(given.stored, (storePath) => policyChecks(low).check({ ...asked, storePath }, "")),
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
