/**
 * Selects the fault injection of a cluster: `faults.ts` if one node is always the primary, `member-faults.ts` with
 * monitors if it changes.
 */
import { availabilityOf } from "./availability.ts";
import { noDiskFigures, type DiskFigures } from "./disk-probe.ts";
import type { Fault } from "./fault-loop.ts";
import { faultKinds, Faults, type Clients, type FaultKind } from "./faults.ts";
import { frontOf } from "./cluster-plan.ts";
import type { History } from "../harness/history.ts";
import { MemberFaults } from "./member-faults.ts";
import { memberFaultKinds, type MemberFaultKind } from "./member-rules.ts";
import type { ChaosCluster } from "./chaos-cluster.ts";
import type { PrimaryFigures } from "./outcome.ts";
import { Prober } from "./prober.ts";
import { ClusterMonitor } from "./cluster-monitor.ts";
import type { Writers } from "../harness/writers.ts";

export type AnyKind = FaultKind | MemberFaultKind;

export type InjectedFault = Pick<Fault<AnyKind>, "kind" | "host">;

/** The fault injection, and what it has observed. */
export interface FaultInjection {
  readonly disks: DiskFigures;
  readonly nameNow: (node: string) => string;
  run(lengthMs: number): Promise<readonly InjectedFault[]>;
  /** Called when all writers have ended. */
  stop(writers: Writers): Promise<{
    readonly probes: History["writes"];
    readonly terms: History["terms"];
    readonly figures: Omit<PrimaryFigures, "terms"> | undefined;
  }>;
}

interface FaultInjectionOptions {
  /** The kinds of faults to draw from. */
  readonly kinds: readonly AnyKind[];
  readonly seed: number;
  readonly tell: (text: string) => void;
}

export function openFaultInjection(
  cluster: ChaosCluster,
  options: FaultInjectionOptions,
  clients: Clients,
): FaultInjection {
  if (cluster.plan.members !== undefined) return memberDisturbance(cluster, options);
  const kinds = faultKinds.filter((kind) => options.kinds.includes(kind));
  const faults = new Faults({ cluster, clients, ...options, kinds });
  return {
    disks: faults.disks,
    nameNow: (node) => node,
    run: (lengthMs) => faults.run(lengthMs),
    stop: () => Promise.resolve({ probes: [], terms: new Map(), figures: undefined }),
  };
}

function memberDisturbance(cluster: ChaosCluster, options: FaultInjectionOptions): FaultInjection {
  const watch = new ClusterMonitor(cluster);
  const prober = new Prober(
    frontOf(cluster.plan).map((name) => cluster.urlOf(name)),
    cluster.adminKey,
  );
  const kinds = memberFaultKinds.filter((kind) => options.kinds.includes(kind));
  const faults = new MemberFaults({ cluster, watch, ...options, kinds });
  watch.start();
  prober.start();
  return {
    disks: noDiskFigures(),
    nameNow: faults.nameNow,
    run: (lengthMs) => faults.run(lengthMs),
    async stop(writers) {
      const endMs = performance.now();
      await Promise.all([watch.stop(), prober.stop()]);
      const acknowledged = [...prober.writes, ...writers.writes].filter(({ token }) => token !== undefined);
      const isAutomatic = cluster.plan.members?.failover === true;
      const availability = isAutomatic
        ? availabilityOf(
            watch.turns,
            acknowledged.map((write) => write.endMs),
            endMs,
          )
        : undefined;
      const figures = { availability, unrecovered: faults.failures };
      return { probes: prober.writes, terms: watch.terms, figures };
    },
  };
}
