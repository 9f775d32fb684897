/** What is wrong with this node, in words, the worst first. Pure, so that tests can enumerate the states. */
import type { Environment, Health } from "../api/responses.ts";
import { formatNumber } from "../components/format.ts";
import { problemTexts } from "../texts/overview.ts";

export interface Problem {
  /** `error`: questions or writes fail. `warning`: they will, or are slower than usual. */
  readonly severity: "error" | "warning";
  readonly title: string;
  readonly remedy: string;
}

export interface Observations {
  readonly health: Health | undefined;
  readonly environments: readonly Environment[] | undefined;
  /** Of `/metrics`; undefined where the login may not read them. */
  readonly storageOk: boolean | undefined;
  readonly hasForeignHistory: boolean | undefined;
  /** The latest value. */
  readonly errorsPerSecond: number | undefined;
}

export function problemsOf(observations: Observations): Problem[] {
  const { health, environments = [], storageOk, hasForeignHistory, errorsPerSecond = 0 } = observations;
  const found: (Problem | undefined | false)[] = [
    health?.status === "not ready" && error(problemTexts.notReady),
    storageOk === false && error(problemTexts.disk),
    health?.state === "FENCED" && error(problemTexts.fenced),
    health?.state === "DIVERGED" && error(problemTexts.diverged),
    health?.state === "DISCONNECTED" && error(problemTexts.disconnected),
    health?.degraded !== undefined && error(problemTexts.degraded(health.degraded)),
    hasForeignHistory === true && error(problemTexts.foreignHistory),
    health?.unreplicated_events !== undefined &&
      health.unreplicated_events > 0 &&
      error(problemTexts.unreplicated(health.unreplicated_events)),
    errorsPerSecond > 0 && error(problemTexts.errors(formatNumber(errorsPerSecond))),
    ...environments.map(
      ({ id, failure }) => failure !== undefined && error(problemTexts.environmentFailed(id, failure)),
    ),
    health?.pledged_to !== undefined && warning(problemTexts.voted(health.pledged_to)),
    health?.state === "STALE_FEED" && warning(problemTexts.staleBroker),
    ...(health?.brokers ?? []).map(({ broker, connected }) => !connected && warning(problemTexts.brokerDown(broker))),
  ];
  return found.filter((problem) => problem !== undefined && problem !== false);
}

type Described = Omit<Problem, "severity">;

function error(described: Described): Problem {
  return { severity: "error", ...described };
}

function warning(described: Described): Problem {
  return { severity: "warning", ...described };
}
