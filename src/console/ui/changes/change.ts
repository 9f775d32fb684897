/** Events of the change feed, as the console shows them. Pure. */
import { changesTexts as words } from "../texts/changes.ts";

/** A CloudEvent of `GET /api/events`; only the members that the console uses. */
export interface ChangeEvent {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly offset: string;
  readonly traceparent?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface EventValue {
  readonly type: string;
  readonly id: string;
}

interface EventFact {
  readonly predicate: string;
  readonly args: readonly EventValue[];
}

interface EventKey {
  readonly id: string;
  readonly name?: string;
  readonly role?: string;
}

export interface Change {
  readonly event: ChangeEvent;
  /** What happened, in words. */
  readonly title: string;
  /** Its lines: `+` for what was added, `-` for what was removed; at most `linesMax`. */
  readonly lines: readonly string[];
  /** How many lines there are besides. */
  readonly more: number;
}

/** The newest changes that a list keeps. */
export const changesMax = 200;
/** Of a change in the list. */
export const listLinesMax = 3;
/** Of the page of one change. */
export const pageLinesMax = 500;

export function changeOf(event: ChangeEvent, linesMax: number): Change {
  const { title, lines } = contentOf(event, linesMax + 1);
  const all = lineCount(event);
  return { event, title, lines: lines.slice(0, linesMax), more: Math.max(0, all - linesMax) };
}

/** The list with newer changes, the newest first. Streams repeat no event, but a list can overlap with a stream. */
export function withNewer(changes: readonly Change[], arrived: readonly Change[]): readonly Change[] {
  const newest = Number(changes[0]?.event.offset ?? 0);
  const newer = arrived.filter(({ event }) => Number(event.offset) > newest);
  return newer.length === 0 ? changes : [...newer.toReversed(), ...changes].slice(0, changesMax);
}

/** The id of the trace of a change; undefined if it was not recorded. */
export function traceIdOf({ traceparent }: ChangeEvent): string | undefined {
  return /^00-([0-9a-f]{32})-/.exec(traceparent ?? "")?.[1];
}

function contentOf(event: ChangeEvent, linesMax: number): Pick<Change, "title" | "lines"> {
  const { type, data = {} } = event;
  switch (type) {
    case "ostiary.facts.changed": {
      const [inserted, deleted] = [listIn<EventFact>(data, "inserted"), listIn<EventFact>(data, "deleted")];
      return {
        title: words.facts(inserted.length, deleted.length),
        lines: [
          ...inserted.slice(0, linesMax).map((fact) => `+ ${factText(fact)}`),
          ...deleted.slice(0, linesMax).map((fact) => `- ${factText(fact)}`),
        ].slice(0, linesMax),
      };
    }
    case "ostiary.facts.cleared":
      return { title: words.cleared, lines: [] };
    case "ostiary.policy.loaded": {
      const { id, filename, author, message } = data as {
        readonly id?: number;
        readonly filename?: string | null;
        readonly author?: { readonly id: string; readonly name: string | null } | null;
        readonly message?: string | null;
      };
      const by = author ? [words.author(author.name ?? author.id)] : [];
      return { title: words.policy(String(id ?? ""), filename ?? ""), lines: [...by, ...(message ? [message] : [])] };
    }
    case "ostiary.keys.changed":
      return {
        title: words.keys,
        lines: [
          ...listIn<EventKey>(data, "added").map((key) => `+ ${keyText(key)}`),
          ...listIn<EventKey>(data, "removed").map((key) => `- ${keyText(key)}`),
        ],
      };
    case "ostiary.epoch.started":
      return { title: words.epoch(String((data as { readonly term?: number }).term ?? "")), lines: [] };
    default:
      // A later version of the node.
      return { title: type, lines: [] };
  }
}

function lineCount({ type, data = {} }: ChangeEvent): number {
  if (type !== "ostiary.facts.changed") return 0;
  return listIn(data, "inserted").length + listIn(data, "deleted").length;
}

function listIn<T>(data: Readonly<Record<string, unknown>>, name: string): readonly T[] {
  const list = data[name];
  return Array.isArray(list) ? (list as T[]) : [];
}

export function factText({ predicate, args }: EventFact): string {
  return `${predicate}(${args.map(valueText).join(", ")})`;
}

function valueText({ type, id }: EventValue): string {
  if (type === "String") return JSON.stringify(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}:${id}`;
}

function keyText({ id, name, role }: EventKey): string {
  return [id, ...(name === undefined ? [] : [JSON.stringify(name)]), ...(role === undefined ? [] : [role])].join(" ");
}
