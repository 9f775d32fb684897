/** `ostiary parity`: lists the decisions of a running node beside the results that applications expected of them. */
import { InvalidArgumentError, type Command } from "commander";
import { parityEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { formatValue } from "../../engine/explain/atom.ts";
import { print } from "../../runtime/process.ts";
import { printWarning } from "../../cli/color.ts";
import type { AddCommand } from "../../cli/command.ts";
import { accessOf, callEndpoint, withAccess, type NodeAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

const details = `
Applications report the result that they expected with a ParityHandle of an official client (POST /api/expect). Mismatches
come first, then reports whose decision the node does not know (PENDING), each from the latest to the oldest. Each node has
its own reports. An admin key lists those of all API keys, another key its own.

Examples:
  ostiary parity                                  the latest reports
  ostiary parity --fail-on-mismatch --limit 1000  in a test run: status 1 if there is a mismatch
  ostiary parity --json | jq '.reports[] | select(.result == "mismatch") | .resource'`;

interface Options {
  readonly limit: number;
  readonly failOnMismatch?: true;
  readonly json?: true;
}

export const parityCommand: AddCommand = (program, finish) => {
  const command = program
    .command("parity")
    .description("List decisions of a running node that differ from the results that applications expected")
    .option("--limit <n>", "List at most this many reports", wholeNumber, 50)
    .option(
      "--fail-on-mismatch",
      "End with status 1 if the node has a mismatch, listed or not, or has compared nothing",
    )
    .option("--json", "Print JSON");
  withAccess(command, parityEndpoints.getParity)
    .addHelpText("after", details)
    .action(async ({ limit, failOnMismatch, json }: Options, self: Command) => {
      const { counts, reports } = await readReports(accessOf(self), limit);
      await print(json ? `${JSON.stringify({ counts, reports }, null, 2)}\n` : render(counts, reports));
      const isMissing = counts.mismatch + counts.match === 0;
      if (isMissing) await printWarning("no decision was compared, so it is not known if there are differences");
      if (failOnMismatch && (isMissing || counts.mismatch > 0)) finish(1);
    });
};

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 to 999999.");
  return Number(text);
}

type Page = ResponseOf<typeof parityEndpoints.getParity>;
type Report = Page["reports"][number];

/** The first `limit` reports, and the counts of the first page. */
async function readReports(access: NodeAccess, limit: number): Promise<Pick<Page, "counts" | "reports">> {
  const reports: Report[] = [];
  let counts: Page["counts"] | undefined;
  for (let after: string | undefined; ;) {
    const query = { limit: Math.min(limit - reports.length, 1000), after };
    const answer = await callEndpoint(access, parityEndpoints.getParity, { query });
    counts ??= answer.counts;
    reports.push(...answer.reports);
    if (answer.next === null || reports.length >= limit) return { counts, reports };
    after = answer.next;
  }
}

const headings = [
  "RESULT",
  "EXPECTED",
  "DECIDED",
  "TIME",
  "ACTOR",
  "ACTION",
  "RESOURCE",
  "REQUEST ID",
  "CONTEXT FACTS",
];

function render({ mismatch, pending, match }: Page["counts"], reports: readonly Report[]): string {
  const summary = `${count(mismatch, "mismatch", "mismatches")}, ${pending} pending, ${count(match, "match", "matches")}`;
  const shown = reports.length < mismatch + pending + match ? `; ${reports.length} listed, --limit lists more` : "";
  const rows = reports.length === 0 ? "" : table(headings, reports.map(rowOf));
  return `${rows}${summary}${shown}\n`;
}

function rowOf({ result, expected, allowed, time, request_id, actor, action, resource, ...rest }: Report): string[] {
  const facts = (rest.context_facts ?? []).map(
    ({ predicate, args }) => `${predicate}(${args.map(valueText).join(", ")})`,
  );
  const omitted = (rest.redacted ?? []).length === 0 ? [] : [`(without ${rest.redacted?.join(", ")})`];
  return [
    result.toUpperCase(),
    resultText(expected),
    allowed === null ? "-" : resultText(allowed),
    time,
    actor ? valueText(actor) : "-",
    action ?? "-",
    resource ? valueText(resource) : "-",
    request_id,
    [...facts, ...omitted].join(", "),
  ];
}

function valueText({ type, id }: NonNullable<Report["actor"]>): string {
  return id === undefined ? `${type}:_` : formatValue({ type, id });
}

function resultText(allowed: boolean): string {
  return allowed ? "allow" : "deny";
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
