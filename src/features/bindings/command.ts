/** `ostiary bindings`: the data bindings of local authorization. `check` needs no node. */
import { defaultLimits } from "../../config/limits.ts";
import { type DataBindings, parseBindings } from "../../local/bindings.ts";
import { print } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { openApplicationDatabase } from "../../cli/bindings/application-database.ts";
import { readBindingsText } from "../../cli/bindings/bindings-file.ts";
import {
  type BindingProblem,
  checkDatabase,
  checkPolicyUse,
  checkTexts,
  type DatabaseReport,
} from "../../cli/bindings/check-bindings.ts";
import { paint } from "../../cli/color.ts";
import type { AddCommand } from "../../cli/command.ts";
import { checkFiles, printProblems } from "../../cli/policy-files.ts";
import { addStoredBindings } from "./command-stored.ts";

const checkDetails = `
Without options it checks the syntax and counts the columns of queries. --policy also checks that the rules use facts
with these signatures. --db also runs each query, compares the types of its columns, and finds missing indexes. It reads
at most 1,000 rows of each query, in one transaction that cannot write.

--db takes a URL of PostgreSQL, MySQL or MariaDB, or \`sqlite:\` and a path. \`$NAME\` stands for a variable of the
environment, so that other users do not see the password.

Examples:
  ostiary bindings check bindings.yaml --policy policy.polar
  ostiary bindings check bindings.yaml --policy policy.polar --db '$DATABASE_URL'
  ostiary bindings check bindings.yaml --db sqlite:app.db --json

The status is 0 without problems or with warnings only, and 1 with an error.`;

interface CheckOptions {
  readonly policy?: readonly string[];
  readonly db?: string;
  readonly json?: true;
}

export const bindingsCommand: AddCommand = (program, finish) => {
  const bindings = program
    .command("bindings")
    .description("Check the data bindings of local authorization, and store them on a node");
  addStoredBindings(bindings);
  bindings
    .command("check")
    .description("Check a file with data bindings: its syntax, and with options its signatures and queries")
    .argument("<file>", "The YAML file with data bindings")
    .option("--policy <files...>", "Policy files; several form one policy")
    .option("--db <url>", "The database of the application")
    .option("--json", "Print problems and columns as JSON")
    .addHelpText("after", checkDetails)
    .action(async (file: string, options: CheckOptions) => {
      finish((await check(file, options)) ? 0 : 1);
    });
};

/** Returns whether there is no error. */
async function check(file: string, { policy, db, json }: CheckOptions): Promise<boolean> {
  const bindings = await readBindings(file);
  const problems = checkTexts(bindings);
  if (policy !== undefined) {
    const { active, ...checked } = await checkFiles(policy, { runTests: false });
    if (active === undefined) {
      await printProblems({ active, ...checked });
      throw new AppError("invalid_request", "the policy has errors, so the bindings were not compared with it");
    }
    problems.push(...checkPolicyUse(bindings, active));
  }
  const report = db === undefined ? undefined : await withDatabase(db, bindings);
  // The text and the database can both say that a number of columns is wrong.
  const known = new Set(problems.map(({ place, message }) => `${place}: ${message}`));
  problems.push(...(report?.problems ?? []).filter(({ place, message }) => !known.has(`${place}: ${message}`)));
  const good = problems.every(({ severity }) => severity !== "error");
  if (json) await print(`${JSON.stringify({ valid: good, problems, ...(report && { columns: report.columns }) })}\n`);
  else await printText(file, bindings, problems, good);
  return good;
}

/** Throws `invalid_request` with the name of the file. */
async function readBindings(file: string): Promise<DataBindings> {
  const text = await readBindingsText(file);
  try {
    return parseBindings(text, defaultLimits);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(error.code, `\`${file}\`: ${error.message}`, { cause: error });
  }
}

async function withDatabase(db: string, bindings: DataBindings): Promise<DatabaseReport> {
  const database = await openApplicationDatabase(db);
  try {
    return await checkDatabase(bindings, database);
  } finally {
    await database.close();
  }
}

async function printText(
  file: string,
  { bindings }: DataBindings,
  problems: readonly BindingProblem[],
  good: boolean,
): Promise<void> {
  const lines = problems.map(({ severity, place, message }) => {
    const label = paint("stdout", severity === "error" ? "red" : "yellow", `${severity}:`);
    return `${label} \`${printable(place)}\`: ${printable(message)}\n`;
  });
  const count = bindings.length === 1 ? "1 signature" : `${bindings.length} signatures`;
  await print(`${lines.join("")}${printable(file)}: ${count}, ${good ? "valid" : "not valid"}\n`);
}
