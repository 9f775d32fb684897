/** What is wrong with the other nodes, in words. Pure, so that tests can enumerate the states. */
import type { ListedNode, Nodes } from "../api/cluster.ts";
import { formatDuration, formatNumber } from "../components/format.ts";
import { nodeTexts } from "../texts/nodes.ts";
import type { Problem } from "./problems.ts";

const words = nodeTexts.problems;
/** Edges are heard of every few seconds, fallbacks with each of their snapshots. */
const silentMs = 60_000;
const lagMax = 1000;

/** The problems of the other nodes, and of all nodes together; those of the asked node are known already. */
export function nodeProblemsOf(listed: Nodes | undefined): Problem[] {
  if (listed === undefined) return [];
  const { asked, nodes } = listed;
  const alive = nodes.filter((node) => !isSilent(node));
  const primaries = alive.filter(({ role, state }) => role === "primary" && state !== "FENCED");
  const versions = [...new Set(alive.flatMap(({ version }) => version ?? []))].toSorted();
  const nodeKeys = new Set(alive.flatMap(({ node_keys: keys }) => keys?.join(" ") ?? []));
  const found: (Problem | false)[] = [
    primaries.length === 0 && error(words.noPrimary),
    primaries.length > 1 && error(words.severalPrimaries(primaries.map(({ node }) => node).join(", "))),
    ...nodes.filter(({ node }) => node !== asked).flatMap(problemsOfNode),
    versions.length > 1 && warning(words.versions(versions.join(", "))),
    nodeKeys.size > 1 && warning(words.nodeKeys),
  ];
  return found.filter((problem) => problem !== false);
}

/** Whether a node is not known to run. */
export function isSilent({ state, answered, seen_ms_ago: seenMs }: ListedNode): boolean {
  return !answered && (state === "GONE" || seenMs > silentMs);
}

function problemsOfNode(listed: ListedNode): (Problem | false)[] {
  const { node, state, ready, degraded, lag_events: lag, brokers, seen_ms_ago: seenMs } = listed;
  // What it last said is not true any more.
  if (isSilent(listed)) return [warning(words.silent(node, formatDuration(seenMs)))];
  return [
    ready === false && error(words.notReady(node)),
    state === "FENCED" && error(words.fenced(node)),
    state === "DISCONNECTED" && error(words.disconnected(node)),
    state === "DIVERGED" && error(words.diverged(node)),
    degraded !== undefined && warning(words.degraded(node, degraded)),
    lag !== null && lag > lagMax && warning(words.lag(node, formatNumber(lag))),
    state === "STALE_FEED" && warning(words.staleBroker(node)),
    ...brokers.map(({ broker, connected }) => !connected && warning(words.brokerDown(node, broker))),
  ];
}

type Described = Omit<Problem, "severity">;

function error(described: Described): Problem {
  return { severity: "error", ...described };
}

function warning(described: Described): Problem {
  return { severity: "warning", ...described };
}
