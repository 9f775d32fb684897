/** Checks a policy that is only asked about, in a thread of its own: its tests may take seconds, and can be ended. */
import type { Limits } from "../config/limits.ts";
import { diagnosticToJson } from "../polar/render.ts";
import type { Source } from "../polar/source.ts";
import { serveWorker } from "../runtime/worker.ts";
import { openStore } from "../store/database.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { activationOf } from "./active-policies.ts";
import { describeOrphans, findOrphans } from "./orphans.ts";
import { checkPolicy } from "./policy-check.ts";
import { policyReport, type PolicyReport } from "./policy-report.ts";

export interface CheckRequest {
  readonly sources: readonly Source[];
  readonly runTests: boolean;
  readonly coverage: boolean;
  readonly limits: Limits;
  /** The file with the facts that the policy would meet. */
  readonly storePath: string;
}

export type PolicyCheckCommands = typeof commands;

const commands = {
  check({ sources, storePath, ...options }: CheckRequest): PolicyReport {
    const checked = checkPolicy(sources, options);
    const report = policyReport(checked, sources, options);
    const orphans = checked.active ? orphansIn(storePath, checked.active) : [];
    if (orphans.length === 0) return report;
    const span = { file: sources[0]?.name ?? "", start: 0, end: 0 };
    const message = describeOrphans(orphans);
    const warning = diagnosticToJson({ code: "fact/orphaned", severity: "warning", message, span }, sources);
    return { ...report, problems: [...report.problems, warning] };
  },
};

serveWorker(commands, () => {});

function orphansIn(storePath: string, active: ActivePolicy): ReturnType<typeof findOrphans> {
  const store = openStore(storePath, { readonly: true });
  try {
    return store.transaction(() => findOrphans(store, activationOf(store)?.active, active));
  } finally {
    store.close();
  }
}
