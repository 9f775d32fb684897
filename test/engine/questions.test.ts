/** Invalid questions: both ways of answering refuse them, because a comparison would misinterpret the values. */
import { expect, test } from "bun:test";
import { Engine } from "../../src/engine/engine.ts";
import { AppError } from "../../src/util/app-error.ts";
import { fact, inserted, policy, storeWith } from "./store.ts";

const rules = `actor User {} resource Doc {}
young(age: Integer) if age < 18;
old(age: Integer) if not young(age);
adult(b: Boolean) if b = true;
has_permission(u: User, "p", _: Doc) if age(u, n) and young(n);`;

test.each(["statement", "evaluator"] as const)("values that are not valid for their type, by %s", (strategy) => {
  const engine = new Engine(storeWith(policy(rules), inserted(fact("age", "User:ann", "Integer:7"))), { strategy });
  const ask = (predicate: string, type: string, ids: string[]): number =>
    engine.query({
      calls: [{ predicate, variables: ["n"] }],
      variables: new Map([["n", { type, ids }]]),
      contextFacts: [],
    }).length;
  expect(ask("young", "Integer", ["17"])).toBe(1);
  expect(ask("young", "Integer", ["-3", "17", "18"])).toBe(2);
  expect(ask("old", "Integer", ["17"])).toBe(0);
  for (const id of ["abc", "", "007", "1.5", "+1", "99999999999999999999", "0x1f", " 5"]) {
    for (const predicate of ["young", "old"]) {
      for (const ids of [[id], ["3", id]]) {
        let refusal: unknown;
        try {
          ask(predicate, "Integer", ids);
        } catch (error) {
          refusal = error;
        }
        expect(refusal, `${predicate}(${ids.join()})`).toBeInstanceOf(AppError);
        expect(refusal).toMatchObject({
          code: "invalid_request",
          message: `\`${id}\` is not a 64-bit integer in decimal form`,
        });
      }
    }
  }
  expect(() => ask("adult", "Boolean", ["yes"])).toThrow("`yes` is not a boolean; use `true` or `false`");
  engine.close();
});
