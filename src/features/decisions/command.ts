/**
 * `ostiary decisions`: prints the logged decisions of running nodes, live or as an export, in the order of their times;
 * explains one, and replays them under another policy.
 */
import { InvalidArgumentError, type Command } from "commander";
import { decisionEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { explanationLines } from "../../engine/explain/explanation-text.ts";
import { print, printError, printUntilClosed, stopSignal } from "../../runtime/process.ts";
import { decisionSchema } from "../../http/schemas/logged-decision.ts";
import { printable } from "../../util/printable.ts";
import { printFailure, printWarning } from "../../cli/color.ts";
import { type AddCommand, type ExitStatus, UsageError } from "../../cli/command.ts";
import { followEvents } from "../../cli/follow-events.ts";
import {
  accessOf,
  answerIn,
  askEndpoint,
  callEndpoint,
  checkedUrl,
  expectAnswer,
  type NodeAccess,
  withAccess,
} from "../../cli/node-api.ts";
import { parseEntity } from "../../cli/parse-fact.ts";
import { checkFiles, printProblems, uploadOf } from "../../cli/policy-files.ts";
import { questionText, noEvidence, replayText, replayTimeoutMs, resultOf } from "../../cli/replay-text.ts";
import { noResults } from "../../cli/table.ts";

const details = `
Each node has a log of the decisions that it made itself (setting decisions.log). --node merges the logs of further nodes
by time. A decision is printed with its id, for \`ostiary decisions explain\`.

Examples:
  ostiary decisions                                            the latest decisions
  ostiary decisions --actor User:ann --result deny --since 2026-11-26T07:00:00Z
  ostiary decisions --request-id 0a1b2c3d                      the decisions of one request
  ostiary decisions --follow --node http://10.0.0.2:8080       new decisions of two nodes, until Ctrl-C
  ostiary decisions --all --json > decisions.ndjson            the whole log, one decision per line
  ostiary decisions explain 1f0c9ab2-1234
  ostiary decisions replay --policy next.polar --since 2026-11-25T00:00:00Z`;

interface Options {
  readonly follow?: true;
  readonly all?: true;
  readonly json?: true;
  readonly node?: readonly string[];
  readonly limit: number;
  readonly actor?: string;
  readonly action?: string;
  readonly resource?: string;
  readonly result?: string;
  readonly kind?: string;
  readonly by?: string;
  readonly requestId?: string;
  readonly traceId?: string;
  readonly policyId?: string;
  readonly withoutConsole?: true;
  readonly since?: string;
  readonly until?: string;
}

export const decisionsCommand: AddCommand = (program, finish) => {
  const group = program
    .command("decisions")
    .description("Print the logged decisions of running nodes; explain one, and replay them under another policy")
    .enablePositionalOptions()
    .option("--node <url>", "Merge the log of this node as well; can be repeated", addUrl)
    .option("--follow", "Print new decisions as they are made")
    .option("--all", "Print the whole log, from the oldest decision on")
    .option("--limit <n>", "Print at most this many decisions, the latest ones", wholeNumber, 50)
    .option("--actor <value>", "Only of this actor, such as `User:ann`")
    .option("--action <name>", "Only about this action")
    .option("--resource <value>", "Only about this resource, such as `Repository:x`")
    .option("--result <result>", "Only `allow` or `deny`")
    .option("--kind <kind>", "Only of this kind, such as `authorize` or `list`")
    .option("--by <key id>", "Only those that this API key asked for")
    .option("--request-id <id>", "Only of this request")
    .option("--trace-id <id>", "Only of this trace")
    .option("--policy-id <number>", "Only those that this version of the policy made")
    .option("--without-console", "Without what this API key asked in the web console")
    .option("--since <time>", "Only from this time on, such as `2026-11-26T07:00:00Z`")
    .option("--until <time>", "Only from before this time")
    .option("--json", "Print one decision per line as JSON");
  withAccess(group, decisionEndpoints.getDecisions)
    .addHelpText("after", details)
    .action(async (options: Options, self: Command) => {
      const access = accessOf(self);
      const nodes = [access, ...(options.node ?? []).map((url) => ({ ...access, url }))];
      const query = queryOf(options);
      const textOf = (entry: MergedEntry): string =>
        options.json ? `${JSON.stringify(entry.decision)}\n` : lineOf(entry, nodes.length > 1);
      if (options.follow && !(await isLogged(nodes))) return finish(1);
      if (!options.json) await printUntilClosed(headings(nodes.length > 1));
      if (options.follow) return follow(nodes, query, textOf, options);
      const read: LogReading = { found: new Set(), off: new Set() };
      if (options.all) await printAll(nodes, query, textOf, read);
      else await printLatest(nodes, query, options.limit, textOf, read);
      if (read.found.size === 0 && read.off.size === 0) await printError(noResults);
      for (const url of read.off) await printWarning(logIsOff(url));
      if (!read.off.isSubsetOf(read.found)) finish(1);
    });
  addExplain(group);
  addReplay(group, finish);
};

function addUrl(url: string, others: readonly string[] = []): string[] {
  return [...others, checkedUrl(url)];
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 to 999999.");
  return Number(text);
}

function queryOf({ actor, resource, ...options }: Options): URLSearchParams {
  const [from, to] = [actor && parseEntity(actor, "actor"), resource && parseEntity(resource, "resource")];
  const conditions = {
    ...(from && { actor_type: from.type, actor_id: from.id }),
    ...(to && { resource_type: to.type, resource_id: to.id }),
    action: options.action,
    result: options.result,
    kind: options.kind,
    key: options.by,
    request_id: options.requestId,
    trace_id: options.traceId,
    policy: options.policyId,
    own_console: options.withoutConsole && "false",
    since: options.since,
    until: options.until,
  };
  const given = Object.entries(conditions).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return new URLSearchParams(given);
}

type Decision = ResponseOf<typeof decisionEndpoints.getDecisions>["decisions"][number];

/** The URLs of nodes of which decisions were found, and of those that log none now. */
interface LogReading {
  readonly found: Set<string>;
  readonly off: Set<string>;
}

function logIsOff(url: string): string {
  return `the decision log of ${url} is off, so it has no new decisions; the setting \`decisions.log\` of the node turns it on`;
}

/** Whether at least one node logs decisions. Warns of the others, whose decisions nobody would miss. */
async function isLogged(nodes: readonly NodeAccess[]): Promise<boolean> {
  const request = { query: { limit: 1 } };
  const pages = await Promise.all(nodes.map((access) => callEndpoint(access, decisionEndpoints.getDecisions, request)));
  const off = nodes.filter((_, index) => pages[index]?.log === "off");
  for (const { url } of off) await printWarning(logIsOff(url));
  return off.length < nodes.length;
}

/** A decision, and the node that made it. */
interface MergedEntry {
  readonly decision: Decision;
  readonly url: string;
}

/** The decisions of one node, page by page. */
async function* readDecisions(
  access: NodeAccess,
  query: URLSearchParams,
  order: "newest" | "oldest",
  limit: number,
  { found, off }: LogReading,
): AsyncGenerator<MergedEntry, void> {
  for (let after: string | null = null; ;) {
    const parameters = new URLSearchParams(query);
    parameters.set("order", order);
    parameters.set("limit", String(limit));
    if (after !== null) parameters.set("after", after);
    const page: ResponseOf<typeof decisionEndpoints.getDecisions> = await callEndpoint(
      access,
      decisionEndpoints.getDecisions,
      { query: parameters },
    );
    const { decisions, next, log } = page;
    if (decisions.length > 0) found.add(access.url);
    if (log === "off") off.add(access.url);
    for (const each of decisions) yield { decision: each, url: access.url };
    if (next === null) return;
    after = next;
  }
}

const pageLimit = 1000;

async function printLatest(
  nodes: readonly NodeAccess[],
  query: URLSearchParams,
  limit: number,
  textOf: (entry: MergedEntry) => string,
  read: LogReading,
): Promise<void> {
  const latest = await Promise.all(
    nodes.map(async (access) => {
      const found: MergedEntry[] = [];
      for await (const entry of readDecisions(access, query, "newest", Math.min(limit, pageLimit), read)) {
        found.push(entry);
        if (found.length === limit) break;
      }
      return found.toReversed();
    }),
  );
  const merged = latest.flat().sort(byTime).slice(-limit);
  await printUntilClosed(merged.map(textOf).join(""));
}

/** Merges the logs, of which each is in the order of its node. */
async function printAll(
  nodes: readonly NodeAccess[],
  query: URLSearchParams,
  textOf: (entry: MergedEntry) => string,
  read: LogReading,
): Promise<void> {
  const logs = nodes.map((access) => readDecisions(access, query, "oldest", pageLimit, read));
  const heads = await Promise.all(logs.map(async (log) => ({ log, head: await log.next() })));
  let text = "";
  for (;;) {
    let first: (typeof heads)[number] | undefined;
    for (const each of heads) {
      if (each.head.done) continue;
      if (first === undefined || first.head.done || byTime(each.head.value, first.head.value) < 0) first = each;
    }
    if (first !== undefined && !first.head.done) text += textOf(first.head.value);
    if (text.length > printedCharacters || first === undefined) {
      if (!(await printUntilClosed(text)) || first === undefined) return;
      text = "";
    }
    first.head = await first.log.next();
  }
}

const printedCharacters = 64 * 1024;

function byTime(one: MergedEntry, other: MergedEntry): number {
  return one.decision.time < other.decision.time ? -1 : one.decision.time > other.decision.time ? 1 : 0;
}

/** How long a decision waits for earlier ones of other nodes, which write their logs in batches. */
const mergeMs = 500;

async function follow(
  nodes: readonly NodeAccess[],
  query: URLSearchParams,
  textOf: (entry: MergedEntry) => string,
  { since, until, all }: Options,
): Promise<void> {
  if (since !== undefined || until !== undefined || all)
    throw new UsageError("--follow prints new decisions; leave out --since, --until and --all, or --follow");
  const stop = new AbortController();
  void stopSignal().then(() => stop.abort());
  const waiting: { readonly entry: MergedEntry; readonly arrivedMs: number }[] = [];
  const waitMs = nodes.length > 1 ? mergeMs : 0;
  const printReady = async (): Promise<void> => {
    const lastReady = waiting.findLast(({ arrivedMs }) => performance.now() - arrivedMs >= waitMs);
    if (lastReady === undefined) return;
    waiting.sort((one, other) => byTime(one.entry, other.entry));
    // Everything that is not later than a decision that has waited is printed with it.
    const ready = waiting.splice(0, waiting.lastIndexOf(lastReady) + 1);
    if (!(await printUntilClosed(ready.map(({ entry }) => textOf(entry)).join("")))) stop.abort();
  };
  const timer = setInterval(() => void printReady(), 100);
  try {
    await Promise.all(
      nodes.map((access) =>
        followEvents(access, undefined, {
          path: `${decisionEndpoints.getDecisions.path}?${query}`,
          signal: stop.signal,
          async onEvent(event) {
            const parsed = expectAnswer(decisionSchema, event, "a decision");
            waiting.push({ entry: { decision: parsed, url: access.url }, arrivedMs: performance.now() });
            if (waitMs === 0) await printReady();
          },
          onInterruption: (reason) => printError(`${reason}; trying again\n`),
        }),
      ),
    );
  } finally {
    clearInterval(timer);
    stop.abort();
  }
}

function headings(hasNode: boolean): string {
  return `${"TIME".padEnd(24)}  RESULT      ${hasNode ? "NODE  " : ""}QUESTION  KEY  REQUEST  ID\n`;
}

/** One line, and one before it for decisions that were dropped. */
function lineOf({ decision: each, url }: MergedEntry, hasNode: boolean): string {
  const { id, time, key, request_id: request, dropped_before: dropped } = each;
  const node = hasNode ? [url] : [];
  const parts = [time, resultOf(each).padEnd(10), ...node, questionText(each), key ?? "-", request ?? "-", id];
  const gap = dropped > 0 ? `${dropped} decisions before this one were not logged, the log was too slow\n` : "";
  return `${gap}${printable(parts.join("  "))}\n`;
}

function addExplain(group: Command): void {
  const command = group
    .command("explain")
    .description("Explain a logged decision on the data, the policy and the clock of its time")
    .argument("<id>", "The id of the decision; ask the node that made it")
    .option("--json", "Print JSON");
  withAccess(command, decisionEndpoints.explainDecision).action(
    async (id: string, { json }: { json?: true }, self: Command) => {
      const request = { params: { id }, timeoutMs: replayTimeoutMs };
      const answer = await askEndpoint(accessOf(self), decisionEndpoints.explainDecision, request);
      if (json) return print(`${JSON.stringify(answer, null, 2)}\n`);
      const { decision: logged, explanation, ...again } = answerIn(decisionEndpoints.explainDecision, answer);
      const lines = explanation === null ? [`computed again: ${resultOf(again)}`] : explanationLines(explanation);
      await print(lineOf({ decision: logged, url: "" }, false) + lines.map((line) => `${printable(line)}\n`).join(""));
    },
  );
}

const replayDetails = `
Each decision is made again with the facts, the context facts and the clock of its time; only the policy is the given one.
So the result shows what the policy would have changed. The node does it in a process of its own, on a copy of its data.

Examples:
  ostiary decisions replay --policy next.polar --since 2026-11-25T00:00:00Z
  ostiary decisions replay --policy next.polar --limit 10000 --fail-on-change    status 1 if a decision would change`;

interface ReplayOptions {
  readonly policy?: readonly string[];
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
  readonly failOnChange?: true;
  readonly json?: true;
}

function addReplay(group: Command, finish: (status: ExitStatus) => void): void {
  const command = group
    .command("replay")
    .description("Make logged decisions again under another policy, and print those that would change, and why")
    .option("--policy <file>", "The policy; several files form one", (file, others: readonly string[] = []) => [
      ...others,
      file,
    ])
    .option("--since <time>", "Only decisions from this time on, such as `2026-11-26T07:00:00Z`")
    .option("--until <time>", "Only decisions from before this time")
    .option("--limit <n>", "At most this many decisions, the latest ones", wholeNumber, 1000)
    .option("--fail-on-change", "End with status 1 if a decision would change")
    .option("--json", "Print JSON");
  withAccess(command, decisionEndpoints.replayDecisions)
    .addHelpText("after", replayDetails)
    .action(async ({ policy, since, until, limit, failOnChange, json }: ReplayOptions, self: Command) => {
      if (policy === undefined) throw new UsageError("no policy was named; name its file with --policy");
      const checked = await checkFiles(policy, { runTests: false });
      await printProblems(checked);
      if (!checked.good) return finish(1);
      const { src, filename } = uploadOf(checked.sources);
      const body = { src, filename, since, until, limit };
      const request = { body, timeoutMs: replayTimeoutMs };
      const replay = await callEndpoint(accessOf(self), decisionEndpoints.replayDecisions, request);
      await print(json ? `${JSON.stringify(replay, null, 2)}\n` : replayText(replay));
      const isMissing = replay.replayed === 0;
      if (isMissing) await printFailure(noEvidence(replay));
      if (isMissing || (failOnChange && replay.changed_count > 0)) finish(1);
    });
}
