/**
 * The decision cache is never stale. A caching engine is asked repeatedly while facts, policy and time change, and its
 * answers are compared with the oracle, which caches nothing. `DECISION_CACHE_STEPS` is the number of questions,
 * `DECISION_CACHE_SEED` the seed.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { pageOf } from "../../src/engine/request/packed-strings.ts";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import type { Policy } from "../../src/polar/policy.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { newSequenceLock, whileWriting } from "../../src/store/connection/sequence-lock.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { must } from "../../src/util/assert.ts";
import { quota, randomTestMs, seededRuns } from "../seeds.ts";
import { oracle } from "../oracle.ts";
import { untraced } from "../replication/cluster.ts";
import { decisionCacheHits } from "./decision-cache-hits.ts";
import { apply, deleted, fact, inserted, policy as load } from "./store.ts";
import { realSystem } from "../../src/replication/system.ts";

const head = `
  actor User {}
  resource Team {}
  resource Folder {
    roles = ["reader", "writer"];
    permissions = ["read", "write"];
    relations = { parent: Folder };
    "reader" if "writer";
    "read" if "reader";
    "write" if "writer";
    role if role on "parent";
  }
  has_role(user: User, role: String, folder: Folder) if
    team matches Team and granted(team, role, folder) and member(user, team);
  has_role(user: User, role: String, folder: Folder) if
    ends matches Integer and lent(user, role, folder, ends) and @current_unix_time < ends;`;
const policies = [
  `${head} allow(user: User, action: String, folder: Folder) if has_permission(user, action, folder) and not banned(user);
    declare closed(Folder, Integer);`,
  `${head} allow(user: User, action: String, folder: Folder) if has_permission(user, action, folder) and not sealed(folder);
    sealed(folder: Folder) if ends matches Integer and closed(folder, ends) and @current_unix_time < ends;
    declare banned(User);`,
];
const users = ["ann", "bob", "cat"];
const folders = ["a", "b", "c"];
const actions = ["read", "write", "fly"];

type TestFact = ReturnType<typeof fact>;
const all: TestFact[] = [
  ...users.flatMap((user) => [
    fact("banned", `User:${user}`),
    fact("member", `User:${user}`, "Team:t"),
    ...folders.flatMap((folder) => [
      fact("has_role", `User:${user}`, "String:reader", `Folder:${folder}`),
      ...["102", "105"].map((ends) =>
        fact("lent", `User:${user}`, "String:writer", `Folder:${folder}`, `Integer:${ends}`),
      ),
    ]),
  ]),
  ...folders.flatMap((folder) => [
    fact("granted", "Team:t", "String:writer", `Folder:${folder}`),
    fact("closed", `Folder:${folder}`, "Integer:104"),
    ...folders.map((other) => fact("has_relation", `Folder:${folder}`, "String:parent", `Folder:${other}`)),
  ]),
];
const questions: AuthorizeQuestion[] = users.flatMap((user) =>
  actions.flatMap((action) =>
    folders.map((folder) => ({
      actor: { type: "User", id: user },
      action,
      resource: { type: "Folder", id: folder },
      contextFacts: [],
    })),
  ),
);

function truthOf(policy: Policy, facts: Iterable<string>, now: number): boolean[] {
  const values = questions.flatMap(({ actor, action, resource }) => [actor, { type: "String", id: action }, resource]);
  const slow = oracle(policy, { facts: [...facts].map((text) => JSON.parse(text)), now, values });
  return questions.map(({ actor, action, resource }) =>
    slow.holds("allow", [actor, { type: "String", id: action }, resource]),
  );
}

function compiled(source: string): Policy {
  return must(checkPolicy([{ name: "decisions.polar", text: source }], { runTests: false }).policy);
}

const runs = seededRuns(20_271, 12_000, { seed: "DECISION_CACHE_SEED", runs: "DECISION_CACHE_STEPS" });

/** Random whole numbers below a bound; the same seed gives the same numbers. */
function drawing(from: number): (bound: number) => number {
  let state = from;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** The question without a request body, or with one of two bodies that mean the same. */
function ask(engine: Engine, question: AuthorizeQuestion, as: number): boolean {
  if (as === 0) return engine.authorize(question);
  const text = `${JSON.stringify(question)}${" ".repeat(as)}`;
  return engine.cachedDecision(text) ?? engine.authorize({ ...question, text });
}

describe.each(runs)("with seed $seed, cached decisions are right", ({ seed, runs: steps }) => {
  test.each([
    ["with room for all", 100_000],
    ["with room for a few", 16],
  ])(
    `through changes of facts, policy and clock, ${steps} times, %s`,
    async (_, decisionCacheEntriesMax) => {
      const folder = mkdtempSync(join(tmpdir(), "ostiary-decision-cache-"));
      const store = openStore(join(folder, "data.db"), { synchronous: "NORMAL" });
      createState(store, "test", "test");
      const reader = openStore(join(folder, "data.db"), { readonly: true });
      let now = 100;
      const engine = new Engine(reader, { limits: { ...defaultLimits, decisionCacheEntriesMax }, clock: () => now });
      const draw = drawing(seed);
      const before = await decisionCacheHits();
      const present = new Set<string>();
      const asts = policies.map(compiled);
      let [version, active] = [1, 0];
      apply(store, load(must(policies[active]), version));
      let allowed = 0;
      for (let asked = 0; asked < steps;) {
        const change = draw(20);
        if (change === 0) now = now > 106 ? 100 : now + 1;
        else if (change === 1) {
          active = 1 - active;
          apply(store, load(must(policies[active]), ++version));
        } else if (change === 2 && draw(5) === 0) {
          present.clear();
          apply(store, { kind: "clear" });
        } else {
          const one = must(all[draw(all.length)]);
          const text = JSON.stringify(one);
          if (present.delete(text)) apply(store, deleted(one));
          else {
            present.add(text);
            apply(store, inserted(one));
          }
        }
        const truth = truthOf(must(asts[active]), present, now);
        for (const end = asked + 20 + draw(500); asked < end; asked++) {
          const index = draw(questions.length);
          const answer = ask(engine, must(questions[index]), draw(3));
          allowed += Number(answer);
          if (answer !== truth[index])
            throw new Error(
              `step ${asked}, seed ${seed}: ${JSON.stringify(questions[index])} is ${answer} at ${now} with ${[...present].join(" ")}`,
            );
        }
      }
      const hits = (await decisionCacheHits()) - before;
      console.log(`seed ${seed}, ${steps} questions: ${allowed} allowed, ${hits} from the cache`);
      // Between two changes there are 270 questions on average.
      const states = steps / 270;
      expect(allowed).toBeGreaterThanOrEqual(quota(states, 15));
      expect(hits).toBeGreaterThanOrEqual(quota(states, decisionCacheEntriesMax > 100 ? 70 : 6));
      engine.close();
      store.close();
      rmSync(folder, { recursive: true });
    },
    randomTestMs,
  );

  test("while another thread writes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostiary-decision-cache-"));
    const path = join(folder, "store-1.db");
    const writer = new Writer({ environment: "test", synchronous: "NORMAL", limits: defaultLimits }, realSystem);
    const draw = drawing(seed);
    const source = must(policies[0]);
    await writer.open(path);
    await writer.write({ kind: "policy", source, filename: null, force: true }, untraced);
    const engine = new Engine(openStore(path, { readonly: true }), { clock: () => 100, changes: writer.changes });
    const policy = compiled(source);
    const present = new Set<string>();
    /** The facts by offset. */
    const truths = new Map([[1, truthOf(policy, present, 100)]]);
    let compared = 0;
    let seen = 0;
    const writes = 100;
    for (let write = 0; write < writes; write++) {
      const one = must(all[draw(all.length)]);
      const text = JSON.stringify(one);
      const change = present.has(text) ? { deletes: [one] } : { inserts: [one] };
      if (!present.delete(text)) present.add(text);
      truths.set(write + 2, truthOf(policy, present, 100));
      let isDone = false;
      const written = writer.write({ kind: "batch", changes: [change] }, untraced).finally(() => (isDone = true));
      while (!isDone) {
        const { offset } = engine.state();
        const index = draw(questions.length);
        const answer = ask(engine, must(questions[index]), draw(3));
        if (engine.state().offset === offset) {
          compared += 1;
          seen = Math.max(seen, offset);
          if (answer !== truths.get(offset)?.[index]) throw new Error(`a stale answer at ${offset}, seed ${seed}`);
        }
        if (compared % 8 === 0) await new Promise(setImmediate);
      }
      await written;
    }
    expect(compared).toBeGreaterThan(writes);
    expect(seen).toBeGreaterThan(writes / 2);
    engine.close();
    await writer.stop();
    rmSync(folder, { recursive: true });
  }, 120_000);
});

test("it evicts the entries that are used least, and only as many as necessary", () => {
  const store = openStore(":memory:");
  createState(store, "test", "test");
  apply(store, load(must(policies[0])));
  const limits = { ...defaultLimits, decisionCacheEntriesMax: 8 };
  const engine = new Engine(store, { limits, changes: newSequenceLock() });
  const texts = questions.map((question) => JSON.stringify(question));
  const known = (): string[] => texts.filter((text) => engine.cachedDecision(text) !== undefined);
  const [always, ...others] = questions.map((question, index) => ({ ...question, text: must(texts[index]) }));
  engine.authorize(must(always));
  for (const other of others) {
    engine.authorize(other);
    expect(engine.cachedDecision(must(always).text)).toBe(false);
  }
  expect(known()).toHaveLength(8);
});

test("a change during a list is noticed afterwards", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-decision-cache-"));
  const path = join(folder, "store-1.db");
  const writer = openStore(path);
  createState(writer, "test", "test");
  const held = fact("has_role", "User:ann", "String:reader", "Folder:a");
  apply(writer, load(must(policies[0])), inserted(held));
  const changes = newSequenceLock();
  const engine = new Engine(openStore(path, { readonly: true }), { changes });
  const question = must(questions.find(({ action }) => action === "read"));
  expect(engine.authorize(question)).toBe(true);
  // When the context facts are read, the snapshot of the list is open, but only its revision was read.
  let isWritten = false;
  const contextFacts = new Proxy<TestFact[]>([], {
    get(facts, key) {
      if (key === Symbol.iterator && !isWritten) {
        whileWriting(changes, () => apply(writer, deleted(held)));
        isWritten = true;
      }
      return Reflect.get(facts, key) as unknown;
    },
  });
  const { actor, action } = question;
  const { ids } = engine.listing({ actor, action, resourceType: "Folder", contextFacts });
  expect(pageOf(ids, 0, 9).ids).toEqual(["a"]);
  expect(engine.authorize(question)).toBe(false);
  engine.close();
  writer.close();
  rmSync(folder, { recursive: true });
});

describe("it does not cache", () => {
  test("decisions with context facts, whether or not the same question was asked without them", () => {
    const store = openStore(":memory:");
    createState(store, "test", "test");
    apply(store, load(must(policies[0])));
    const engine = new Engine(store);
    const question = must(questions[0]);
    const contextFacts = [fact("has_role", "User:ann", "String:reader", "Folder:a")];
    expect(engine.authorize(question)).toBe(false);
    expect(engine.authorize({ ...question, contextFacts })).toBe(true);
    expect(engine.authorize(question)).toBe(false);
    apply(store, inserted(...contextFacts));
    expect(engine.authorize(question)).toBe(true);
  });

  test("under a request body a decision for a question without it, or with another body", () => {
    const store = openStore(":memory:");
    createState(store, "test", "test");
    apply(store, load(must(policies[0])));
    // These are answered without a look into the store.
    const engine = new Engine(store, { changes: newSequenceLock() });
    const question = must(questions[0]);
    expect(engine.authorize(question)).toBe(false);
    const { actor, action, resource } = question;
    const lengths = [actor.type, actor.id, resource.type, resource.id].map(({ length }) => length).join(" ");
    expect(
      engine.cachedDecision(`${lengths} ${actor.type}${actor.id}${resource.type}${resource.id}${action}`),
    ).toBeUndefined();
    const text = JSON.stringify(question);
    expect(engine.cachedDecision(text)).toBeUndefined();
    expect(engine.authorize({ ...question, text })).toBe(false);
    expect(engine.cachedDecision(text)).toBe(false);
    expect(engine.cachedDecision(`${text} `)).toBeUndefined();
  });

  test.each(seededRuns(3, 200))(
    "a pair of ids under the key of another pair with the same concatenation, with seed $seed",
    ({ seed, runs }) => {
      const store = openStore(":memory:");
      createState(store, "test", "test");
      apply(store, load(must(policies[0])));
      const engine = new Engine(store);
      const id = fc.string({ unit: fc.constantFrom("a", " ", "1", "0", "\u0000", "é"), maxLength: 4, minLength: 1 });
      fc.assert(
        fc.property(id, id, id, id, (user, folder, otherUser, otherFolder) => {
          const role = fact("has_role", `User:${user}`, "String:reader", `Folder:${folder}`);
          apply(store, inserted(role));
          const ask = (actor: string, resource: string): boolean =>
            engine.authorize({
              actor: { type: "User", id: actor },
              action: "read",
              resource: { type: "Folder", id: resource },
              contextFacts: [],
            });
          expect(ask(user, folder)).toBe(true);
          expect(ask(otherUser, otherFolder)).toBe(user === otherUser && folder === otherFolder);
          apply(store, deleted(role));
          expect(ask(user, folder)).toBe(false);
        }),
        { numRuns: runs, seed },
      );
    },
  );
});
