/**
 * A cluster of real processes under faults drawn from a seed: nodes and brokers are killed and frozen, links are cut, disks fill up and fail, while
 * clients write and read all the time. In the end everything that was acknowledged must be there, all nodes must hold the same, no answer may have
 * been wrong, no read may have failed, and no node may have ended by itself. How it is done, and how it is judged, is in `test/chaos`.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { faultKinds, type FaultKind } from "../test/chaos/faults.ts";
import { inNamespace, isInside, missingForNamespaces, openNamespaces } from "../test/chaos/namespaces.ts";
import { undergo, type Outcome } from "../test/chaos/ordeal.ts";
import { openProxies } from "../test/chaos/proxies.ts";
import { builtBinary } from "./built-binary.ts";
import { installTools } from "./test-tools.ts";

const usage = `scripts/chaos [--seconds N] [--seed N] [--writes N] [--faults KIND,…] [--proxies] [--json FILE]

  --seconds N  how long faults strike (default 300)
  --seed N     what they are drawn with (default 1)
  --writes N   how many writes a second (default 200)
  --faults …   only these kinds, separated by commas (default all):
               ${faultKinds.slice(0, 4).join(", ")},
               ${faultKinds.slice(4).join(", ")}
  --proxies    cut links with proxies on loopback also where there could be network namespaces
  --json FILE  write the outcome, and the first of what was wrong, to a file as well`;

interface Options {
  readonly seconds: number;
  readonly seed: number;
  readonly writes: number;
  readonly kinds: readonly FaultKind[];
  readonly proxies: boolean;
  readonly json: string | undefined;
}

async function main({ seconds, seed, writes, kinds, proxies, json }: Options): Promise<number> {
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  if (!isInside()) {
    await installTools(["mosquitto", "iproute2"]);
    await builtBinary();
    const missing = proxies ? "--proxies" : missingForNamespaces();
    if (missing === undefined) return inNamespace();
    tell(`links are cut with proxies (${missing})`);
  }
  // What was started and made goes with this process, however it ends.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
  const binary = await builtBinary();
  const network = isInside() ? openNamespaces() : await openProxies();
  try {
    const outcome = await undergo({ binary, network, seconds, seed, kinds, writesPerSecond: writes, tell });
    process.stdout.write(render(outcome));
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(outcome, null, 2)}\n`);
    return outcome.ok ? 0 : 1;
  } finally {
    await network.close();
  }
}

function render({
  faults,
  writes,
  reads,
  disks,
  exits,
  isEqual,
  recoveryMs,
  violations,
  failures,
  ...run
}: Outcome): string {
  const number = (value: number): string => Math.round(value).toLocaleString("en");
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${number(count)}`)
      .join(", ");
  const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
  const usual = `median ${reads.p50Ms.toFixed(1)}, p99 ${reads.p99Ms.toFixed(1)}`;
  const rows: [string, string, string][] = [
    ...Object.entries(faults).map(([kind, byHost]): [string, string, string] => [
      kind,
      number(sum(byHost)),
      list(byHost),
    ]),
    ["writes acknowledged", number(writes.acknowledged), `${number(writes.perSecond)} a second`],
    ["  refused, and sent again", number(writes.refused), "certainly not done"],
    ["  unanswered, and sent again", number(writes.unanswered), "done or not"],
    ["  lost", number(writes.lost), "must be 0"],
    ["reads answered", number(reads.answered), `${number(reads.perSecond)} a second: ${list(reads.byNode)}`],
    ["  failed", number(reads.failed), "must be 0"],
    ["  wrong", number(reads.wrong), "must be 0"],
    ["  longest, ms", number(reads.longestMs), `without a token ${number(reads.longestWithoutTokenMs)}; ${usual}`],
    ["nodes that ended by themselves", number(exits.length), "must be 0"],
    [
      "reads with a failing disk",
      number(disks.readsAnswered),
      `${number(disks.readsRefused)} refused, with errors of reads`,
    ],
    ["writes with a failing disk", number(disks.writesAcknowledged), `${number(disks.writesRefused)} refused with 503`],
    ["  writable again after, ms", number(disks.writableAfterMs), "at the most"],
    ["  wrong behaviour", number(disks.failures.length), "must be 0"],
    ["nodes equal at the end", isEqual ? "yes" : "no", `${number(recoveryMs)} ms after the last fault`],
  ];
  const table = rows.map(([what, value, note]) => `  ${what.padEnd(30)} ${value.padStart(9)}   ${note}`.trimEnd());
  const wrong = [
    ...violations.map(({ fault, message }) => `${fault}: ${message}`),
    ...failures.map((text) => `failed: ${text}`),
    ...exits,
    ...disks.failures,
    ...Object.entries(disks.missing).map(([what, why]) => `left out: ${what}, since ${why}`),
  ];
  const title = `${run.seconds} s of chaos in ${run.network}, seed ${run.seed}`;
  return `${[title, ...table, ...wrong, run.ok ? "passed" : "FAILED"].join("\n")}\n`;
}

function readOptions(): Options | string {
  const { values } = parseArgs({
    options: {
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
  const kinds = (values.faults?.split(",") ?? faultKinds).map((name) => {
    const kind = faultKinds.find((known) => known === name.trim());
    if (kind === undefined) throw new Error(`--faults knows ${faultKinds.join(", ")}; not \`${name.trim()}\``);
    return kind;
  });
  const seconds = wholeNumber("seconds", 1, 86_400);
  const seed = wholeNumber("seed", 0, 2 ** 31);
  return { seconds, seed, writes: wholeNumber("writes", 1, 5000), kinds, proxies, json };
}

try {
  const options = readOptions();
  if (typeof options === "string") process.stdout.write(`${usage}\n`);
  else process.exit(await main(options));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
