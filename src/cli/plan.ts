/** What a question becomes: for those who want to know why one is fast or slow, and for tests that pin it. */
import { defaultLimits } from "../config/limits.ts";
import {
  type PassReport,
  type PlacedNode,
  type PlanReport,
  reportPlan,
  reportStoredPlan,
} from "../engine/query/plan-report.ts";
import { print } from "../runtime/process.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { parsePlanQuestion } from "./plan-question.ts";
import { readPolicyFiles } from "./policy-files.ts";
import { check, printProblems } from "./policy-report.ts";
import { requireStoreIn } from "./stored-data.ts";

const details = `
An argument of the question is
  Type:_     a value that comes with the question
  Type:?     what is asked for
  Type:id    this very value; read, "read", 5 and true are texts, numbers and truth values

It prints the rules that are left once types and constants are known (has_role#3 is one of them; without a number, facts
answer), which transitive closures are kept for them, the SQL statement, and SQLite's plan for it. Where no statement
fits, the rules are evaluated step by step, which is slower. Names in the question that the policy does not have are told,
with the nearest ones that it has.

Examples:
  ostiary plan policy.polar 'allow(User:_, read, Repository:_)'       as POST /api/authorize asks
  ostiary plan policy.polar 'allow(User:_, read, Repository:?)'       as POST /api/list asks
  ostiary plan policy.polar 'allow(User:?, read, Repository:_)'       who can
  ostiary plan --json a.polar b.polar 'has_role(User:_, String:?, Folder:_)'
  ostiary plan --data /var/lib/ostiary 'allow(User:_, read, Repository:_)'   what the node there makes of it now

With --data it is the node's own policy and no file; joins are ordered by what the node knows of its facts, closures are
those that it keeps, and it says how many rows the statement may look at, whatever it is asked with.
`;

export const planCommand: AddCommand = (program, finish) => {
  program
    .command("plan")
    .description("Print what a question becomes: its rules, its SQL, and SQLite's plan")
    .argument("<files-and-question...>", "policy files, which form one policy, and the question")
    .option("--data <dir>", "the data directory of a node, running or not, instead of policy files")
    .option("--passes", "print the program after each pass of the compiler instead of the final plan")
    .option("--json", "print JSON")
    .addHelpText("after", details)
    .action(async (words: string[], options: { json?: true; passes?: true; data?: string }) => {
      const question = parsePlanQuestion(words.at(-1) ?? "");
      const files = words.slice(0, -1);
      const show = (report: PlanReport): Promise<void> =>
        print(options.json ? `${JSON.stringify(report, null, 2)}\n` : render(report, options.data !== undefined));
      const reportOptions = { limits: defaultLimits, withPasses: options.passes === true };
      if (options.data !== undefined) {
        if (files.length > 0) throw new UsageError("with --data the policy is that of the node: name no file");
        return show(reportStoredPlan(requireStoreIn(options.data), question, reportOptions));
      }
      if (files.length === 0)
        throw new UsageError(
          "no policy file was named: `ostiary plan policy.polar 'allow(User:_, read, Repository:_)'`",
        );
      const checked = check(await readPolicyFiles(files), { runTests: false });
      await printProblems(checked);
      if (!checked.policy) return finish(1);
      await show(reportPlan(checked.sources, question, reportOptions));
    });
};

const answers: Readonly<Record<PlanReport["answeredBy"], string>> = {
  statement: "by one SQL statement",
  steps: "step by step: no single statement fits",
  nothing: "with no: nothing in the policy gives it",
  "not-listable": "with an error: only `not` or a comparison restricts what is asked for",
};

/** `isStored`: it is of a node, with what it holds. */
function render(report: PlanReport, isStored: boolean): string {
  const { question, rules, closures, tables, indexes, constants, types, sql, parameters, queryPlan } = report;
  const [kept, walked] = [closures.filter((closure) => closure.kept), closures.filter((closure) => !closure.kept)];
  const answered = section("Answered", [
    `${question} is answered ${answers[report.answeredBy]}`,
    ...report.unknown,
    ...(isStored && sql !== null ? [describeBound(report.rowsMax)] : []),
  ]);
  const { passes } = report;
  if (passes) return [answered, ...passes.map((pass, index) => renderPass(pass, index, passes[index - 1]))].join("\n");
  const sections = [
    answered,
    section("Rules", rules ? [rules.question, ...rules.nodes.flatMap(renderNode)] : []),
    section(
      "Closures, kept as tables",
      kept.map(({ table, step, rows }) => `${table}: ${step}${isStored ? `, ${count(rows)} rows` : ""}`),
    ),
    section(
      "Closures that are too large: these are walked",
      walked.map(({ table, step }) => `${table}: ${step}`),
    ),
    section(
      "Fact tables",
      tables.map(({ table, predicate }) => `${table}: ${predicate}`),
    ),
    section("Indexes", indexes),
    section("Numbers", [
      ...constants.map(({ id, value }) => `${id} = ${value}`),
      ...types.map(({ low, high, type }) => `${low} … ${high} = ${type}`),
    ]),
    section("SQL", sql === null ? [] : [wrapped(sql), ...parameters.map((name, index) => `?${index + 1} = ${name}`)]),
    section("SQLite's plan", queryPlan),
  ];
  return sections.filter((text) => text !== "").join("\n");
}

function describeBound(rowsMax: number | null): string {
  const { servingThreadQueryRowsMax } = defaultLimits;
  if (rowsMax !== null && rowsMax <= servingThreadQueryRowsMax)
    return `at once: it looks at no more than ${count(rowsMax)} rows, whatever it is asked with`;
  const most = rowsMax === null ? "any number of" : count(rowsMax);
  return `in a process aside: it may look at ${most} rows, more than ${count(servingThreadQueryRowsMax)}`;
}

const count = (number: number): string => number.toLocaleString("en");

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${title}\n${lines.map((line) => `  ${line.replaceAll("\n", "\n  ")}\n`).join("")}`;
}

function renderNode({ node, recursive, rules }: PlacedNode): string[] {
  const lines = rules.map(({ text, place }) => {
    const from = place ? `    # ${place.file}:${place.line}:${place.column}` : "";
    return `  ${text}${from}`;
  });
  return [`${node}${recursive ? ", walked" : ""}`, ...lines];
}

function renderPass({ pass, why, program }: PassReport, index: number, previous: PassReport | undefined): string {
  const heading = `${index + 1}. ${pass}: ${why}`;
  const isChanged =
    program.length !== previous?.program.length || program.some((line, at) => line !== previous.program[at]);
  if (!isChanged) return section(heading, ["(no change)"]);
  return section(heading, program.length === 0 ? ["(nothing)"] : program.map(wrapped));
}

/** A line for each lookup. */
function wrapped(sql: string): string {
  return sql.replaceAll(/ (?=(?:NOT )?EXISTS \(|UNION |WITH RECURSIVE )/g, "\n");
}
