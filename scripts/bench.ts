/**
 * How fast it is on this machine. Times depend on the machine, so nothing is asserted; what can be compared with other machines and other days
 * are the ratios, each to a baseline that was measured in turns with it: a probe of SQLite, a bare echo server, bare inserts, a write.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openSqlite } from "../src/runtime/sqlite.ts";
import { presentStore } from "../src/store/data-directory.ts";
import { measureApply } from "./benchmark/applying.ts";
import { measureCheck } from "./benchmark/checking.ts";
import { flatCompany, nestedCompany, type Company } from "./benchmark/company.ts";
import { timeDecisions } from "./benchmark/decisions.ts";
import { measureHttp } from "./benchmark/http.ts";
import { load } from "./benchmark/loading.ts";
import { withNodes, type Nodes } from "./benchmark/nodes.ts";
import { bodyOf, uniformQuestions } from "./benchmark/questions.ts";
import { random } from "./benchmark/random.ts";
import { describeMachine, ratiosOf, renderSections, type Section } from "./benchmark/report.ts";
import {
  applySection,
  checkSection,
  decisionsSection,
  httpSection,
  loadingSection,
  policyLines,
  visibilitySection,
  type Kind,
} from "./benchmark/sections.ts";
import { measureVisibility } from "./benchmark/visibility.ts";
import { builtBinary } from "./built-binary.ts";

const usage = `scripts/bench [--facts N] [--seed N] [--quick] [--json FILE]

  --facts N    how many facts the company has (default 100000)
  --seed N     what facts and questions are drawn with (default 1)
  --quick      fewer repetitions: rougher figures in half the time
  --json FILE  write the ratios, and all that is printed, to a file as well`;

interface Options {
  readonly facts: number;
  readonly seed: number;
  readonly quick: boolean;
  readonly json: string | undefined;
}

const folder = import.meta.dir;
const nestedPolicy = readFileSync(join(folder, "example", "policy.polar"), "utf8");
const flatPolicy = readFileSync(join(folder, "benchmark", "roles.polar"), "utf8");

async function main(options: Options): Promise<void> {
  const { facts, seed, quick } = options;
  const begin = performance.now();
  const binary = await builtBinary();
  const [machine, versions] = [describeMachine(), await versionsOf(binary)];
  console.log(`Ostiary ${versions.ostiary} (${versions.commit}), Bun ${versions.bun}, SQLite ${versions.sqlite}`);
  console.log(`${machine.cores} × ${machine.processor}, ${machine.memoryGb} GB, ${machine.system}`);
  console.log(
    `${facts.toLocaleString("en")} facts of a company, seed ${seed}${quick ? ", quick" : ""}, with two policies:`,
  );
  for (const line of policyLines) console.log(`  ${line}`);
  console.log();

  const sections: Section[] = [];
  const show: Show = (section) => {
    sections.push(section);
    console.log(renderSections([section]));
  };
  const directory = mkdtempSync(join(tmpdir(), "ostiary-bench-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  await measureAll(binary, directory, options, show);
  const seconds = Math.round((performance.now() - begin) / 1000);
  console.log(`Took ${seconds} s. A ratio, with its name, compares with what was measured in turns with it.`);
  if (options.json !== undefined) {
    const result = { ratios: ratiosOf(sections), machine, versions, facts, seed, quick, seconds, sections };
    writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  }
}

type Show = (section: Section) => void;

/** Nodes run while they are asked, and not while something is measured in this process. */
async function measureAll(binary: string, directory: string, options: Options, show: Show): Promise<void> {
  const { facts, seed, quick } = options;
  const blocks = quick ? 30 : 100;
  const nested = nestedCompany(facts, seed);
  const flat = flatCompany(facts, seed);
  const nestedDirectory = join(directory, "nested");
  await withNodes(binary, nestedDirectory, async (nodes) => {
    await loadAndAsk(nodes, nestedPolicy, nested, "nested", options, show);
    await nodes.edge.start(({ ok, state }) => ok && state === "LIVE");
    show(visibilitySection(await measureVisibility(nodes, quick ? 100 : 500)));
  });
  await withNodes(binary, join(directory, "roles"), (nodes) =>
    loadAndAsk(nodes, flatPolicy, flat, "roles", options, show),
  );

  const loaded = presentStore(join(nestedDirectory, "primary"));
  if (loaded === undefined) throw new Error("the primary left no database");
  show(decisionsSection("nested", timeDecisions(loaded, nested, seed + 2, blocks)));
  const applied = measureApply(directory, flatPolicy, flat.facts);
  show(decisionsSection("roles", timeDecisions(applied.path, flat, seed + 3, blocks)));
  show(applySection(applied));
  show(checkSection(measureCheck(binary, directory, quick ? 10 : 30)));
}

async function loadAndAsk(
  { primary, adminKey }: Nodes,
  policy: string,
  company: Company,
  kind: Kind,
  { seed, quick }: Options,
  show: Show,
): Promise<void> {
  show(loadingSection(kind, company.facts.length, await load(primary.url, adminKey, policy, company.facts)));
  const bodies = uniformQuestions(company, random(seed + 1), 20_000).map(bodyOf);
  const [rounds, secondsPerRound] = quick ? [2, 0.5] : [5, 1];
  const port = Number(new URL(primary.url).port);
  show(httpSection(kind, await measureHttp({ port, key: adminKey, bodies, rounds, secondsPerRound })));
}

async function versionsOf(binary: string) {
  const version = Bun.spawn([binary, "version", "--json"], { stdout: "pipe", stderr: "inherit" });
  const { version: ostiary, bun, commit } = (await version.stdout.json()) as Readonly<Record<string, string | null>>;
  const memory = openSqlite(":memory:", { create: true });
  const sqlite = String(memory.prepare("SELECT sqlite_version()").values()[0]?.[0]);
  memory.close();
  return { ostiary, commit: commit ?? "unknown commit", bun, sqlite };
}

function readOptions(): Options | string {
  const { values } = parseArgs({
    options: {
      facts: { type: "string", default: "100000" },
      seed: { type: "string", default: "1" },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return usage;
  const [facts, seed] = [Number(values.facts), Number(values.seed)];
  if (!Number.isInteger(facts) || facts < 1000 || facts > 5_000_000)
    throw new Error(`--facts must be a whole number from 1000 to 5000000, not \`${values.facts}\``);
  if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, not \`${values.seed}\``);
  return { facts, seed, quick: values.quick, json: values.json };
}

// What was started and made goes with this process, however it ends.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
try {
  const options = readOptions();
  if (typeof options === "string") console.log(options);
  else await main(options);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
