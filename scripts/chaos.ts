/**
 * A cluster of real processes under random faults from a seed: nodes and brokers are killed and frozen, links are cut,
 * disks fill up and fail, while clients write and read all the time. At the end all acknowledged writes must exist, all
 * nodes must have the same state, no answer may have been wrong, no read may have failed, and no node may have exited.
 * With `--failover` no two nodes may have acknowledged writes at the same time, and writes must be possible again soon.
 * The faults and the checks are in `test/chaos`.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { brokerKinds, hostsOf, isUnguarded, type ClusterPlan } from "../test/chaos/cluster-plan.ts";
import type { AnyKind } from "../test/chaos/fault-injection.ts";
import { faultKinds } from "../test/chaos/faults.ts";
import { memberFaultKinds } from "../test/chaos/member-rules.ts";
import { inNamespace, isInside, missingForNamespaces, openNamespaces } from "../test/chaos/namespaces.ts";
import { runChaos } from "../test/chaos/chaos-run.ts";
import { openProxies } from "../test/chaos/proxies.ts";
import { renderVerdicts } from "../test/harness/verdicts.ts";
import { builtBinary } from "./built-binary.ts";
import { installTools } from "./test-tools.ts";

const usage = `scripts/chaos [--failover etcd] [--ack edges:N|none] [--broker embedded] [--seconds N] [--seed N] [--writes N]
              [--faults KIND,…] [--proxies] [--json FILE]

  --failover etcd  three nodes elect the primary with a lease in a three-member etcd cluster; needs network namespaces.
                   Writes must be possible again within 15 s after etcd answers and two nodes run and reach etcd and each other
  --ack edges:N    acknowledge a write when N edges have it (default with --failover: edges:1). Without --failover: three nodes that an operator
                   promotes. With --failover, \`none\` removes the safeguards: it allows lost writes (failoverMayLoseWrites), and the lease is
                   deleted in etcd when the primary is cut from the cluster, by default the only fault. Such a run is expected to fail:
                   the checker must report lost writes and two acknowledging primaries
  --broker KIND    ${brokerKinds.join(" or ")}: two Mosquitto brokers (default), or the embedded ones
  --seconds N      how long faults are injected (default 300)
  --seed N         the seed of the faults (default 1)
  --writes N       writes per second (default 200)
  --faults …       only these kinds, separated by commas (default all):
                   ${faultKinds.slice(0, 4).join(", ")},
                   ${faultKinds.slice(4).join(", ")}
                   with --failover or --ack:
                   ${memberFaultKinds.slice(0, 7).join(", ")},
                   ${memberFaultKinds.slice(7).join(", ")}
  --proxies        cut links with proxies on loopback, even if network namespaces are available
  --json FILE      also write the outcome to a file`;

/** Clients can then still reach a primary that no other node reaches. */
const unguardedKinds: readonly AnyKind[] = ["cut from the cluster"];

interface Options {
  readonly plan: ClusterPlan;
  readonly seconds: number;
  readonly seed: number;
  readonly writes: number;
  readonly kinds: readonly AnyKind[];
  readonly proxies: boolean;
  readonly json: string | undefined;
}

async function main({ plan, seconds, seed, writes, kinds, proxies, json }: Options): Promise<number> {
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  if (!isInside()) {
    await installTools(["scripts/chaos.ts"]);
    await builtBinary();
    const missing = proxies ? "--proxies" : missingForNamespaces();
    if (missing === undefined) return inNamespace();
    if (plan.members !== undefined) throw new Error(`--failover and --ack need network namespaces (${missing})`);
    tell(`links are cut with proxies (${missing})`);
  }
  // Processes and files are removed when this process ends, however it ends.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
  const binary = await builtBinary();
  const hosts = hostsOf(plan);
  const network = isInside() ? openNamespaces(hosts) : await openProxies(hosts);
  try {
    const outcome = await runChaos({ binary, network, plan, seconds, seed, kinds, writesPerSecond: writes, tell });
    process.stdout.write(`${seconds} s of chaos in ${network.kind}, seed ${seed}\n`);
    process.stdout.write(`${renderVerdicts(outcome.verdicts)}${outcome.ok ? "passed" : "FAILED"}\n`);
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(outcome, null, 2)}\n`);
    return outcome.ok ? 0 : 1;
  } finally {
    await network.close();
  }
}

function readOptions(): Options | string {
  const { values } = parseArgs({
    options: {
      failover: { type: "string" },
      ack: { type: "string" },
      broker: { type: "string", default: "mosquitto" },
      seconds: { type: "string", default: "300" },
      seed: { type: "string", default: "1" },
      writes: { type: "string", default: "200" },
      faults: { type: "string" },
      proxies: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return usage;
  const { proxies, json } = values;
  const wholeNumber = (name: "seconds" | "seed" | "writes", from: number, to: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= from && value <= to) return value;
    throw new Error(`--${name} must be a whole number from ${from} to ${to}, not \`${values[name]}\``);
  };
  const plan = readPlan(values.failover, values.ack, values.broker);
  const all: readonly AnyKind[] = plan.members === undefined ? faultKinds : memberFaultKinds;
  const kinds = (values.faults?.split(",") ?? (isUnguarded(plan) ? unguardedKinds : all)).map((name) => {
    const kind = all.find((known) => known === name.trim());
    if (kind === undefined) throw new Error(`--faults knows ${all.join(", ")}; not \`${name.trim()}\``);
    return kind;
  });
  const seconds = wholeNumber("seconds", 1, 86_400);
  const seed = wholeNumber("seed", 0, 2 ** 31);
  return { plan, seconds, seed, writes: wholeNumber("writes", 1, 5000), kinds, proxies, json };
}

function readPlan(failover: string | undefined, ack: string | undefined, broker: string): ClusterPlan {
  if (failover !== undefined && failover !== "etcd") throw new Error(`--failover knows etcd; not \`${failover}\``);
  if (ack !== undefined && !/^(?:none|edges:[1-2])$/.test(ack))
    throw new Error(`--ack must be none, edges:1 or edges:2, not \`${ack}\``);
  const kind = brokerKinds.find((known) => known === broker);
  if (kind === undefined) throw new Error(`--broker knows ${brokerKinds.join(", ")}; not \`${broker}\``);
  const hasMembers = failover !== undefined || ack !== undefined;
  const members = hasMembers ? { failover: failover !== undefined, ack: ack ?? "edges:1" } : undefined;
  return { members, broker: kind };
}

try {
  const options = readOptions();
  if (typeof options === "string") process.stdout.write(`${usage}\n`);
  else process.exit(await main(options));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
