/** The report of this node about itself, for other nodes and for `GET /api/nodes`. */
import { build } from "../../runtime/version.ts";
import { nodeKeyId, type NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { currentEnvironment } from "../../telemetry/current-environment.ts";
import { recentTraces } from "../../telemetry/recent-traces.ts";
import type { NodeHealth } from "../node-health.ts";
import type { NodeReport, Question, Wanted } from "../transport/reports.ts";

export interface ReportSources {
  readonly node: string;
  readonly nodeKeyHashes: NodeKeyHashes | undefined;
  readonly health: () => NodeHealth;
  /** When an event became visible here, in ms since 1970; null if that is unknown. */
  readonly appliedMs: (offset: number) => number | null;
}

export type OwnReport = (wanted: Wanted | Question) => NodeReport;

const brokersMax = 16;
const textLengthMax = 300;

/** Makes reports about the node of the environment in which it is called. */
export function reporterOf({ node, nodeKeyHashes, health, appliedMs }: ReportSources): OwnReport {
  const environment = currentEnvironment();
  // At the start of the node: the derivation of an id is slow.
  const nodeKeys = nodeKeyHashes?.map(nodeKeyId);
  return (wanted) => {
    const { role, state, ok, degraded, epoch, term, offset, ageMs, brokers, keptFormat } = health();
    return {
      ...("id" in wanted && { question: wanted.id }),
      node,
      role,
      version: build.version,
      state,
      ready: ok,
      ...(degraded !== undefined && { degraded: degraded.slice(0, textLengthMax) }),
      epoch,
      term,
      offset,
      age_ms: ageMs,
      brokers: brokers.slice(0, brokersMax).map(({ broker, connected }) => ({
        broker: broker.slice(0, textLengthMax),
        connected,
      })),
      ...(nodeKeys !== undefined && { node_keys: nodeKeys }),
      ...(keptFormat !== undefined && { kept_format: keptFormat }),
      ...(wanted.offset !== undefined && { applied_ms: appliedMs(wanted.offset) }),
      ...(wanted.trace !== undefined && { spans: [...recentTraces.spans(environment, wanted.trace)] }),
    };
  };
}
