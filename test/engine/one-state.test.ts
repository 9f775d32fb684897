/** Questions that the engine answers in parts: all parts see the same state and the same second. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { Engine } from "../../src/engine/engine.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { apply, fact, inserted, policy, storeWith } from "./store.ts";

const source = `actor User {}
  actor Bot {}
  resource Door { permissions = ["enter"]; }
  valid(user: User) if end matches Integer and until(user, end) and @current_unix_time < end;
  valid(bot: Bot) if end matches Integer and until(bot, end) and @current_unix_time < end;
  allow(actor: Actor, "enter", _: Door) if valid(actor);
`;
const ann = { type: "User", id: "ann" };
const door = { type: "Door", id: "1" };

test("the resources of a question belong to one state, although the facts change meanwhile", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-state-"));
  const path = join(folder, "data.db");
  const writer = openStore(path, { synchronous: "NORMAL" });
  createState(writer, "test", "0000000000000001");
  const mayEnter = (id: string) => fact("has_permission", "User:ann", "String:enter", `Door:${id}`);
  const plain = `actor User {}
    resource Door { permissions = ["enter"]; }
    allow(user: User, "enter", door: Door) if has_permission(user, "enter", door);`;
  apply(writer, policy(plain), inserted(mayEnter("1")));
  const engine = new Engine(openStore(path, { readonly: true }), { clock: () => 10 });
  try {
    const resources = [door, { type: "Door", id: "2" }];
    Object.defineProperty(resources, 1, {
      get() {
        apply(writer, { kind: "facts", inserted: [mayEnter("2")], deleted: [mayEnter("1")] });
        return { type: "Door", id: "2" };
      },
    });
    expect(engine.authorizeResources({ actor: ann, action: "enter", resources, contextFacts: [] })).toEqual([door]);
  } finally {
    engine.close();
    writer.close();
    rmSync(folder, { recursive: true });
  }
});

/** The clock moves on each time it is read, and the facts are valid for its first second only. */
function engineWithMovingClock(): Engine {
  let now = 9;
  const store = storeWith(
    policy(source),
    inserted(fact("until", "User:ann", "Integer:11"), fact("until", "Bot:b", "Integer:11")),
  );
  return new Engine(store, { inTransaction: true, clock: () => (now += 1) });
}

test("the typings of a pattern", () => {
  const any = { predicate: "valid", args: [{ type: null, id: null }] };
  const found = engineWithMovingClock().queryPattern({ fact: any, contextFacts: [] });
  expect(found.map(({ args: [arg] }) => arg?.type).toSorted()).toEqual(["Bot", "User"]);
});

test("the questions about actions", () => {
  const question = { actor: ann, resource: door, contextFacts: [] };
  const answers = engineWithMovingClock().bulkActions({ questions: [question, question], contextFacts: [] });
  expect(answers).toEqual([{ results: ["enter"] }, { results: ["enter"] }]);
});

test("the resources", () => {
  const other = { type: "Door", id: "2" };
  const question = { actor: ann, action: "enter", resources: [door, other], contextFacts: [] };
  expect(engineWithMovingClock().authorizeResources(question)).toEqual([door, other]);
});
