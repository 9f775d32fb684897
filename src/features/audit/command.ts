/** `ostiary audit`: lists the audit log of a running node, and follows it. */
import { setTimeout as sleep } from "node:timers/promises";
import { InvalidArgumentError, type Command } from "commander";
import { auditEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { print, printError, printUntilClosed, stopSignal } from "../../runtime/process.ts";
import { printable } from "../../util/printable.ts";
import { reasonOf } from "../../util/reason.ts";
import type { AddCommand } from "../../cli/command.ts";
import { accessOf, callEndpoint, withAccess, type NodeAccess } from "../../cli/node-api.ts";

const details = `
WHO is an API key (its name and id), node (the node key), operator (the command line or the configuration), system (a node by
itself) or unknown. Entries of other nodes arrive within seconds.

Examples:
  ostiary audit                                   the latest entries, newest first
  ostiary audit --action policy.upload --result refused
  ostiary audit --who billing --since 2026-11-01T00:00:00Z --limit 1000
  ostiary audit --follow --json                   new entries until Ctrl-C, as JSON, one per line`;

interface Filter {
  readonly who?: string;
  readonly action?: string;
  readonly result?: string;
  readonly since?: string;
  readonly until?: string;
}

interface Options extends Filter {
  readonly limit: number;
  readonly follow?: true;
  readonly json?: true;
}

export const auditCommand: AddCommand = (program) => {
  const command = program
    .command("audit")
    .description("Print the actions of administrators on a running node: who, from where, what, and the result")
    .option("--who <key>", "Only those of this API key, by id or name")
    .option("--action <name>", "Only this action, such as policy.upload or key.create")
    .option("--result <result>", "Only this result: ok, unchanged, refused, failed or uncertain")
    .option("--since <time>", "Only since this time, such as 2026-11-26T07:00:00Z")
    .option("--until <time>", "Only before this time")
    .option("--limit <n>", "Print at most this many", wholeNumber, 50)
    .option("--follow", "Print new entries as they arrive")
    .option("--json", "Print JSON; with --follow one entry per line");
  withAccess(command, auditEndpoints.getAudit)
    .addHelpText("after", details)
    .action(async ({ limit, follow, json, ...filter }: Options, self: Command) => {
      const access = accessOf(self);
      if (follow) return followEntries(access, filter, json === true);
      const entries = await readEntries(access, filter, limit);
      await print(json ? `${JSON.stringify(entries, null, 2)}\n` : [headings, ...entries.map(lineOf)].join(""));
    });
};

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 to 999999.");
  return Number(text);
}

type Entry = ResponseOf<typeof auditEndpoints.getAudit>["entries"][number];

/** The first `limit` entries, newest first. */
async function readEntries(access: NodeAccess, filter: Filter, limit: number): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let token: string | undefined; ;) {
    const page_size = Math.min(limit - entries.length, 1000);
    const query = { ...filter, page_size, page_token: token };
    const page = await callEndpoint(access, auditEndpoints.getAudit, { query });
    entries.push(...page.entries);
    token = page.next_page_token;
    if (token === undefined || entries.length >= limit) return entries;
  }
}

const pollMs = 1000;
/** Entries of other nodes arrive late: those that are older than this when they arrive are not printed. */
const lateMsMax = 5 * 60_000;
/** More than a node can record in that time. */
const knownMax = 5000;

async function followEntries(access: NodeAccess, filter: Filter, json: boolean): Promise<void> {
  const stop = new AbortController();
  void stopSignal().then(() => stop.abort());
  let isOpen = json || (await printUntilClosed(headings));
  /** Ids of entries that are printed, or were there before. */
  let known = new Set(filter.since === undefined ? (await readEntries(access, filter, knownMax)).map(idOf) : []);
  let newest: string | undefined;
  let hasFailed = false;
  while (isOpen && !stop.signal.aborted) {
    // By the clocks of the nodes: that of this machine may be wrong.
    const since = newest === undefined ? filter.since : new Date(Date.parse(newest) - lateMsMax).toISOString();
    try {
      const found = await readEntries(access, { ...filter, ...(since !== undefined && { since }) }, knownMax);
      const added = found.filter((entry) => !known.has(entry.id)).toReversed();
      known = new Set([...found.map(idOf), ...known].slice(0, knownMax));
      // The time of a node whose clock is ahead would hide all later entries.
      const nowMs = Date.now();
      newest = found.find(({ time }) => Date.parse(time) <= nowMs)?.time ?? newest;
      hasFailed = false;
      const lines = added.map((entry) => (json ? `${JSON.stringify(entry)}\n` : lineOf(entry)));
      if (lines.length > 0) isOpen = await printUntilClosed(lines.join(""));
    } catch (error) {
      if (!hasFailed) await printError(`${reasonOf(error)}; trying again\n`);
      hasFailed = true;
    }
    await sleep(pollMs, undefined, { signal: stop.signal }).catch(() => {});
  }
}

function idOf({ id }: Entry): string {
  return id;
}

const columns = [24, 9, 18, 28, 24] as const;
const headings = row(["TIME", "RESULT", "ACTION", "WHO", "FROM", "TARGET"]);

function lineOf({ time, result, action, actor, address, via, target, details: more, code }: Entry): string {
  const who =
    actor.id === null
      ? `${actor.kind}${actor.name === null ? "" : ` ${actor.name}`}`
      : `${actor.name ?? actor.kind} (${actor.id})`;
  const from = `${address ?? "-"}${via === null ? "" : ` via ${via}`}`;
  const circumstances = Object.entries(more).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return row([
    time,
    result,
    action,
    who,
    from,
    [target ?? "-", ...circumstances, ...(code === null ? [] : [code])].join(" "),
  ]);
}

/** The width of the columns is fixed, because entries arrive one by one. */
function row(texts: readonly string[]): string {
  return `${texts
    .map((text, index) => printable(text).padEnd(columns[index] ?? 0))
    .join("  ")
    .trimEnd()}\n`;
}
