/** `ostiary plan`: prints how a question is compiled and run, for people who want to know why it is fast or slow. */
import { defaultLimits } from "../config/limits.ts";
import {
  type PassReport,
  type PlanArgument,
  type PlanQuestion,
  type PlacedNode,
  type PlanReport,
  reportPlan,
  reportStoredPlan,
} from "../engine/query/plan-report.ts";
import { factArgumentsMax } from "../polar/policy.ts";
import { print } from "../runtime/process.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { checkFiles, printProblems } from "./policy-files.ts";
import { requireStoreIn } from "./node-data.ts";

const details = `
An argument of the question is
  Type:_     a value that the question gives
  Type:?     a value that the question asks for
  Type:id    exactly this value; read, "read", 5 and true are strings, integers and booleans

The output contains the specialised rules (has_role#3 is a specialised predicate; one without a number is a stored fact),
the transitive closures that are kept for them, the SQL statement, and SQLite's plan of it. If no single statement fits,
the rules are evaluated step by step, which is slower. The output also names parts of the question that the policy does
not have, with the most similar names that it has.

With --passes it prints the program after each pass of the compiler instead, from the normalised rules to the SQL.

Examples:
  ostiary plan policy.polar 'allow(User:_, read, Repository:_)'       as POST /api/authorize asks
  ostiary plan policy.polar 'allow(User:_, read, Repository:?)'       as POST /api/list asks
  ostiary plan policy.polar 'allow(User:?, read, Repository:_)'       who can
  ostiary plan --json a.polar b.polar 'has_role(User:_, String:?, Folder:_)'
  ostiary plan --passes policy.polar 'allow(User:_, read, Repository:_)'   each pass of the compiler
  ostiary plan --data /var/lib/ostiary 'allow(User:_, read, Repository:_)'   with the policy and data of that node

With --data, the policy is that of the node instead of files, joins are ordered by the node's statistics, closures are
those that the node keeps, and the output has a bound of the rows that the statement examines for any values.
`;

export const planCommand: AddCommand = (program, finish) => {
  program
    .command("plan")
    .description("Print how a question is compiled: its rules, its SQL, and SQLite's plan")
    .argument("<files-and-question...>", "policy files, which form one policy, and the question")
    .option("--data <dir>", "use the data directory of a node, running or not, instead of policy files")
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
        if (files.length > 0) throw new UsageError("with --data the policy is that of the node: give no policy file");
        return show(reportStoredPlan(requireStoreIn(options.data), question, reportOptions));
      }
      if (files.length === 0)
        throw new UsageError(
          "a policy file is missing: `ostiary plan policy.polar 'allow(User:_, read, Repository:_)'`",
        );
      const checked = await checkFiles(files, { runTests: false });
      await printProblems(checked);
      if (!checked.policy) return finish(1);
      await show(reportPlan(checked.sources, question, reportOptions));
    });
};

const form =
  "`predicate(argument, …)`, where an argument is `Type:_` (given with the question), `Type:?` (asked for), `Type:id`, or a string or number";

/** Parses `allow(User:_, read, Repository:_)`. Throws UsageError. */
function parsePlanQuestion(text: string): PlanQuestion {
  const match = /^\s*([A-Za-z_][\w:]*\??)\s*\(([^]*)\)\s*$/.exec(text);
  const [, predicate, list] = match ?? [];
  if (predicate === undefined || list === undefined)
    throw new UsageError(`\`${text}\` is not a question; write ${form}`);
  const args = split(list).map((arg) => parseArgument(arg.trim(), text));
  if (args.length > factArgumentsMax) throw new UsageError(`\`${text}\` has more than ${factArgumentsMax} arguments`);
  return { predicate, args };
}

/** Splits at commas outside quotes. */
function split(list: string): string[] {
  return list.trim() === "" ? [] : (list.match(/(?:"(?:\\.|[^"\\])*"|[^,"])+/g) ?? []);
}

function parseArgument(text: string, question: string): PlanArgument {
  const typed = /^([A-Za-z_]\w*(?:::\w+)*):([^:][^]*)$/.exec(text);
  const [, type, id] = typed ?? [];
  if (type !== undefined && id !== undefined) {
    if (id === "_") return { kind: "given", type };
    return id === "?" ? { kind: "asked", type } : { kind: "constant", type, id: unquoted(id) };
  }
  if (/^-?\d+$/.test(text)) return { kind: "constant", type: "Integer", id: text };
  if (text === "true" || text === "false") return { kind: "constant", type: "Boolean", id: text };
  if (/^\w+$/.test(text) && text !== "_") return { kind: "constant", type: "String", id: text };
  if (/^"(?:\\.|[^"\\])*"$/.test(text)) return { kind: "constant", type: "String", id: unquoted(text) };
  throw new UsageError(`\`${text}\` in \`${question}\` is not an argument; write ${form}`);
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}

const answers: Readonly<Record<PlanReport["answeredBy"], string>> = {
  statement: "by one SQL statement",
  steps: "step by step: no single statement fits",
  nothing: "with no: no rule and no fact can answer it",
};

/** `isStored` is true for the data directory of a node, with its statistics. */
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
    section("Refused as a list, if one of these rules leaves a value open", report.refusals.map(renderRefusal)),
    section("Rules", rules ? [rules.question, ...rules.nodes.flatMap(renderNode)] : []),
    section(
      "Closures, kept as tables",
      kept.map(({ table, step, rows }) => `${table}: ${step}${isStored ? `, ${count(rows)} rows` : ""}`),
    ),
    section(
      "Closures that are too large for a table, walked instead",
      walked.map(({ table, step }) => `${table}: ${step}`),
    ),
    section(
      "Fact tables",
      tables.map(({ table, predicate }) => `${table}: ${predicate}`),
    ),
    section("Indexes", indexes),
    section("Symbol ids", [
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
    return `on the serving thread: it examines at most ${count(rowsMax)} rows for any values`;
  const most = rowsMax === null ? "any number of" : count(rowsMax);
  return `in a worker process: it may examine ${most} rows, more than ${count(servingThreadQueryRowsMax)}`;
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

function renderRefusal({ rule, reason, type }: PlanReport["refusals"][number]): string {
  const place = rule?.place ? `${rule.place.file}:${rule.place.line}:${rule.place.column}, ` : "";
  const values = { restricted: "every value but some", equal: "every value together with itself" };
  return `${rule?.text ?? "a rule"}    # ${place}${type ?? "any type"}: ${values[reason]}`;
}

function renderPass({ pass, why, program }: PassReport, index: number, previous: PassReport | undefined): string {
  const heading = `${index + 1}. ${pass}: ${why}`;
  const isChanged =
    program.length !== previous?.program.length || program.some((line, at) => line !== previous.program[at]);
  if (!isChanged) return section(heading, ["(no change)"]);
  return section(heading, program.length === 0 ? ["(nothing)"] : program.map(wrapped));
}

/** Breaks the line before each subquery. */
function wrapped(sql: string): string {
  return sql.replaceAll(/ (?=(?:NOT )?EXISTS \(|UNION |WITH RECURSIVE )/g, "\n");
}
