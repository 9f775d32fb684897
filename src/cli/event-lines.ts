/** An event of the change feed as lines for people: when, at which offset, what. */
import { z } from "zod";
import { formatValue } from "../engine/explain/atom.ts";
import { unreachable } from "../util/assert.ts";
import { printable } from "../util/printable.ts";

/** Of a large event only so many changes are shown. */
const changesMax = 50;

const fact = z.object({ predicate: z.string(), args: z.array(z.object({ type: z.string(), id: z.string() })) });
const key = z.object({ id: z.string(), name: z.string().optional(), role: z.string().optional() });
const common = { time: z.string(), offset: z.string() };

const known = z.discriminatedUnion("type", [
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
type Known = z.output<typeof known>;
const any = z.object({ ...common, type: z.string() });

/** Above the lines. */
export const eventHeadings = `${"TIME".padEnd(24)}  ${"OFFSET".padStart(8)}  CHANGE\n`;

/** Whole lines. An event that this program does not know, of a newer node, is named at least. */
export function eventLines(event: unknown): string {
  const told = known.safeParse(event).data;
  const named = told ?? any.safeParse(event).data;
  if (named === undefined) return `${printable(JSON.stringify(event))}\n`;
  const changes = told === undefined ? [named.type] : changesOf(told);
  const more = changes.length - changesMax;
  const shown = more > 0 ? [...changes.slice(0, changesMax), `… ${more} more changes; --json has all`] : changes;
  return shown
    .map((change) => `${printable(named.time)}  ${printable(named.offset).padStart(8)}  ${printable(change)}\n`)
    .join("");
}

function changesOf(event: Known): string[] {
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
