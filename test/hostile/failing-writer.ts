/**
 * A writer on a failing disk, as a process: `failing-writer.ts <seed> <rules, separated by commas> <with|without>
 * readers`. It writes, moves the log and compares pages while calls fail, in an order that the seed decides. The last
 * line that it prints is the damage that the writer reported, as JSON: `null` where there was none.
 */
import * as Bun from "bun";
import { pick, random as seeded } from "../../scripts/benchmark/random.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { StoreWriter } from "../../src/log/writer/store-writer.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { newSequenceLock } from "../../src/store/connection/sequence-lock.ts";
import { systemClock, type Clock } from "../../src/util/clock.ts";
import { policy, reader, untraced } from "../replication/cluster.ts";
import { writeFailingDiskRules } from "./node.ts";

const [seed = "1", rules = "", readers = "with"] = process.argv.slice(2);
const random = seeded(Number(seed));
const control = process.env["FAILING_DISK_CONTROL"] ?? "";
const path = `${process.env["FAILING_DISK_DIRECTORY"]}/store-1.db`;
const steps = 300;

let passedMs = 0;
const ticks = new Set<() => void>();
/** Time passes when the script says so. */
const clock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() + passedMs,
  every(_ms, body) {
    ticks.add(body);
    return () => ticks.delete(body);
  },
};

async function passSecond(): Promise<void> {
  passedMs += 1100;
  for (const tick of ticks) tick();
  await Bun.sleep(3);
}

let damage: string | null = null;
const writer = new StoreWriter((event) => {
  if ("damaged" in event) damage ??= event.damaged.problem;
}, clock);
const limits = { ...defaultLimits, walCheckpointBytes: 4 * 2 ** 20 };
writer.open({ environment: "test", synchronous: "FULL", limits, changes: newSequenceLock(), path });
await writer.write(
  { kind: "policy", source: policy, filename: null, force: true },
  { ...untraced, approval: { replaces: 0 } },
);

async function writeSome(): Promise<void> {
  const count = Math.ceil(random() ** 4 * 1500);
  const facts = Array.from({ length: count }, () => reader(`u${Math.floor(random() * 20_000)}`));
  const change = random() < 0.6 ? { inserts: facts } : { deletes: facts };
  // What fails is not the subject here.
  await writer.write({ kind: "batch", changes: [change] }, untraced).catch(() => undefined);
}

let heldBy: SqliteDatabase | undefined;
/** Keeps the log from being emptied. */
function holdLog(): void {
  heldBy?.close();
  heldBy = undefined;
  try {
    heldBy = new SqliteDatabase(path, { readonly: true });
    heldBy.exec("BEGIN");
    heldBy.prepare("SELECT count(*) FROM sqlite_schema").values();
  } catch {
    heldBy?.close();
    heldBy = undefined;
  }
}

for (let step = 0; step < steps && damage === null; step++) {
  const choice = random();
  if (choice < 0.5) await writeSome();
  else if (choice < 0.6) writeFailingDiskRules(control, pick(random, rules.split(",")));
  else if (choice < 0.72) writeFailingDiskRules(control, "");
  else if (choice < 0.8 && readers === "with") holdLog();
  else if (choice < 0.88) {
    heldBy?.close();
    heldBy = undefined;
  } else await passSecond();
}
writeFailingDiskRules(control, "");
heldBy?.close();
for (let second = 0; second < 5; second++) await passSecond();
writer.close();
console.log(JSON.stringify(damage));
process.exit(0);
