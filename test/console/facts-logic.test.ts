/** What the screens about facts decide without a browser: texts of facts, completion, filters, pages, visible rows. */
import { describe, expect, test } from "bun:test";
import { makeVisible } from "../../src/console/ui/components/visible-text.ts";
import fc from "fast-check";
import { offeredOf } from "../../src/console/ui/components/offered-texts.ts";
import { IdsAnswers, textsWith, wantedIds } from "../../src/console/ui/facts/wanted-ids.ts";
import {
  actionsOf,
  completionsOf,
  type Suggestions,
  typesOf,
  unknownNameIn,
} from "../../src/console/ui/facts/completion.ts";
import { FactPager, type FactsPage } from "../../src/console/ui/facts/fact-pager.ts";
import {
  type Fact,
  factKey,
  formatFact,
  formatValue,
  parseArguments,
  parseFact,
  parsePattern,
  parseValue,
  polarFact,
  valueParameter,
} from "../../src/console/ui/facts/fact-text.ts";
import { isWithin } from "../../src/console/ui/facts/fact-restriction.ts";
import { filterIn, filterProblem, pathOf, queryOf, typeSignatures } from "../../src/console/ui/facts/filter.ts";
import { heightMax, scrollTopOf, windowOf } from "../../src/console/ui/facts/window.ts";
import {
  boxOf,
  expandedBy,
  graphOf,
  groupedBy,
  nodeInDirection,
  nodesMax,
  type RelationGraph,
  shortText,
  shownKey,
} from "../../src/console/ui/object/graph.ts";
import { draftIn, questionOf } from "../../src/console/ui/ask/question.ts";
import { layoutOf as shownLayoutOf } from "../../src/console/ui/object/layout.ts";
import { holdersIn } from "../../src/console/ui/object/role-holders.ts";
import { must } from "../../src/util/assert.ts";
import { parseFactText } from "../../src/cli/parse-fact.ts";
import { seededRuns } from "../seeds.ts";

const User = (id: string) => ({ type: "User", id });
const Text = (id: string) => ({ type: "String", id });
const role: Fact = { predicate: "has_role", args: [User("ann"), Text("reader"), { type: "a::Repo", id: "x/y" }] };
const idOf = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.string({ minLength: 1, unit: "grapheme" }),
  fc.string({ minLength: 1, unit: fc.constantFrom("\\", "0", '"', "\0", "u", " ", "n") }),
  fc.constantFrom("_", '"a"', ":A: ", ":B:x", "\\0 "),
);
const valueOf = fc.oneof(
  fc.record({ type: fc.constantFrom("User", "Ünit", "a::Repo", "String"), id: idOf }),
  fc.record({ type: fc.constant("Integer"), id: fc.integer().map(String) }),
  fc.record({ type: fc.constant("Boolean"), id: fc.boolean().map(String) }),
);
const factOf = fc.record({
  predicate: fc.constantFrom("has_role", "is_public", "ns::p"),
  args: fc.array(valueOf, { minLength: 1, maxLength: 5 }),
});

describe("the text of a fact", () => {
  test("is what the command line reads as well", () => {
    expect(formatFact(role)).toBe('has_role(User:ann, "reader", a::Repo:x/y)');
    for (const { seed, runs } of seededRuns(1, 200))
      fc.assert(
        fc.property(factOf, (fact) => {
          expect(parseFact(formatFact(fact))).toEqual(fact);
          expect(parseFactText(formatFact(fact))).toEqual(fact as never);
        }),
        { numRuns: runs, seed },
      );
  });

  test("of a value stays the same in an address", () => {
    for (const { seed, runs } of seededRuns(1, 200))
      fc.assert(
        fc.property(fc.constantFrom("User", "a::Repo"), idOf, (type, id) => {
          expect(parseValue(valueParameter({ type, id }))).toEqual({ type, id });
        }),
        { numRuns: runs, seed },
      );
    expect(parseValue("User:a b, c")).toEqual(User("a b, c"));
    expect([parseValue("User"), parseValue(":x"), parseValue("User:"), parseValue("")]).toEqual(
      new Array(4).fill(undefined),
    );
  });

  test("can have wildcards", () => {
    expect(parsePattern("has_role(User:_, _, Repo:x)")).toEqual({
      predicate: "has_role",
      args: [
        { type: "User", id: null },
        { type: null, id: null },
        { type: "Repo", id: "x" },
      ],
    });
    expect(parsePattern("_(User:ann)")).toEqual({ predicate: null, args: [User("ann")] });
    expect(parseArguments('User{"a\\"b"}, 5, true')?.map(formatValue)).toEqual(['User:"a\\"b"', "5", "true"]);
  });

  test.each([
    "",
    "has_role",
    "has_role(",
    "has_role()",
    "has_role(User:ann",
    "has_role(User:ann))",
    "p(a b)",
    "p(User:)",
  ])("%j is none", (text) => expect(parseFact(text)).toBeUndefined());

  test("with a wildcard is no fact", () => expect(parseFact("has_role(User:_)")).toBeUndefined());

  test("in a policy quotes all ids", () => {
    expect(polarFact({ predicate: "p", args: [User('a"\n'), Text("x"), { type: "Integer", id: "5" }] })).toBe(
      'p(User{"a\\"\\n"}, "x", 5)',
    );
  });
});

const suggestions: Suggestions = {
  suggestions: {
    has_role: [
      [
        { kind: "symbol", value: "User" },
        { kind: "string", value: "reader" },
        { kind: "symbol", value: "Repo" },
      ],
      [
        { kind: "symbol", value: "User" },
        { kind: "string", value: "owner" },
        { kind: "symbol", value: "Org" },
      ],
    ],
    is_public: [[{ kind: "symbol", value: "Repo" }]],
    expires: [
      [
        { kind: "symbol", value: "Integer" },
        { kind: "symbol", value: "Boolean" },
      ],
    ],
  },
  actors: [{ kind: "symbol", value: "User" }],
};

describe("completion", () => {
  const known = [User("ann"), { type: "Repo", id: "x" }, { type: "Integer", id: "7" }];
  const complete = (text: string) => completionsOf(text, suggestions, known);

  test("continues with a predicate, then with the arguments that fit", () => {
    expect(complete("has")).toEqual(["has_role(", "is_public(", "expires("]);
    expect(complete("has_role(")).toEqual(["has_role(User:", "has_role(User:ann, "]);
    expect(complete("has_role(User:ann, ")).toEqual(['has_role(User:ann, "reader", ', 'has_role(User:ann, "owner", ']);
    expect(complete('has_role(User:ann, "owner", ')).toEqual(['has_role(User:ann, "owner", Org:']);
    expect(complete('has_role(User:"a, b", "reader", Re')).toEqual([
      'has_role(User:"a, b", "reader", Repo:',
      'has_role(User:"a, b", "reader", Repo:x)',
    ]);
    expect(complete("expires(7, ")).toEqual(["expires(7, true)", "expires(7, false)"]);
    expect([complete("has_role(Org:x, "), complete("nothing("), complete("p(User:ann) ")]).toEqual([[], [], []]);
  });

  test("knows types and signatures", () => {
    expect(typesOf(suggestions)).toEqual(["Org", "Repo", "User"]);
    expect(typeSignatures(suggestions, "has_role")).toEqual(["User:_, _, Repo:_", "User:_, _, Org:_"]);
  });
});

test("a string that no rule means is found before the fact is stored", () => {
  const symbol = (value: string) => ({ kind: "symbol", value }) as const;
  const string = (value: string) => ({ kind: "string", value }) as const;
  const roles = ["reader", "writer"].map((role) => [symbol("User"), string(role), symbol("Repository")]);
  const names: Suggestions = {
    suggestions: {
      has_role: roles,
      tag: [
        [symbol("Repository"), string("x")],
        [symbol("Repository"), symbol("String")],
      ],
    },
    actors: [],
  };
  const unknown = (text: string) => unknownNameIn(must(parseFact(text)), names);
  expect(unknown('has_role(User:ann, "nosuch", Repository:x)')).toEqual({
    name: "nosuch",
    known: ["reader", "writer"],
  });
  expect(unknown('has_role(User:ann, "reader", Repository:x)')).toBeUndefined();
  expect(unknown('has_role(User:ann, "nosuch", Other:x)')).toBeUndefined();
  expect(unknown('has_role(User:ann, "nosuch")')).toBeUndefined();
  expect(unknown('tag(Repository:x, "any")')).toBeUndefined();
  expect(unknown('other("any")')).toBeUndefined();
});

describe("a filter", () => {
  const filter = (part: object) => ({ predicate: "", mentions: "", args: "", ...part });
  test.each([
    [{}, "/api/facts?page_size=500"],
    [{ predicate: "p" }, "/api/facts?page_size=500&predicate=p"],
    [{ mentions: "User" }, "/api/facts?page_size=500&contains.type=User"],
    [{ mentions: "User:a/b" }, "/api/objects/User/a%2Fb/facts?page_size=500"],
    [{ mentions: "User:.." }, "/api/facts?page_size=500&contains.type=User&contains.id=.."],
    [{ predicate: "p", mentions: "User:a" }, "/api/facts?page_size=500&predicate=p&contains.type=User&contains.id=a"],
    [
      { predicate: "p", args: 'User:_, _, "x"' },
      "/api/facts?page_size=500&predicate=p&args.0.type=User&args.2.type=String&args.2.id=x",
    ],
  ])("%j is %s", (part, path) => {
    expect(pathOf(filter(part))).toBe(path);
    expect(filterProblem(filter(part))).toBeUndefined();
    expect(filterIn(new URLSearchParams({ ...queryOf(filter(part)) }))).toEqual(filter(part));
  });

  test("that cannot be read says so", () => {
    expect(filterProblem(filter({ mentions: "a b" }))).toContain("neither a type nor an object");
    expect(filterProblem(filter({ args: "ann" }))).toContain("no list of arguments");
  });

  test("continues with a token", () => expect(pathOf(filter({}), "t")).toBe("/api/facts?page_size=500&page_token=t"));
});

describe("the visible rows", () => {
  const view = { rows: 1000, rowHeight: 40, viewHeight: 400 };
  test("are those at the scroll position, and some more", () => {
    expect(windowOf(view, 0)).toEqual({ first: 0, end: 18, top: 0, height: 40_000 });
    expect(windowOf(view, 20_000)).toEqual({ first: 492, end: 518, top: 492 * 40, height: 40_000 });
    expect(windowOf(view, 1e9)).toEqual({ first: 982, end: 1000, top: 982 * 40, height: 40_000 });
    expect(windowOf({ ...view, rows: 3 }, 0)).toEqual({ first: 0, end: 3, top: 0, height: 120 });
  });

  test("cover the view at each position of a list of any length, within the height that browsers allow", () => {
    for (const { seed, runs } of seededRuns(1, 200))
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: 10_000_000 }),
          fc.double({ min: 0, max: 1, noNaN: true }),
          (rows, part) => {
            const long = { ...view, rows };
            const { height } = windowOf(long, 0);
            expect(height).toBeLessThanOrEqual(heightMax);
            const scrollTop = part * Math.max(0, height - 400);
            const { first, end, top } = windowOf(long, scrollTop);
            expect(end - first).toBeLessThanOrEqual(28);
            expect(top).toBeLessThanOrEqual(scrollTop + 1e-6);
            if (rows >= 10) expect(top + (end - first) * 40).toBeGreaterThanOrEqual(scrollTop + 400 - 1e-6);
            if (rows > 10) expect(windowOf(long, scrollTopOf(long, rows)).end).toBe(rows);
          },
        ),
        { numRuns: runs, seed },
      );
  });

  test("stay when a long list grows", () => {
    const long = { ...view, rows: 2_000_000 };
    const scrollTop = scrollTopOf(long, 1_234_567);
    expect(Math.abs(windowOf(long, scrollTop).first + 8 - 1_234_567)).toBeLessThanOrEqual(1);
  });
});

test("a limited key may change the facts with its predicates, about its types", () => {
  const one: Fact = { predicate: "has_role", args: [User("ann"), Text("reader"), { type: "Repo", id: "x" }] };
  expect(isWithin({}, one)).toBe(true);
  expect(isWithin({ only_predicates: ["has_role"], only_types: ["User", "Repo"] }, one)).toBe(true);
  expect(isWithin({ only_predicates: ["is_public"] }, one)).toBe(false);
  expect(isWithin({ only_types: ["User"] }, one)).toBe(false);
});

describe("pages of facts", () => {
  /** Pages of 10 facts; `empty` pages without a fact come first. */
  function serve(rows: number, empty = 0) {
    const asked: (string | null)[] = [];
    const load = (token: string | null): Promise<FactsPage> => {
      asked.push(token);
      const page = Number(token ?? 0);
      const start = (page - empty) * 10;
      const results = Array.from({ length: page < empty ? 0 : Math.min(10, rows - start) }, (_, index) =>
        factOfRow(start + index),
      );
      return Promise.resolve({ results, next_page_token: start + 10 < rows ? String(page + 1) : null });
    };
    return { asked, load };
  }
  const factOfRow = (row: number): Fact => ({ predicate: "p", args: [User(String(row))] });

  test("are loaded one after another, forgotten, and loaded again", async () => {
    const { asked, load } = serve(1000);
    const again = Promise.withResolvers<void>();
    let isWaiting = false;
    const pager = new FactPager(load, () => isWaiting && again.resolve());
    while (!pager.isComplete) await pager.loadMore();
    expect([pager.rows, asked.length]).toEqual([1000, 100]);
    expect(pager.fact(999)).toEqual(factOfRow(999));
    isWaiting = true;
    expect(pager.fact(5)).toBeUndefined();
    await again.promise;
    expect(pager.fact(5)).toEqual(factOfRow(5));
    expect([asked.length, asked.at(-1)]).toEqual([101, null]);
    await pager.loadMore();
    expect(asked).toHaveLength(101);
  });

  test("without facts are skipped, until somebody stops the search", async () => {
    const { asked, load } = serve(5, 30);
    const pager = new FactPager(load, () => {});
    await pager.loadMore();
    expect([pager.rows, pager.isComplete, asked.length]).toEqual([5, true, 31]);
    const stopped: FactPager = new FactPager(serve(5, 30).load, () => stopped.emptyPages === 3 && stopped.stop());
    await stopped.loadMore();
    expect([stopped.rows, stopped.isStopped, stopped.emptyPages]).toEqual([0, true, 3]);
    await stopped.loadMore();
    expect(stopped.emptyPages).toBe(3);
    const bounded = new FactPager(serve(5, 30).load, () => {});
    await bounded.loadMore(10);
    expect([bounded.rows, bounded.isStopped, bounded.emptyPages]).toEqual([0, true, 10]);
    await bounded.loadMore();
    expect([bounded.rows, bounded.isStopped, bounded.isComplete]).toEqual([5, false, true]);
  });

  test("that fail are reported, and can be loaded again", async () => {
    let fails = true;
    const { load } = serve(10);
    const pager = new FactPager(
      (token) => (fails ? Promise.reject(new Error("away")) : load(token)),
      () => {},
    );
    await pager.loadMore();
    expect(pager.error).toEqual(new Error("away"));
    fails = false;
    await pager.loadMore();
    expect([pager.error, pager.rows]).toEqual([undefined, 10]);
  });

  test("are read again after an outage, and a request that hangs is given up", async () => {
    const { asked, load } = serve(25);
    let isHanging = true;
    const pager = new FactPager(
      (token) => (isHanging ? new Promise(() => {}) : load(token)),
      () => {},
    );
    void pager.loadMore();
    isHanging = false;
    await pager.refresh();
    expect([pager.rows, pager.isLoading, asked]).toEqual([10, false, [null]]);
    // The shown rows of one page stay until it is read again.
    const refreshed = pager.refresh();
    expect([pager.rows, pager.fact(3)]).toEqual([10, factOfRow(3)]);
    await refreshed;
    expect([pager.rows, asked]).toEqual([10, [null, null]]);
    // Of more pages, those that are shown are read again.
    await pager.loadMore();
    await pager.refresh();
    expect([pager.fact(3), pager.rows, asked.slice(2)]).toEqual([factOfRow(3), 20, ["1", null]]);
  });

  test("begin anew if the node does not know their tokens any more", async () => {
    const { load } = serve(25);
    let isGone = false;
    const pager = new FactPager(
      (token) =>
        isGone && token !== null ? Promise.reject(Object.assign(new Error(), { code: "list_gone" })) : load(token),
      () => {},
    );
    await pager.loadMore();
    isGone = true;
    await pager.loadMore();
    expect([pager.error, pager.rows]).toEqual([expect.any(Error), 10]);
    isGone = false;
    await pager.loadMore();
    await pager.loadMore();
    await pager.loadMore();
    expect([pager.error, pager.rows, pager.isComplete]).toEqual([undefined, 25, true]);
  });

  test("of a node that sends the same page twice end", async () => {
    const pager = new FactPager(
      () => Promise.resolve({ results: [role], next_page_token: "x" }),
      () => {},
    );
    await pager.loadMore();
    await pager.loadMore();
    expect(String(pager.error)).toContain("same page twice");
    expect(factKey(role)).not.toBe(factKey({ ...role, predicate: "p" }));
  });
});

describe("the graph of relations", () => {
  const layoutOf = (graph: RelationGraph, opened: ReadonlySet<string> = new Set()) =>
    shownLayoutOf(groupedBy(graph, opened));
  const Folder = (id: string) => ({ type: "Folder", id });
  const parent = (from: string, to: string): Fact => ({
    predicate: "has_relation",
    args: [Folder(from), Text("parent"), Folder(to)],
  });
  const grant: Fact = { predicate: "grants_role", args: [{ type: "Team", id: "t" }, Text("reader"), Folder("a")] };
  const graph = expandedBy(
    graphOf(Folder("a")),
    Folder("a"),
    [parent("a", "b"), grant, { predicate: "is_public", args: [Folder("a")] }],
    true,
  );

  test("has an arrow for each fact that connects objects", () => {
    expect([...graph.nodes.values()].map(({ key, facts, isPartial }) => [key, facts, isPartial])).toEqual([
      ["Folder:a", 3, true],
      ["Folder:b", undefined, false],
      ["Team:t", undefined, false],
    ]);
    expect([...graph.edges.values()]).toEqual([
      { from: "Folder:a", to: "Folder:b", label: "parent" },
      { from: "Team:t", to: "Folder:a", label: "grants_role reader" },
    ]);
    const more = expandedBy(graph, Folder("b"), [parent("a", "b"), parent("b", "a")], false);
    expect([more.nodes.size, more.edges.size]).toEqual([3, 3]);
  });

  test("does not grow without end", () => {
    const facts = Array.from({ length: 500 }, (_, index) => parent(`f${index}`, "a"));
    const full = expandedBy(graph, Folder("a"), facts, false);
    expect([full.nodes.size, full.isFull, graph.isFull]).toEqual([nodesMax, true, false]);
    const [group] = [...groupedBy(full, new Set()).nodes.keys()].filter((key) => key.startsWith("["));
    const { nodes, width } = layoutOf(full, new Set([must(group)]));
    expect(nodes).toHaveLength(nodesMax + 1);
    expect(width).toBeGreaterThan(0);
  });

  test("shows many objects with the same relations as one group, until it is opened", () => {
    const children = Array.from({ length: 50 }, (_, index) => parent(`f${index}`, "a"));
    const own = [...children, parent("f7", "x"), grant, parent("a", "b"), parent("f3", "a"), parent("a", "f4")];
    const many = expandedBy(graphOf(Folder("a")), Folder("a"), own, false);
    const closed = groupedBy(many, new Set());
    const [group] = [...closed.nodes.values()].flatMap((node) => node.group ?? []);
    // `f7` has another relation, and `f4` is a parent as well.
    expect([group?.label, group?.members.length, group?.isOpen]).toEqual(["parent", 48, false]);
    const key = must(group).key;
    expect([...closed.nodes.values()].map(({ text }) => text)).toEqual([
      ...["Folder:a", "Folder:f4", "Folder:f7", "Folder:x", "Team:t", "Folder:b", "48 × parent"],
    ]);
    expect([...closed.edges.values()].filter(({ from, to }) => from === key || to === key)).toEqual([
      { from: key, to: "Folder:a", label: "" },
    ]);
    expect([shownKey(closed, "Folder:f1"), shownKey(closed, "Folder:b"), shownKey(closed, "Folder:none")]).toEqual([
      key,
      "Folder:b",
      undefined,
    ]);
    const open = groupedBy(many, new Set([key]));
    expect([open.nodes.size, shownKey(open, "Folder:f1")]).toEqual([55, "Folder:f1"]);
    expect([...open.edges.values()]).toContainEqual({ from: "Folder:f1", to: key, label: "" });
    // An object that is expanded leaves the group; a group of few is none, and its object stands for it.
    const grown = expandedBy(many, Folder("f1"), [parent("f1", "a")], false);
    expect(shownKey(groupedBy(grown, new Set()), "Folder:f1")).toBe("Folder:f1");
    const few = expandedBy(graphOf(Folder("a")), Folder("a"), children.slice(0, 4), false);
    expect([groupedBy(few, new Set()).nodes.size, shownKey(groupedBy(few, new Set()), key)]).toEqual([5, "Folder:a"]);
  });

  test("gives wide characters room", () => {
    expect(boxOf("日本").width).toBeGreaterThan(boxOf("ab").width);
  });

  test("is laid out in layers, in which the arrow keys move", () => {
    const { nodes, edges } = layoutOf(expandedBy(graph, Folder("b"), [parent("b", "a"), parent("b", "b")], false));
    expect(nodes.every(({ x, y, width, height }) => [x, y, width, height].every((part) => part > 0))).toBe(true);
    expect(edges.every(({ path, x, y }) => /^M[\d.]+ [\d.]+L/.test(path) && x > 0 && y > 0)).toBe(true);
    const chain = layoutOf(expandedBy(graphOf(Folder("a")), Folder("a"), [parent("a", "b"), parent("b", "c")], false));
    const at = (key: string) => must(chain.nodes.find((node) => node.key === key));
    expect(at("Folder:a").x).toBeLessThan(at("Folder:b").x);
    expect(nodeInDirection(chain.nodes, at("Folder:a"), "ArrowRight")?.key).toBe("Folder:b");
    expect(nodeInDirection(chain.nodes, at("Folder:c"), "ArrowLeft")?.key).toBe("Folder:b");
    expect([
      nodeInDirection(chain.nodes, at("Folder:c"), "ArrowRight"),
      nodeInDirection(chain.nodes, at("Folder:a"), "x"),
    ]).toEqual([undefined, undefined]);
  });

  test("shortens long ids", () => {
    expect(shortText("a".repeat(30))).toBe("a".repeat(30));
    expect(shortText("\u{1f600}".repeat(31))).toBe(`${"\u{1f600}".repeat(29)}…`);
  });
});

test("roles are listed by actor, every actor first", () => {
  const row = (actor: string | null, role: string) => ({ actor, role });
  expect(
    holdersIn("User", [row("ann", "writer"), row(null, "reader"), row("ann", "reader"), row("ann", "reader")]),
  ).toEqual([
    { type: "User", id: null, roles: ["reader"] },
    { type: "User", id: "ann", roles: ["reader", "writer"] },
  ]);
});

describe("characters that cannot be seen", () => {
  test("are escapes in an id, which are read back", () => {
    for (const id of ["ann\u200b", "\u202enna", "a\u00a0b", "a\\u200b", "ann\n"]) {
      const shown = formatValue(User(id));
      expect([id, parseValue(valueParameter(User(id)))]).toEqual([id, User(id)]);
      expect(valueParameter(User(id))).toBe(id.includes("\\") ? `User:${id}` : shown);
      expect([id, parseValue(shown)]).toEqual([id, User(id)]);
      expect(shown).not.toMatch(/[\u200b\u202e\u00a0\n]/);
    }
    expect(formatValue(User("ann\u200b"))).toBe(String.raw`User:"ann\u200b"`);
  });

  test("are escapes in a field that an address fills", () => {
    const query = new URLSearchParams({ mentions: "User:ann\u200b", args: 'User:ann\u200b, "x\u202e", _' });
    const shown = filterIn(query);
    expect([shown.mentions, shown.args]).toEqual([
      String.raw`User:"ann\u200b"`,
      String.raw`User:"ann\u200b", "x\u202e", _`,
    ]);
    expect(pathOf(shown)).toBe(pathOf({ predicate: "", mentions: "User:ann\u200b", args: query.get("args") ?? "" }));
    const draft = draftIn(["authorize"], new URLSearchParams({ actor: "User:\u202enna", resource: "Doc:a b" }));
    expect([draft.actor, draft.resource]).toEqual([String.raw`User:"\u202enna"`, "Doc:a b"]);
    expect(questionOf({ ...draft, action: "read" })).toMatchObject({ actor: User("\u202enna") });
  });

  test("are escaped in whatever is rendered, but not in the value of a field", () => {
    const cell = { title: "a\u202e", value: "a\u202e", children: ["x\u200b", [["y\u202e"], 5]] as unknown };
    makeVisible("td", cell);
    expect(cell).toEqual({
      title: String.raw`a\u202e`,
      value: "a\u202e",
      children: [String.raw`x\u200b`, [[String.raw`y\u202e`], 5]],
    });
    const code = { children: "a\n\u200b" };
    makeVisible("pre", code);
    expect(code.children).toBe(`a\n${String.raw`\u200b`}`);
  });
});

describe("completion of ids by the node", () => {
  test("is for the object at the end of a text", () => {
    expect(wantedIds("User:an")).toEqual({ before: "", type: "User", prefix: "an" });
    expect(wantedIds("User:a b, c")).toEqual({ before: "", type: "User", prefix: "a b, c" });
    expect(wantedIds("has_role(User:an")).toEqual({ before: "has_role(", type: "User", prefix: "an" });
    expect(wantedIds('p(User:ann, "x", a::Repo:')).toEqual({
      before: 'p(User:ann, "x", ',
      type: "a::Repo",
      prefix: "",
    });
    expect(["", "User", "User::", "has_role(User", 'User:"an', "p(User:ann)"].map(wantedIds)).toEqual(
      new Array(6).fill(undefined),
    );
    expect(textsWith({ before: "", type: "User", prefix: "" }, [User("a b")])).toEqual(["User:a b"]);
    expect(textsWith({ before: "User:x, ", type: "User", prefix: "" }, [User("a b")])).toEqual(['User:x, User:"a b"']);
  });

  test("asks the node only for what earlier answers do not have", () => {
    const answers = new IdsAnswers();
    expect(answers.find("User", "a")).toBeUndefined();
    answers.add("User", "", { ids: ["a", "b"], more: true });
    expect(answers.find("User", "")).toEqual(["a", "b"]);
    expect(answers.find("User", "a")).toBeUndefined();
    answers.add("User", "a", { ids: ["ann", "ant"], more: false });
    expect(answers.find("User", "ann")).toEqual(["ann"]);
    expect([answers.find("User", "b"), answers.find("Repo", "a")]).toEqual([undefined, undefined]);
  });

  test("is filtered by what is written, beginnings first, and is never the text itself", () => {
    expect(offeredOf(["User:ann", "User:", "Repo:ann", "ann"], "ann")).toEqual(["User:ann", "Repo:ann"]);
    expect(offeredOf(["a", "b", "a"], "")).toEqual(["a", "b"]);
    expect(offeredOf(["xread", "read", "READY"], "rea")).toEqual(["read", "READY", "xread"]);
  });

  test("has the actions of the resource first", () => {
    const permissions = { Repo: ["write", "read"], "a::Org": ["invite"] };
    expect(actionsOf({ ...suggestions, permissions }, "a::Org:x:y")).toEqual(["invite", "read", "write"]);
    expect(actionsOf({ ...suggestions, permissions }, "")).toEqual(["invite", "read", "write"]);
    expect(actionsOf({ ...suggestions, permissions }, "Repo")).toEqual(["write", "read", "invite"]);
    expect(actionsOf(suggestions, "Repo:x")).toEqual([]);
  });
});
