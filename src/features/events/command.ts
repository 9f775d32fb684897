/** `ostiary events`: prints the events of a running node as text lines or as JSON. */
import type { Command } from "commander";
import { z } from "zod";
import { eventEndpoints } from "./endpoints.ts";
import { nodeEndpoints } from "../nodes/endpoints.ts";
import { formatValue } from "../../engine/explain/atom.ts";
import { print, printError, printUntilClosed, stopSignal } from "../../runtime/process.ts";
import { unreachable } from "../../util/assert.ts";
import { printable } from "../../util/printable.ts";
import { UsageError, type AddCommand } from "../../cli/command.ts";
import { followEvents } from "../../cli/follow-events.ts";
import { accessOf, callEndpoint, withAccess, type NodeAccess } from "../../cli/node-api.ts";
import { table } from "../../cli/table.ts";

const details = `
A position is an offset or, better, the id of an event (\`epoch:offset\`), which is refused if it does not belong to the
history of the node. The status is 1 if the log does not contain the position any more, or if no history has it.

Examples:
  ostiary events                          all events in the log of the node
  ostiary events --follow                 new events until Ctrl-C; it reconnects after an interruption and misses none
  ostiary events --applied 1000           when each node had the event with this offset
  ostiary events --after 1000 --follow --json | jq 'select(.type == "ostiary.facts.changed") | .data'`;

interface Options {
  readonly follow?: true;
  readonly after?: string;
  readonly applied?: string;
  readonly json?: true;
}

export const eventsCommand: AddCommand = (program) => {
  const command = program
    .command("events")
    .description("Print the changes of facts, policy and API keys on a running node, in order")
    .option("--follow", "Print new events as they occur")
    .option("--after <position>", "Begin after this position (default: the whole log; with --follow, now)")
    .option("--applied <offset>", "Print when each node had applied the event with this offset")
    .option("--json", "Print CloudEvents, or the nodes of --applied, one per line");
  withAccess(command, eventEndpoints.getEvents)
    .addHelpText("after", details)
    .action(async ({ follow, after, applied, json }: Options, self: Command) => {
      if (applied !== undefined && !/^[1-9]\d{0,14}$/.test(applied))
        throw new UsageError(`\`${applied}\` is not the offset of an event`);
      if (applied !== undefined && (follow || after !== undefined))
        throw new UsageError("`--applied` shows one event; omit `--follow` and `--after`");
      if (after !== undefined && !/^(?:[0-9a-f]{16}:)?\d{1,15}$/.test(after))
        throw new UsageError(`\`${after}\` is not a position in a log; use an offset or the id of an event`);
      const access = accessOf(self);
      if (applied !== undefined) return printApplied(access, applied, json);
      const textOf = (event: unknown): string => (json ? `${JSON.stringify(event)}\n` : eventLines(event));
      const headings = json ? "" : eventHeadings;
      if (follow) {
        await printUntilClosed(headings);
        return followAll(access, after, textOf);
      }
      await printAll(access, after, textOf, headings);
    });
};

async function printApplied(access: NodeAccess, offset: string, json: true | undefined): Promise<void> {
  const { nodes } = await callEndpoint(access, nodeEndpoints.getEventApplied, { params: { offset } });
  if (json) return print(nodes.map((node) => `${JSON.stringify(node)}\n`).join(""));
  const stateOf = (hasEvent: boolean | null): string =>
    hasEvent === null ? "not known" : hasEvent ? "yes, when is not known" : "not yet";
  const rows = nodes.map(({ node, role, has_event, applied, after_ms }) => [
    node,
    role,
    applied ?? stateOf(has_event),
    after_ms === null ? "-" : `${after_ms} ms`,
  ]);
  return print(table(["NODE", "ROLE", "APPLIED", "AFTER COMMIT"], rows));
}

async function printAll(
  access: NodeAccess,
  after: string | undefined,
  textOf: (event: unknown) => string,
  headings: string,
): Promise<void> {
  let [position, heading] = [after, headings];
  for (;;) {
    const query = { limit: 1000, after: position };
    const { events, next, head } = await callEndpoint(access, eventEndpoints.getEvents, { query });
    if (!(await printUntilClosed(heading + events.map(textOf).join("")))) return;
    heading = "";
    if (next === head || events.length === 0) return;
    position = next;
  }
}

async function followAll(
  access: NodeAccess,
  after: string | undefined,
  textOf: (event: unknown) => string,
): Promise<void> {
  const stop = new AbortController();
  void stopSignal().then(() => stop.abort());
  await followEvents(access, after, {
    signal: stop.signal,
    async onEvent(event) {
      if (!(await printUntilClosed(textOf(event)))) stop.abort();
    },
    onInterruption: (reason) => printError(`${reason}; trying again\n`),
  });
}

/** The maximum number of changes shown of one event. */
const changesMax = 50;

const fact = z.object({ predicate: z.string(), args: z.array(z.object({ type: z.string(), id: z.string() })) });
const key = z.object({
  id: z.string(),
  name: z.string().optional(),
  role: z.string().optional(),
  expires: z.string().optional(),
  replaced: z.boolean().optional(),
  expired: z.boolean().optional(),
});
/** Nodes of release 0.1.0 send neither author nor message. */
const author = z.object({ id: z.string(), name: z.string().nullable() });
const common = { time: z.string(), offset: z.string() };

const knownEvent = z.discriminatedUnion("type", [
  z.object({
    ...common,
    type: z.literal("ostiary.facts.changed"),
    data: z.object({ inserted: z.array(fact), deleted: z.array(fact) }),
  }),
  z.object({ ...common, type: z.literal("ostiary.facts.cleared") }),
  z.object({
    ...common,
    type: z.literal("ostiary.policy.loaded"),
    data: z.object({
      id: z.number(),
      filename: z.string().nullable(),
      source: z.string(),
      author: author.nullish(),
      message: z.string().nullish(),
    }),
  }),
  z.object({
    ...common,
    type: z.literal("ostiary.keys.changed"),
    data: z.object({ added: z.array(key), removed: z.array(key) }),
  }),
  z.object({
    ...common,
    type: z.literal("ostiary.bindings.changed"),
    data: z.object({ stored: z.array(z.string()), removed: z.array(z.string()) }),
  }),
  z.object({ ...common, type: z.literal("ostiary.epoch.started"), data: z.object({ epoch: z.string() }) }),
]);
type KnownEvent = z.output<typeof knownEvent>;
const anyEvent = z.object({ ...common, type: z.string() });

/** The headings of the columns. */
const eventHeadings = `${"TIME".padEnd(24)}  ${"OFFSET".padStart(8)}  CHANGE\n`;

/** Returns complete lines. An unknown event, from a newer node, has at least its type. */
function eventLines(event: unknown): string {
  const parsed = knownEvent.safeParse(event).data;
  const named = parsed ?? anyEvent.safeParse(event).data;
  if (named === undefined) return `${printable(JSON.stringify(event))}\n`;
  const changes = parsed === undefined ? [named.type] : changesOf(parsed);
  const more = changes.length - changesMax;
  const shown = more > 0 ? [...changes.slice(0, changesMax), `… ${more} more changes; --json has all`] : changes;
  return shown
    .map((change) => `${printable(named.time)}  ${printable(named.offset).padStart(8)}  ${printable(change)}\n`)
    .join("");
}

function changesOf(event: KnownEvent): string[] {
  switch (event.type) {
    case "ostiary.facts.changed":
      return [
        ...event.data.inserted.map((inserted) => `+ ${factText(inserted)}`),
        ...event.data.deleted.map((deleted) => `- ${factText(deleted)}`),
      ];
    case "ostiary.facts.cleared":
      return ["all facts deleted"];
    case "ostiary.policy.loaded": {
      const { id, filename, source, author: by, message } = event.data;
      const lines = source.split("\n").length - (source.endsWith("\n") ? 1 : 0);
      const size = `${lines} ${lines === 1 ? "line" : "lines"}`;
      const uploaded = `${by ? ` by ${keyText({ id: by.id, name: by.name ?? undefined })}` : ""}${message ? `: ${message}` : ""}`;
      return [`policy ${filename || "without a name"} loaded (number ${id}, ${size})${uploaded}`];
    }
    case "ostiary.keys.changed":
      return [
        ...event.data.added.map((added) => `+ ${keyText(added)}`),
        ...event.data.removed.map((removed) => `- ${keyText(removed)}`),
      ];
    case "ostiary.bindings.changed":
      return [
        ...event.data.stored.map((name) => `+ data bindings ${name}`),
        ...event.data.removed.map((name) => `- data bindings ${name}`),
      ];
    case "ostiary.epoch.started":
      return [`epoch ${event.data.epoch} began`];
    default:
      return unreachable(event);
  }
}

function factText({ predicate, args }: z.output<typeof fact>): string {
  return `${predicate}(${args.map(formatValue).join(", ")})`;
}

function keyText({ id, name, role, expires, replaced, expired }: z.output<typeof key>): string {
  const end = expires === undefined ? [] : [expired === true ? "expired" : `until ${expires}`];
  const marks = [...(role === undefined ? [] : [role]), ...(replaced === true ? ["replaced secret"] : []), ...end];
  return `key ${id}${name === undefined ? "" : ` ${JSON.stringify(name)}`}${marks.length === 0 ? "" : ` (${marks.join(", ")})`}`;
}
