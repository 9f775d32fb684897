/** `ostiary import openfga` and `ostiary import spicedb`: write a policy and facts for the files of another system. */
import { readFileSync } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { defaultLimits } from "../../config/limits.ts";
import { polarLimits, prepare } from "../../policy/active-policy.ts";
import { checkFactSchema } from "../../policy/fact-schema.ts";
import { checkFact } from "../../policy/fact-check.ts";
import { checkPolicy } from "../../engine/validation/policy-check.ts";
import { ImportError, type Untranslated, type RelationSource } from "../../import/relation-model.ts";
import { type NodeChecks, type Translation, translate } from "../../import/translation.ts";
import { format } from "../../polar/format.ts";
import { print } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { fileProblem } from "../../util/reason.ts";
import { replaceFile } from "../atomic-write.ts";
import { paint } from "../color.ts";
import type { AddCommand, ExitStatus } from "../command.ts";
import { countFacts } from "../parse-fact.ts";
import { checkFiles, printReport } from "../policy-files.ts";

interface Options {
  readonly out: string;
  readonly force?: true;
  readonly json?: true;
}

type Read = (path: string, more: readonly string[], read: (path: string) => string) => RelationSource;

const details = `
Writes policy.polar and facts.ndjson. What has no equivalent in Polar is listed with its file and line, and left out; the
status is 1 then. Assertions become tests of the policy, which are run.

Then load both:
  ostiary policy policy.polar
  ostiary import facts facts.ndjson
`;

export const importOpenFgaCommand: AddCommand = (parent, finish) => {
  add(parent, finish, {
    name: "openfga",
    description: "Translate a model of OpenFGA, tuples and tests",
    schema: ["<model>", "A model (.fga, .json), the modules of one (fga.mod), or a store file (.fga.yaml)"],
    more: ["[tuples...]", "Files with tuples (.yaml, .json, .jsonl, .csv)"],
    load: async () => (await import("../../import/openfga-store.ts")).readOpenFga,
  });
};

export const importSpiceDbCommand: AddCommand = (parent, finish) => {
  add(parent, finish, {
    name: "spicedb",
    description: "Translate a schema of SpiceDB, relationships and assertions",
    schema: ["<schema>", "A schema (.zed), or a validation file (.yaml)"],
    more: ["[relationships...]", "Files with relationships, one per line"],
    load: async () => (await import("../../import/spicedb-validation.ts")).readSpiceDb,
  });
};

interface Kind {
  readonly name: string;
  readonly description: string;
  readonly schema: readonly [string, string];
  readonly more: readonly [string, string];
  /** Loads the reader only when it is needed: its libraries are large. */
  load(): Promise<Read>;
}

function add(
  parent: Command,
  finish: (status: ExitStatus) => void,
  { name, description, schema, more, load }: Kind,
): void {
  parent
    .command(name)
    .description(description)
    .argument(...schema)
    .argument(...more)
    .option("--out <directory>", "Where to write policy.polar and facts.ndjson", ".")
    .option("--force", "Replace files that exist")
    .option("--json", "Print what was written and what was left out as JSON")
    .addHelpText("after", details)
    .action(async (path: string, others: string[], options: Options) => {
      const read = await load();
      const translation = importErrors(path, () => translate(read(path, others, readFile), nodeChecks));
      finish(await write(translation, path, options));
    });
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new AppError("invalid_request", `\`${path}\` cannot be read: ${fileProblem(error)}`);
  }
}

function importErrors<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof ImportError) throw new AppError("invalid_request", error.message);
    // Expressions are translated recursively.
    if (error instanceof RangeError)
      throw new AppError("invalid_request", `\`${path}\`: nests too deeply; split expressions into several relations`);
    throw error;
  }
}

export const nodeChecks: NodeChecks = {
  negativeCycles(policy) {
    const { diagnostics } = checkPolicy([{ name: "policy.polar", text: policy }], { runTests: false });
    return diagnostics.filter(({ code }) => code === "rule/negative-cycle").map(({ span }) => span.start);
  },
  problemOf(fact) {
    try {
      checkFact(fact, defaultLimits);
      return undefined;
    } catch (error) {
      if (error instanceof AppError) return `is refused by a node, as ${error.message}`;
      throw error;
    }
  },
  unused(text, facts) {
    const { policy } = checkPolicy([{ name: "policy.polar", text }], { runTests: false });
    if (policy === undefined) return [];
    const active = prepare(policy, defaultLimits);
    return facts.filter((fact) => checkFactSchema(fact, active) !== undefined);
  },
};

async function write(
  { policy, facts, untranslated }: Translation,
  path: string,
  options: Options,
): Promise<ExitStatus> {
  const [policyPath, factsPath] = [join(options.out, "policy.polar"), join(options.out, "facts.ndjson")];
  if (options.force === undefined) for (const target of [policyPath, factsPath]) await refuseExisting(target);
  await mkdir(options.out, { recursive: true });
  await replaceFile(policyPath, formatted(`${heading(path, untranslated)}${policy}`));
  await replaceFile(factsPath, facts.map((fact) => `${JSON.stringify(fact)}\n`).join(""));
  const checked = await checkFiles([policyPath], { runTests: true });
  const complete = untranslated.length === 0 && checked.good;
  if (options.json) {
    const tests = checked.tests?.tests.length ?? 0;
    const result = {
      policy: policyPath,
      facts: factsPath,
      count: facts.length,
      tests,
      passed: checked.good,
      untranslated,
    };
    await print(`${JSON.stringify(result, null, 2)}\n`);
    return complete ? 0 : 1;
  }
  if (!checked.good || checked.tests?.tests.length !== 0) await printReport(checked);
  const left = untranslated.map(({ place, message }) => `${place.file}:${place.line}: ${message}\n`);
  await print(
    `${printable(policyPath)} and ${printable(factsPath)} (${countFacts(facts.length)}) written\n` +
      (left.length === 0
        ? ""
        : `${paint("stdout", "red", "without an equivalent:")}\n${left.map((line) => `  ${printable(line.trimEnd())}\n`).join("")}`),
  );
  return complete ? 0 : 1;
}

async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists)
    throw new AppError(
      "invalid_request",
      `\`${path}\` exists; name another directory with --out, or replace it with --force`,
    );
}

/** Comments that say where the policy comes from and what it lacks, so that nobody takes it for complete. */
function heading(path: string, untranslated: readonly Untranslated[]): string {
  const lines = [
    `Translated from ${path}.`,
    ...(untranslated.length === 0 ? [] : ["Without an equivalent:"]),
    ...untranslated.map(({ place, message }) => `  ${place.file}:${place.line}: ${message}`),
  ];
  return `${lines.map((line) => `# ${printable(line)}\n`).join("")}\n`;
}

function formatted(policy: string): string {
  const result = format({ name: "policy.polar", text: policy }, polarLimits(defaultLimits));
  return "text" in result ? result.text : policy;
}
