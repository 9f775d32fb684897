/**
 * Attacks a primary, an edge and a fallback on loopback while honest clients use them: connections above the descriptor
 * limit, endless bodies, expensive policies, full disks, 200,000 random requests. At the end responses must have been
 * fast, no node may have exited, memory must be released, and no acknowledged write may be lost. The parts are in
 * `test/siege`.
 */
import * as Bun from "bun";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { findProgram, programPath } from "../test/e2e/program.ts";
import { renderVerdicts } from "../test/harness/verdicts.ts";
import { attacks, type AttackName } from "../test/siege/attacks.ts";
import { besiege, type SiegeOutcome } from "../test/siege/siege.ts";

import { builtBinary } from "./built-binary.ts";

const usage = `scripts/siege [--seconds N] [--seed N] [--facts N] [--json FILE]

  --seconds N  how long the attacks take (default 600); from 300 on with their full numbers
  --seed N     what attacks and requests are drawn with (default: by the clock; it is printed)
  --facts N    how many facts the company has (default 20000)
  --attacks A  only these attacks, with commas between their names (default: all)
  --json FILE  write all measurements to a file as well`;

interface Options {
  readonly seconds: number;
  readonly seed: number;
  readonly facts: number;
  readonly attacks: readonly AttackName[] | undefined;
  readonly json: string | undefined;
}

const insideVariable = "OSTIARY_SIEGE_NAMESPACE";

async function main(options: Options): Promise<number> {
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  const binary = await builtBinary();
  const isInside = process.env[insideVariable] !== undefined;
  const missing = isInside ? undefined : missingForMounts();
  if (!isInside && missing === undefined) return inMountNamespace(options);
  tell(`seed ${options.seed}, ${options.seconds} s, ${options.facts} facts`);
  if (missing !== undefined) tell(`not run: full disks (${missing})`);
  // Processes and files are removed when this process ends. A signal to the process group can arrive twice, also during
  // the cleanup.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));
  const outcome = await besiege({ ...options, binary, mayMount: isInside, tell });
  process.stdout.write(render(outcome));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(outcome, null, 2)}\n`);
  return outcome.ok ? 0 : 1;
}

const unshare = ["--mount", "--propagation", "private"];

/** Why this process cannot mount file systems; undefined if it can. */
function missingForMounts(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can mount file systems";
  for (const program of ["unshare", "mount"]) if (findProgram(program) === null) return `${program} is not installed`;
  const mount = [programPath("mount"), "-t", "tmpfs", "tried", tmpdir()];
  const tried = Bun.spawnSync([programPath("unshare"), ...unshare, ...mount]);
  return tried.success ? undefined : `no mount in a namespace of its own: ${tried.stderr.toString().trim()}`;
}

/** Runs this program in its own mount namespace, which removes its mounted file systems at the end. */
async function inMountNamespace({ seed }: Options): Promise<number> {
  const parameters = [...process.argv.slice(1), "--seed", String(seed)];
  const child = Bun.spawn([programPath("unshare"), ...unshare, process.execPath, ...parameters], {
    env: { ...process.env, [insideVariable]: "1" },
    stdio: ["inherit", "inherit", "inherit"],
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return child.exited;
}

function render({ ok, seed, verdicts, reads, healthChecks, writes, refusals }: SiegeOutcome): string {
  const number = (value: number): string => value.toLocaleString("en");
  const refused = Object.entries(refusals)
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, 5)
    .map(([what, count]) => `  refused ${number(count)} times: ${what}\n`);
  return [
    `${number(reads)} honest reads, ${number(healthChecks)} health checks, `,
    `${number(writes.acknowledged)} acknowledged writes (${number(writes.refused)} refused, ${number(writes.unanswered)} unanswered), `,
    `${number(writes.keysMade)} keys made, ${number(writes.keysRevoked)} revoked\n`,
    ...refused,
    renderVerdicts(verdicts),
    ok ? `passed (seed ${seed})\n` : `failed (run again with --seed ${seed})\n`,
  ].join("");
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "600" },
      seed: { type: "string", default: String(Math.floor(Date.now() / 1000) % 1_000_000) },
      facts: { type: "string", default: "20000" },
      attacks: { type: "string" },
      json: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const wholeNumber = (name: "seconds" | "seed" | "facts", from: number, to: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= from && value <= to) return value;
    throw new Error(`--${name} must be a whole number from ${from} to ${to}, not \`${values[name]}\``);
  };
  return {
    seconds: wholeNumber("seconds", 20, 3600),
    seed: wholeNumber("seed", 0, 1e6),
    facts: wholeNumber("facts", 1000, 1e6),
    attacks: values.attacks?.split(",").map(readAttackName),
    json: values.json,
  };
}

function readAttackName(name: string): AttackName {
  const names = Object.keys(attacks) as AttackName[];
  const found = names.find((one) => one === name.trim());
  if (found === undefined) throw new Error(`there is no attack \`${name}\`; there are ${names.join(", ")}`);
  return found;
}

try {
  const options = readOptions();
  if (options === undefined) process.stdout.write(`${usage}\n`);
  else process.exit(await main(options));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
