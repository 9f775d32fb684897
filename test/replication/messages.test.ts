/** The fast checks of frequent messages accept only what the schemas accept, for every mutation of a valid message. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeEffect } from "../../src/log/event/event.ts";
import { decodeBatch } from "../../src/replication/transport/messages.ts";

const hash = "0123456789abcdef";
const fact = {
  predicate: "has_role",
  args: [
    { type: "User", id: "ann" },
    { type: "String", id: "reader" },
  ],
};
const effect = { kind: "facts", inserted: [fact], deleted: [fact], request: hash + hash };
const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const batch = {
  v: 1,
  s: "default",
  e: hash,
  n: 1,
  t: 2,
  p: 3,
  l: 4,
  h: hash,
  d: hash,
  ev: [
    [4, 5, "facts", JSON.stringify(effect), trace],
    [5, 6, "policy", "{}", null],
  ],
  c: [1000.125, null],
};

/** Values that can replace others. */
const strange = fc.constantFrom<unknown>(
  ...[
    null,
    true,
    "",
    "x",
    hash,
    hash.toUpperCase(),
    `${hash}0`,
    0,
    1,
    2,
    -1,
    1.5,
    2 ** 60,
    [],
    [[]],
    {},
    "x".repeat(65),
  ],
);

type Path = readonly (string | number)[];

function pathsIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, part]) =>
    pathsIn(part, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return [path, ...inner];
}

/** A copy with one value replaced, removed or added. */
function changed(value: unknown, path: Path, how: "put" | "drop" | "add", put: unknown): unknown {
  const copy: unknown = structuredClone(value);
  const last = path.at(-1);
  if (last === undefined) return how === "put" ? put : copy;
  const parent = path.slice(0, -1).reduce<unknown>((part, key) => (part as Record<string, unknown>)[key], copy);
  const holder = parent as Record<string, unknown>;
  if (how === "put") holder[last] = put;
  else if (how === "add") holder["more"] = put;
  else if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else delete holder[last];
  return copy;
}

const change = (value: unknown) =>
  fc.tuple(fc.constantFrom(...pathsIn(value)), fc.constantFrom("put", "drop", "add"), strange);

/**
 * The result of the schema alone: an unknown key at the top makes the fast check of effects fall back, and batches may
 * have one.
 */
test("of effects", () => {
  expect(decodeEffect(JSON.stringify(effect))).toEqual(effect as never);
  let refused = 0;
  const property = fc.property(change(effect), ([path, how, put]) => {
    const value = changed(effect, path, how, put);
    let accepted = true;
    try {
      decodeEffect(JSON.stringify(value));
    } catch {
      accepted = false;
      refused++;
    }
    expect({ value, accepted }).toEqual({ value, accepted: isEffect(value) });
  });
  fc.assert(property, { numRuns: 5000, seed: 3 });
  expect(refused).toBeGreaterThan(1000);
});

test("of batches", () => {
  expect(decodeBatch(JSON.stringify(batch))).toEqual({ message: batch as never });
  let refused = 0;
  const property = fc.property(change(batch), ([path, how, put]) => {
    const value = changed(batch, path, how, put);
    const decoded = decodeBatch(JSON.stringify(value));
    if ("problem" in decoded) refused++;
    expect({ value, accepted: "message" in decoded }).toEqual({ value, accepted: isBatch(value) });
  });
  fc.assert(property, { numRuns: 5000, seed: 4 });
  expect(refused).toBeGreaterThan(1000);
});

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
const isHash = (value: unknown): boolean => typeof value === "string" && /^[0-9a-f]{16}$/.test(value);
const isNumber = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isObject = (value: unknown, keys: readonly string[]): value is Record<string, unknown> =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  Bun.deepEquals(Object.keys(value).toSorted(), keys.toSorted());

/** The same rules, written slowly a second time. */
function isEffect(value: unknown): boolean {
  if (isObject(value, ["kind", "inserted", "deleted", "request"])) {
    const { request, ...rest } = value;
    return typeof request === "string" && /^[0-9a-f]{32}$/.test(request) && isEffect(rest);
  }
  // A member of one kind of effect with the name of another kind is not valid.
  if (!isObject(value, ["kind", "inserted", "deleted"]) || value["kind"] !== "facts") return false;
  return [value["inserted"], value["deleted"]].every((facts) => Array.isArray(facts) && facts.every(isFact));
}

function isFact(value: unknown): boolean {
  if (!isObject(value, ["predicate", "args"]) || !isText(value["predicate"])) return false;
  const args = value["args"];
  const isArg = (arg: unknown): boolean => isObject(arg, ["type", "id"]) && isText(arg["type"]) && isText(arg["id"]);
  return Array.isArray(args) && args.length > 0 && args.every(isArg);
}

function isBatch(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { v, s, e, n, t, p, l, h, d, ev, c } = value as Record<string, unknown>;
  const isRow = (row: unknown): boolean => {
    if (!Array.isArray(row) || row.length !== 5) return false;
    const [at, time, kind, body, traced] = row as unknown[];
    const isTraced = traced === null || (typeof traced === "string" && traced.length <= 64);
    return isNumber(at) && isNumber(time) && typeof kind === "string" && typeof body === "string" && isTraced;
  };
  return (
    v === 1 &&
    isText(s) &&
    [e, h].every(isHash) &&
    (d === null || isHash(d)) &&
    [n, t, p, l].every(isNumber) &&
    Array.isArray(ev) &&
    ev.length > 0 &&
    ev.every(isRow) &&
    (c === undefined ||
      (Array.isArray(c) && c.every((time) => time === null || (typeof time === "number" && time >= 0))))
  );
}
