/** Events of the change feed, as the console shows them. Pure. */
import { type Fact, formatFact } from "../facts/fact-text.ts";
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

interface EventKey {
  readonly id: string;
  readonly name?: string;
  readonly role?: string;
}

export interface Change {
  /** Without its content, which can be large: a list keeps many changes. */
  readonly event: Pick<ChangeEvent, "id" | "time" | "offset">;
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
  const { id, time, offset } = event;
  const { title, lines } = contentOf(event);
  const shown = lines.slice(0, linesMax).map((line) => line());
  return { event: { id, time, offset }, title, lines: shown, more: lines.length - shown.length };
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

/** The lines are functions, because a change can have many more than are shown. */
function contentOf(event: ChangeEvent): { readonly title: string; readonly lines: readonly (() => string)[] } {
  const { type, data = {} } = event;
  switch (type) {
    case "ostiary.facts.changed": {
      const [inserted, deleted] = [listIn<Fact>(data, "inserted"), listIn<Fact>(data, "deleted")];
      return {
        title: words.facts(inserted.length, deleted.length),
        lines: [
          ...inserted.map((fact) => () => `+ ${formatFact(fact)}`),
          ...deleted.map((fact) => () => `- ${formatFact(fact)}`),
        ],
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
      const by = author ? [() => words.author(author.name ?? author.id)] : [];
      return {
        title: words.policy(String(id ?? ""), filename ?? ""),
        lines: [...by, ...(message ? [() => message] : [])],
      };
    }
    case "ostiary.keys.changed":
      return {
        title: words.keys,
        lines: [
          ...listIn<EventKey>(data, "added").map((key) => () => `+ ${keyText(key)}`),
          ...listIn<EventKey>(data, "removed").map((key) => () => `- ${keyText(key)}`),
        ],
      };
    case "ostiary.epoch.started":
      return { title: words.epoch(String((data as { readonly term?: number }).term ?? "")), lines: [] };
    default:
      // A later version of the node.
      return { title: type, lines: [] };
  }
}

function listIn<T>(data: Readonly<Record<string, unknown>>, name: string): readonly T[] {
  const list = data[name];
  return Array.isArray(list) ? (list as T[]) : [];
}

function keyText({ id, name, role }: EventKey): string {
  return [id, ...(name === undefined ? [] : [JSON.stringify(name)]), ...(role === undefined ? [] : [role])].join(" ");
}
