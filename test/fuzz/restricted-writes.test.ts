/**
 * Writes of a key with restricted writes, compared with a model that knows single facts only: a write is permitted
 * exactly if every fact that it inserts, and every fact that a pattern of it could ever match, is permitted. A permitted
 * write has the same effect as that of a key without a restriction, and another one has none. `FUZZ_RUNS` sets the
 * number of samples and `FUZZ_SEED` the seed.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import type { FactChange } from "../../src/log/event/event.ts";
import { append, type WriteMeta } from "../../src/log/append/append.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { type KeySecret, rowOf, secretOf, type WriteRestriction } from "../../src/store/keys/key-grant.ts";
import { openLog } from "../../src/store/log/log.ts";
import { AppError } from "../../src/util/app-error.ts";
import type { Fact, FactPattern } from "../../src/store/facts/fact.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { allFacts, policy, storeWith } from "../engine/store.ts";

const arities: Readonly<Record<string, number>> = { p: 1, q: 2, r: 2 };
const primitives = ["String", "Integer", "Boolean"];
const ownTypes = ["User", "Org", "Repo"];
const allTypes = [...ownTypes, ...primitives];
const typings = (arity: number): string[] =>
  arity === 1 ? allTypes : allTypes.flatMap((first) => allTypes.map((second) => `${first}, ${second}`));
const declared = Object.entries(arities).flatMap(([name, arity]) =>
  typings(arity).map((types) => `declare ${name}(${types});`),
);
const source = `${ownTypes.map((name) => `resource ${name} {}`).join(" ")} ${declared.join(" ")}`;
/** A type that no restriction names: a fact can have it later. */
const laterType = "Later";
const ids: Readonly<Record<string, string>> = { Integer: "1", Boolean: "true" };

const predicate = fc.constantFrom(...Object.keys(arities));
const type = fc.constantFrom(...allTypes);
const idOf = (name: string) => fc.constantFrom(...(ids[name] === undefined ? ["1", "2"] : [ids[name]]));
const value = type.chain((name) => fc.record({ type: fc.constant(name), id: idOf(name) }));
const matcher = fc.oneof(
  value,
  type.map((name) => ({ type: name, id: null })),
  fc.constant({ type: null, id: null }),
);
const withArgs = <Arg>(arg: fc.Arbitrary<Arg>) =>
  predicate.chain((name) => {
    const arity = arities[name] ?? 1;
    return fc.array(arg, { minLength: arity, maxLength: arity }).map((args) => ({ predicate: name, args }));
  });
const fact: fc.Arbitrary<Fact> = withArgs(value);
const pattern: fc.Arbitrary<FactPattern> = withArgs(matcher);
const change: fc.Arbitrary<FactChange> = fc.oneof(
  fc.array(fact, { maxLength: 3 }).map((inserts) => ({ inserts })),
  fc.array(pattern, { maxLength: 2 }).map((deletes) => ({ deletes })),
);
const some = (names: readonly string[]) =>
  fc.option(fc.subarray([...names], { minLength: 1 }), { nil: undefined, freq: 4 });
const restriction: fc.Arbitrary<WriteRestriction> = fc
  .record({ predicates: some([...Object.keys(arities), "other"]), types: some([...ownTypes, "Unused", "String"]) })
  .filter(({ predicates, types }) => (predicates ?? types) !== undefined);

/** The model. */
function isPermitted({ predicates, types }: WriteRestriction, one: Fact): boolean {
  if (predicates !== undefined && !predicates.includes(one.predicate)) return false;
  return types === undefined || one.args.every((arg) => primitives.includes(arg.type) || types.includes(arg.type));
}

/** One fact for each combination of types that the pattern can match. */
function matchable({ predicate: name, args }: FactPattern): Fact[] {
  const types = args.map((arg) => (arg.type === null ? [...allTypes, laterType] : [arg.type]));
  const combinations = types.reduce<string[][]>(
    (all, next) => all.flatMap((one) => next.map((each) => [...one, each])),
    [[]],
  );
  return combinations.map((each) => ({ predicate: name, args: each.map((kind) => ({ type: kind, id: "1" })) }));
}

const touched = (one: FactChange): readonly Fact[] => ("inserts" in one ? one.inserts : one.deletes.flatMap(matchable));

const textsOf = (store: Connection): string[] =>
  allFacts(store)
    .map((each) => JSON.stringify(each))
    .toSorted();

function write(store: Connection, changes: readonly FactChange[], meta: Partial<WriteMeta> = {}): "done" | "refused" {
  try {
    const request = { kind: "batch", changes } as const;
    store.transaction(() => append(store, openLog(store), request, { traceparent: null, ...meta }, defaultLimits));
    return "done";
  } catch (error) {
    if (error instanceof AppError && error.code === "forbidden") return "refused";
    throw error;
  }
}

test.each(seededRuns(20_261, 60))(
  "writes of restricted keys are as the model says",
  ({ seed, runs, isKnown }) => {
    const outcomes = { done: 0, refused: 0 };
    fc.assert(
      fc.property(
        restriction,
        fc.array(fact, { maxLength: 8 }),
        fc.array(change, { maxLength: 4 }),
        (limits, stored, changes) => {
          const [restricted, free] = [storeWith(policy(source)), storeWith(policy(source))];
          for (const store of [restricted, free]) write(store, [{ inserts: stored }]);
          const before = textsOf(restricted);
          const expected = changes.flatMap(touched).every((each) => isPermitted(limits, each)) ? "done" : "refused";
          // As it arrives at the node that applies it: from a row of the log.
          const key: KeySecret = {
            id: "k",
            name: "key",
            hash: "0".repeat(64),
            timeMs: 1,
            role: "write",
            restriction: limits,
          };
          const outcome = write(restricted, changes, { restriction: secretOf(rowOf(key))?.restriction });
          expect(outcome).toBe(expected);
          outcomes[outcome] += 1;
          if (outcome === "done") write(free, changes);
          const after = textsOf(restricted);
          expect(after).toEqual(textsOf(free));
          const difference = [
            ...before.filter((each) => !after.includes(each)),
            ...after.filter((each) => !before.includes(each)),
          ];
          expect(difference.filter((each) => !isPermitted(limits, JSON.parse(each) as Fact))).toEqual([]);
          restricted.close();
          free.close();
        },
      ),
      { numRuns: runs, seed },
    );
    console.log(`seed ${seed}, ${runs} runs:`, JSON.stringify(outcomes));
    expect(outcomes.done).toBeGreaterThanOrEqual(quota(runs, 0.1, isKnown));
    expect(outcomes.refused).toBeGreaterThanOrEqual(quota(runs, 0.1, isKnown));
  },
  randomTestMs,
);
