/** Quiescence of a simulated cluster: one node is the primary, and all others have reached the same state. */
import type { Cluster } from "./cluster.ts";
import type { Machine } from "./machines.ts";
import { primariesOf } from "./operator.ts";
import type { Scene } from "./scene.ts";

/** A fault may have later consequences, such as a node that crashes a while after its disk failed. */
const aftermathMs = 5000;
const calmMsMax = 25_000;

/**
 * Ends all faults and waits for quiescence, before a fault that must happen alone. Returns the primary, even if the
 * operator regarded another node as the primary, or undefined after a timeout.
 */
export async function calm({ cluster, operator, undo }: Scene): Promise<Machine | undefined> {
  const { time } = cluster;
  for (const mend of undo) mend();
  const endMs = time.nowMs + calmMsMax;
  await time.sleep(aftermathMs);
  while (time.nowMs < endMs) {
    await operator.tidyUp();
    await time.sleep(1000);
    const isFrozen = cluster.machines.some(({ process }) => (process?.frozenUntilMs ?? 0) > time.nowMs);
    if (isFrozen || (await unrest(cluster)) !== undefined) continue;
    const [primary = cluster.primary] = await primariesOf(cluster);
    return (cluster.primary = primary);
  }
  return undefined;
}

/** What prevents quiescence. */
export async function unrest(cluster: Cluster): Promise<string | undefined> {
  const primaries = await primariesOf(cluster);
  if (primaries.length !== 1) return `${primaries.map(({ name }) => name).join(" and ") || "nobody"} is the primary`;
  const standings = await Promise.all(
    cluster.machines.map(async (machine) => ({ name: machine.name, standing: await cluster.standing(machine) })),
  );
  const first = standings[0]?.standing;
  const said = standings.map(
    ({ name, standing }) => `${name} ${standing?.state} ${standing?.epoch}:${standing?.offset} ${standing?.digest}`,
  );
  const quiet = ["PRIMARY", "LIVE", "FOLLOWING", "SNAPSHOT"];
  const agreed = standings.every(
    ({ standing }) =>
      standing !== undefined &&
      quiet.includes(standing.state) &&
      standing.epoch === first?.epoch &&
      standing.offset === first?.offset &&
      standing.digest === first?.digest,
  );
  return agreed ? undefined : said.join("; ");
}
