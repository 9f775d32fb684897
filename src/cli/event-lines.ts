/** An event of the change feed as text lines with its time, its offset and its changes. */
import { z } from "zod";
import { formatValue } from "../engine/explain/atom.ts";
import { unreachable } from "../util/assert.ts";
import { printable } from "../util/printable.ts";

/** The maximum number of changes shown of one event. */
const changesMax = 50;

const fact = z.object({ predicate: z.string(), args: z.array(z.object({ type: z.string(), id: z.string() })) });
const key = z.object({ id: z.string(), name: z.string().optional(), role: z.string().optional() });
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
    data: z.object({ id: z.number(), filename: z.string().nullable(), source: z.string() }),
  }),
  z.object({
    ...common,
    type: z.literal("ostiary.keys.changed"),
    data: z.object({ added: z.array(key), removed: z.array(key) }),
  }),
  z.object({ ...common, type: z.literal("ostiary.epoch.started"), data: z.object({ epoch: z.string() }) }),
]);
type KnownEvent = z.output<typeof knownEvent>;
const anyEvent = z.object({ ...common, type: z.string() });

/** The headings of the columns. */
export const eventHeadings = `${"TIME".padEnd(24)}  ${"OFFSET".padStart(8)}  CHANGE\n`;

/** Returns complete lines. An unknown event, from a newer node, has at least its type. */
export function eventLines(event: unknown): string {
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
      const { id, filename, source } = event.data;
      const lines = source.split("\n").length - (source.endsWith("\n") ? 1 : 0);
      return [
        `policy ${filename || "without a name"} loaded (number ${id}, ${lines} ${lines === 1 ? "line" : "lines"})`,
      ];
    }
    case "ostiary.keys.changed":
      return [
        ...event.data.added.map((added) => `+ ${keyText(added)}`),
        ...event.data.removed.map((removed) => `- ${keyText(removed)}`),
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

function keyText({ id, name, role }: z.output<typeof key>): string {
  return `key ${id}${name === undefined ? "" : ` ${JSON.stringify(name)}`}${role === undefined ? "" : ` (${role})`}`;
}
