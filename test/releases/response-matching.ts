/**
 * Compares a response of today with a recorded one. Later versions may add members; they may not remove or change any.
 */
import type { Exchange } from "./recorded.ts";

/** Members with a time, a random value or a text for people: only their type is compared. */
const unstable: ReadonlySet<string> = new Set(["head", "next_page_token", "message", "last_used"]);
const unstableInKeys: ReadonlySet<string> = new Set(["id", "token", "created"]);

export interface ActualResponse {
  readonly status: number;
  readonly answer: unknown;
}

/** Routes that release 0.1.0 refused, and that later ones have. */
const laterRoutes: ReadonlySet<string> = new Set(["/api/bulk_load"]);

/**
 * The difference, as a path and both values; undefined if there is none. `isRepeated`: the write was made again, with
 * other keys.
 */
export function difference(
  recorded: Exchange,
  { status, answer }: ActualResponse,
  isRepeated = false,
): string | undefined {
  const where = `${recorded.method} ${recorded.path}`;
  if (recorded.status === 404 && laterRoutes.has(recorded.path)) return undefined;
  if (status !== recorded.status) return `${where}: status ${status}, recorded is ${recorded.status}`;
  const ofKeys = isRepeated && recorded.path.startsWith("/api/keys");
  const isRefusal = status >= 400;
  const found = compare(recorded.answer, answer, (name) => {
    // The text of an error may improve.
    if (isRefusal || unstable.has(name)) return true;
    return ofKeys && unstableInKeys.has(name);
  });
  return found === undefined ? undefined : `${where}${found}`;
}

function compare(recorded: unknown, found: unknown, isLoose: (name: string) => boolean): string | undefined {
  if (Array.isArray(recorded)) {
    if (!Array.isArray(found) || found.length !== recorded.length) return differs(recorded, found);
    return firstOf(recorded, (value, index) => at(index, compare(value, found[index], isLoose)));
  }
  if (!isObject(recorded)) return Object.is(recorded, found) ? undefined : differs(recorded, found);
  if (!isObject(found)) return differs(recorded, found);
  return firstOf(Object.entries(recorded), ([name, value]) => {
    const other = found[name];
    if (isLoose(name)) return at(name, typeof value === typeof other ? undefined : differs(value, other));
    return at(name, compare(value, other, isLoose));
  });
}

function firstOf<T>(values: readonly T[], check: (value: T, index: number) => string | undefined): string | undefined {
  for (const [index, value] of values.entries()) {
    const problem = check(value, index);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

const at = (member: string | number, problem: string | undefined): string | undefined =>
  problem === undefined ? undefined : `.${member}${problem}`;

const differs = (recorded: unknown, found: unknown): string =>
  `: ${JSON.stringify(found)}, recorded is ${JSON.stringify(recorded)}`;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
