/** `ostiary reconcile`: makes the facts of a node equal to those in databases of applications. */
import type { Command } from "commander";
import { factEndpoints } from "../../features/facts/endpoints.ts";
import { defaultLimits } from "../../config/limits.ts";
import { print } from "../../runtime/process.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { reasonOf } from "../../util/reason.ts";
import type { AddCommand } from "../command.ts";
import { accessOf, type NodeAccess, withAccess } from "../node-api.ts";
import { formatFact } from "../parse-fact.ts";
import { type ProgressLine, withProgress } from "../progress-line.ts";
import { readFacts, sendBatch } from "../stored-facts.ts";
import { compare, type Comparison, confirmed, missingIn } from "./compare.ts";
import { type FactSource, readReconcileFile, type ReconcileFile } from "./reconcile-file.ts";
import { openSource, type Row, type Source } from "./sources.ts";
import type { Signature } from "../../local/signature.ts";

const details = `
The file says which facts come from which query:

  version: 1
  source: postgres                       # or mysql, csv
  dbs:
    app: { connection_string: $DATABASE_URL }
  facts:
    has_role(User:_, String:_, Team:_):  # each _ takes a column
      db: app
      query: SELECT user_id, role, team_id FROM memberships

Without --perform-updates nothing changes. With it, only facts change that differ in two comparisons, one after the other,
and inserted facts that disappear from the source meanwhile are deleted again. All facts of the node that match a
signature and that no query gives are deleted. Deletions come first, in transactions of up to 1,000 facts. If the sources
of a signature are empty although the node has facts, the update is refused unless --allow-empty is given: most likely the
query or the database is wrong.

Examples:
  ostiary reconcile reconcile.yaml
  ostiary reconcile reconcile.yaml --perform-updates --summarized-output
`;

interface Options {
  readonly performUpdates?: true;
  readonly summarizedOutput?: true;
  readonly allowEmpty?: true;
  readonly json?: true;
}

export const reconcileCommand: AddCommand = (program) => {
  withAccess(program.command("reconcile"), factEndpoints.batch)
    .description("Compare the facts of a node with databases, and make them equal")
    .argument("<file>", "The YAML file with databases and queries")
    .option("--perform-updates", "Change the facts of the node; without it the changes are only printed")
    .option("--summarized-output", "Print only the numbers of changes, not the changes")
    .option("--allow-empty", "Also delete all facts of a signature if its source is empty")
    .option("--json", "Print the changes and their numbers as JSON")
    .addHelpText("after", details)
    .action(async (path: string, options: Options, command: Command) => {
      const access = accessOf(command);
      const file = await readReconcileFile(path);
      const comparison = await withProgress(async (progress) => {
        const first = await compareAll(access, file, progress);
        // Applications write while a comparison reads. What they have changed meanwhile is no difference the second time.
        const second = options.performUpdates ? await compareAll(access, file, progress) : first;
        return confirmed(file.facts, second, first);
      });
      // Before the update, so that the changes are known even if it fails.
      if (!options.json) await printChanges(comparison, options);
      let revoked: readonly Fact[] = [];
      if (options.performUpdates) {
        if (!options.allowEmpty) refuseEmptySources(comparison);
        await withProgress(async (progress) => {
          await update(access, comparison, progress);
          revoked = await takeBack(access, file, comparison.inserts, progress);
        });
      }
      await printResult(comparison, revoked, options);
    });
};

function compareAll(access: NodeAccess, file: ReconcileFile, progress: ProgressLine) {
  progress.begin("comparing");
  let [stored, rows] = [0, 0];
  const describe = (): void => progress.describe(`${stored} facts of the node and ${rows} rows read`);
  const readNode = async function* (signature: Signature): AsyncGenerator<Fact> {
    for await (const fact of storedFacts(access, signature)) {
      stored += 1;
      if (stored % 1000 === 0) describe();
      yield fact;
    }
  };
  const onRow = (): void => {
    rows += 1;
    if (rows % 1000 === 0) describe();
  };
  return withSources(file, onRow, (readSource) => compare(file.facts, readNode, readSource));
}

/** Opens each database when it is first read, and closes all at the end. */
async function withSources<T>(
  { databases }: ReconcileFile,
  onRow: () => void,
  body: (readSource: (from: FactSource) => AsyncIterable<Row>) => Promise<T>,
): Promise<T> {
  const sources = new Map<string, Source>();
  try {
    return await body(async function* (from) {
      const database = databases.find(({ name }) => name === from.database);
      if (database === undefined) return;
      const source = sources.get(database.name) ?? (await openSource(database));
      sources.set(database.name, source);
      for await (const row of source.rows(from)) {
        onRow();
        yield row;
      }
    });
  } finally {
    await Promise.all([...sources.values()].map((source) => source.close()));
  }
}

/**
 * Deletes the inserted facts that no source gives any more: an application revoked them in the moment before they were
 * written. Returns them.
 */
async function takeBack(
  access: NodeAccess,
  file: ReconcileFile,
  inserted: readonly Fact[],
  progress: ProgressLine,
): Promise<readonly Fact[]> {
  if (inserted.length === 0) return [];
  progress.begin("checking");
  let rows = 0;
  const onRow = (): void => {
    rows += 1;
    if (rows % 1000 === 0) progress.describe(`${rows} rows read`);
  };
  const revoked = await withSources(file, onRow, (readSource) => missingIn(file.facts, inserted, readSource)).catch(
    (error: unknown) => {
      const text = "the changes were made, but the sources could not be read again, to find facts revoked meanwhile";
      throw new AppError("invalid_request", `${text}; run the command again: ${reasonOf(error)}`, { cause: error });
    },
  );
  await update(access, { inserts: [], deletes: revoked }, progress);
  return revoked;
}

/** The facts of the node that match the signature, page by page. */
async function* storedFacts(access: NodeAccess, { predicate, args }: Signature): AsyncGenerator<Fact> {
  for await (const facts of readFacts(access, { predicate, args }))
    // Reads accept fewer arguments than a fact has.
    for (const fact of facts) if (fact.args.length === args.length) yield fact;
}

function refuseEmptySources({ emptied: [empty] }: Comparison): void {
  if (empty === undefined) return;
  throw new AppError(
    "invalid_request",
    `nothing was changed: the source of \`${empty.signature}\` is empty, and the node has ${empty.delete} facts of it; if that is right, add --allow-empty`,
  );
}

/** Deletions first: a fact too few denies, and a fact too many allows. */
async function update(
  access: NodeAccess,
  { inserts, deletes }: Pick<Comparison, "inserts" | "deletes">,
  progress: ProgressLine,
): Promise<void> {
  const total = inserts.length + deletes.length;
  progress.begin("updating");
  let done = 0;
  for (const [kind, facts] of [
    ["deletes", deletes],
    ["inserts", inserts],
  ] as const) {
    for (let start = 0; start < facts.length; start += defaultLimits.batchEntriesMax) {
      const part = facts.slice(start, start + defaultLimits.batchEntriesMax);
      await sendBatch(access, [{ [kind]: part }]).catch((error: unknown) => {
        throw new AppError("invalid_request", `${done} of ${total} changes were made, then: ${reasonOf(error)}`);
      });
      done += part.length;
      progress.reached(done, total);
    }
  }
}

async function printChanges({ deletes, inserts }: Comparison, { summarizedOutput }: Options): Promise<void> {
  if (summarizedOutput) return;
  const lines = [
    ...deletes.map((fact) => `- ${formatFact(fact)}\n`),
    ...inserts.map((fact) => `+ ${formatFact(fact)}\n`),
  ];
  await print(lines.join(""));
}

async function printResult(
  { counts, deletes, inserts, leftAlone }: Comparison,
  revoked: readonly Fact[],
  options: Options,
): Promise<void> {
  const { performUpdates = false, summarizedOutput, json } = options;
  if (json) {
    const changes = summarizedOutput ? {} : { deletes, inserts, revoked };
    const summary = { performed: performUpdates, facts: counts, left_alone: leftAlone, revoked_again: revoked.length };
    await print(`${JSON.stringify({ ...summary, ...changes })}\n`);
    return;
  }
  const rows = [
    ["source", "same", "insert", "delete", "facts"],
    ...counts.map((each) => [each.source, each.same, each.insert, each.delete, each.signature].map(String)),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const table = rows.map((row) => {
    const columns = row.map((text, column) =>
      column === row.length - 1 ? printable(text) : text.padStart(widths[column] ?? 0),
    );
    return `${columns.join("  ")}\n`;
  });
  const isEqual = deletes.length + inserts.length === 0;
  const advice = isEqual ? "the facts are equal\n" : "nothing was changed: --perform-updates makes these changes\n";
  const meanwhile = [
    ...(leftAlone === 0 ? [] : [`${leftAlone} facts changed while the command ran, and were left alone\n`]),
    ...(revoked.length === 0
      ? []
      : [`${revoked.length} inserted facts were deleted again, because they disappeared from the source meanwhile\n`]),
    ...(leftAlone + revoked.length === 0 ? [] : ["run the command again to see the differences that remain\n"]),
  ];
  const done = performUpdates && !isEqual ? "the changes were made\n" : advice;
  await print(`${table.join("")}${done}${meanwhile.join("")}`);
}
