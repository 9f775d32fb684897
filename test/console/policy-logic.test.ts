/** What the policy screen decides without a browser: completion, places, files, runs while typing, and the effect. */
import { describe, expect, test } from "bun:test";
import { threadCpuMs } from "../thread-cpu-time.ts";
import { getIndentation, StringStream } from "@codemirror/language";
import { EditorState, Text } from "@codemirror/state";
import { type Suggestion, suggestionsAt } from "../../src/console/ui/policy/completion.ts";
import { type PolicyEffect, readEffect, verdictOf } from "../../src/console/ui/policy/effect.ts";
import {
  defaultName,
  draftOf,
  isChanged,
  otherVersion,
  refreshed,
  shownFile,
  storedOf,
  withFiles,
  withName,
  withoutFile,
  withTest,
  withText,
  withTexts,
} from "../../src/console/ui/policy/files.ts";
import { polar, polarParser } from "../../src/console/ui/policy/language.ts";
import { fixedTexts } from "../../src/console/ui/policy/fixes.ts";
import { Latest } from "../../src/console/ui/policy/latest.ts";
import { countsByLine, failureNotes, longhandNotes } from "../../src/console/ui/policy/marks.ts";
import {
  mergedNames,
  namesInText,
  namesOfMetadata,
  noNames,
  type PolicyNames,
} from "../../src/console/ui/policy/names.ts";
import {
  changeBetween,
  positionOf,
  type Problem,
  rangeOf,
  sortedProblems,
} from "../../src/console/ui/policy/places.ts";
import type { TestReport } from "../../src/console/ui/policy/reports.ts";

const policy = `actor User {}
# resource Comment { roles = ["no"]; }
resource Org { roles = ["member", "owner"]; permissions = ["read"]; "member" if "owner"; }
resource Doc {
  permissions = ["read", "write"];
  relations = { org: Org, author: User };
  "read" if "member" on "org";
}
global { roles = ["support"]; }
declare banned(User);
has_role(u: User, "owner", o: Org) if owns(u, o);
`;

describe("names in a text", () => {
  test("are those of its blocks and rules, not of comments", () => {
    const { blocks, predicates } = namesInText(policy);
    expect([...blocks.keys()]).toEqual(["User", "Org", "Doc", "global"]);
    expect([...(blocks.get("Org")?.roles ?? [])]).toEqual(["member", "owner"]);
    expect([...(blocks.get("Doc")?.permissions ?? [])]).toEqual(["read", "write"]);
    expect([...(blocks.get("Doc")?.relations ?? [])]).toEqual([
      ["org", "Org"],
      ["author", "User"],
    ]);
    expect([...predicates].toSorted()).toEqual(["banned", "has_role"]);
  });

  test("survive broken text, and a block that is opened again", () => {
    const { blocks } = namesInText('resource A { roles = ["x"]; } resource A { roles = ["y"');
    expect([...(blocks.get("A")?.roles ?? [])]).toEqual(["x"]);
    expect(namesInText('resource {{{ "').blocks.size).toBe(0);
  });

  test("are found in a time that grows with the text only, whatever is in it", () => {
    const parts = [
      "resource ",
      "resource A {",
      "roles = [",
      "resource A { roles = [",
      "relations = {",
      "f(",
      '"',
      "a",
      "# ",
    ];
    const beforeMs = threadCpuMs();
    for (const part of parts) {
      const text = part.repeat(200_000 / part.length);
      namesInText(text);
      namesInText(`resource B { ${text}`);
      suggestionsAt(text, text.length, noNames);
    }
    // A scan that begins anew at each place takes minutes.
    expect(threadCpuMs() - beforeMs).toBeLessThan(50_000);
  }, 600_000);
});

describe("completion", () => {
  const metadata = { resources: { Old: { roles: ["keeper"], permissions: [], relations: {} } } };
  const names: PolicyNames = mergedNames([namesOfMetadata(metadata, ["old_fact"]), namesInText(policy)]);
  /** The labels at `|`. */
  const at = (text: string): Suggestion[] | undefined => {
    const position = text.indexOf("|");
    const found = suggestionsAt(text.replace("|", ""), position, names);
    return found && [...found.options];
  };
  const labels = (text: string) => at(text)?.map(({ label }) => label);

  test("offers types where only a type can be", () => {
    expect(labels("f(u: |")).toEqual([
      "Actor",
      "Resource",
      "String",
      "Integer",
      "Boolean",
      "Old",
      "User",
      "Org",
      "Doc",
    ]);
    expect(labels("x matches O|")).toContain("Org");
    expect(labels("resource B extends |")).toContain("Doc");
    expect(labels("f(u: |")).not.toContain("global");
  });

  test("offers the names of the block, and of related ones", () => {
    expect(at('resource Org { "|')).toEqual([
      { label: "member", kind: "role", of: "Org" },
      { label: "owner", kind: "role", of: "Org" },
      { label: "read", kind: "permission", of: "Org" },
    ]);
    expect(labels('resource Doc { "read" if "m|')).toEqual(["read", "write", "org", "author", "member", "owner"]);
    expect(labels('resource Doc { "read" if "member" on "|')).toEqual(["org", "author"]);
    expect(labels('resource Doc { "read" if global "|')).toEqual(["support"]);
    expect(labels('has_role(u: User, "|')).toContain("keeper");
  });

  test("offers predicates, types and keywords elsewhere, and nothing in comments and ids", () => {
    const statement = labels("ha|");
    for (const label of ["has_role", "banned", "old_fact", "User", "resource"]) expect(statement).toContain(label);
    expect(labels("# has|")).toBeUndefined();
    expect(labels('assert allow(User{"|')).toBeUndefined();
    expect(labels('resource Doc { "read"|')).toBeUndefined();
    expect(suggestionsAt('f("me', 5, names)?.from).toBe(3);
  });
});

describe("the language", () => {
  test("gives each token its kind", () => {
    const line = 'has_role(u: User, "a\\"b", 1) if not @current_unix_time and true # "end"';
    const stream = new StringStream(line, 2, 2);
    const state = { depth: 0 };
    const kinds: (string | null)[][] = [];
    while (!stream.eol()) {
      stream.start = stream.pos;
      const kind = polarParser.token(stream, state);
      if (kind !== null && kind !== "punctuation") kinds.push([stream.current(), kind]);
    }
    expect(kinds).toEqual([
      ["has_role", "variableName.function"],
      ["u", "variableName"],
      ["User", "typeName"],
      ['"a\\"b"', "string"],
      ["1", "number"],
      ["if", "keyword"],
      ["not", "keyword"],
      ["@current_unix_time", "atom"],
      ["and", "keyword"],
      ["true", "atom"],
      ['# "end"', "comment"],
    ]);
  });

  test("indents by open brackets", () => {
    const state = EditorState.create({ doc: "resource Doc {\nroles = [\n\n];\n}\n", extensions: [polar] });
    const indents = [2, 3, 4, 5].map((line) => getIndentation(state, state.doc.line(line).from));
    expect(indents).toEqual([2, 4, 2, 0]);
  });
});

const problem: Problem = {
  ...{ file: "a.polar", line: 2, column: 3, endLine: 2, endColumn: 5 },
  ...{ code: "x", severity: "warning", message: "m" },
};

describe("places", () => {
  test("are clamped to a text that has changed meanwhile", () => {
    const text = Text.of(["one", "second", ""]);
    expect(rangeOf(text, problem)).toEqual({ from: 6, to: 8 });
    expect(rangeOf(text, { ...problem, column: 90, endColumn: 99 })).toEqual({ from: 10, to: 10 });
    expect(positionOf(text, { line: 9, column: 1 })).toBe(text.length);
  });

  test("of a text that was replaced stay, but for those that differ", () => {
    expect(changeBetween("abcabc", "abcXabc")).toEqual({ from: 3, to: 3, insert: "X" });
    expect(changeBetween("aaa", "aa")).toEqual({ from: 2, to: 3, insert: "" });
    expect(changeBetween("", "ab")).toEqual({ from: 0, to: 0, insert: "ab" });
    expect(changeBetween("same", "same")).toEqual({ from: 4, to: 4, insert: "" });
  });

  test("are sorted with errors first", () => {
    const error = { ...problem, severity: "error" as const, line: 9 };
    const earlier = { ...problem, line: 1 };
    expect(sortedProblems([problem, error, earlier])).toEqual([error, earlier, problem]);
  });

  test("of tests are below the failed line, and the fewest tests count for a line", () => {
    const failure = { ...problem, endLine: 3, test: "t", notes: ["because"] };
    expect(failureNotes([failure, { ...failure, file: "b" }], "a.polar")).toEqual([
      { line: 3, kind: "failure", text: "Test “t” failed: m\n  because" },
    ]);
    const rule = { file: "a.polar", line: 4, column: 1, shorthand: "s", longhand: "l" };
    expect(longhandNotes([rule], "a.polar")).toEqual([{ line: 4, kind: "longhand", text: "l" }]);
    const counts = [2, 0, 5].map((tests, index) => ({ file: "a.polar", line: index < 2 ? 1 : 2, column: 1, tests }));
    expect([...countsByLine(counts, "a.polar")]).toEqual([
      [1, 0],
      [2, 5],
    ]);
  });
});

const oneLine = (filename: string) => ({ filename, lines: 1 });

describe("a draft", () => {
  test("is changed if saving it would change the policy, but not by line ends", () => {
    const draft = draftOf({ filename: "<script>.polar", src: "actor User {}\r\n" });
    expect(shownFile(draft)).toEqual({ id: 1, name: "<script>.polar", text: "actor User {}\n", revision: 0 });
    expect(isChanged(draft)).toBe(false);
    expect(isChanged(withText(draft, 1, "actor User {}"))).toBe(true);
    expect(isChanged(draftOf(undefined))).toBe(false);
    expect(shownFile(draftOf({ filename: null, src: "" })).name).toBe(defaultName);
  });

  test("keeps its changes when the active policy is read again, and follows it without changes", () => {
    const [first, second] = [
      { id: 1, filename: "a.polar", src: "a" },
      { id: 2, filename: "b.polar, a.polar", src: "b\na", parts: ["b.polar", "a.polar"].map(oneLine) },
    ];
    const draft = refreshed(undefined, first);
    expect(draft.base).toBe(first);
    // The number of the version that was just saved is not known at first.
    const saved = { ...draft, base: { filename: "a.polar", src: "a" } };
    expect(refreshed(saved, first)).toEqual(draft);
    const changed = withText(draft, 1, "changed");
    expect(refreshed(changed, second)).toBe(changed);
    const next = refreshed(draft, second);
    expect([next.base, isChanged(next)]).toEqual([second, false]);
    // The editor shows the new text of the same file.
    expect(shownFile(next)).toEqual({ id: 2, name: "a.polar", text: "a", revision: 1 });
    expect(isChanged(refreshed(next, undefined))).toBe(false);
    // The same text is nobody else's version, whatever its number is.
    for (const policy of [first, { ...first, id: 9 }]) expect(otherVersion(changed.base, { policy })).toBeUndefined();
    expect(otherVersion(changed.base, { policy: second })).toEqual({ policy: second });
    expect([otherVersion(undefined, null), otherVersion(undefined, { policy: first })]).toEqual([
      undefined,
      { policy: first },
    ]);
  });

  test("takes an answer as a test at the end of the shown file, under a name that is free", () => {
    const text = 'test "ann, \\"read\\"" {\n  assert allow(User{"ann"}, "read", Doc{"x"});\n}';
    const first = withTest(draftOf({ filename: "a.polar", src: "actor User {}\n\n" }), text);
    expect([first.line, shownFile(first.draft).text]).toEqual([3, `actor User {}\n\n${text}\n`]);
    const second = withTest(first.draft, text);
    expect(second.line).toBe(7);
    expect(shownFile(second.draft)).toMatchObject({
      text: `actor User {}\n\n${text}\n\n${text.replace('\\""', '\\" (2)"')}\n`,
      revision: 2,
    });
    expect(withTest(draftOf(undefined), text).line).toBe(1);
  });

  test("has several files with different names, which are stored as one text", () => {
    const one = draftOf({ filename: "a.polar", src: "a" });
    const two = withFiles(one, [
      { name: "a.polar", text: "b" },
      { name: "a.polar", text: "c" },
    ]);
    expect(two.files.map(({ name }) => name)).toEqual(["a.polar", "a-2.polar", "a-3.polar"]);
    const parts = ["a.polar", "a-2.polar", "a-3.polar"].map((filename) => ({ filename, lines: 1 }));
    const stored = { src: "a\nb\nc", filename: "a.polar, a-2.polar, a-3.polar", parts };
    expect(storedOf(two.files)).toEqual(stored);
    const again = draftOf({
      ...stored,
      src: "a\n\nb",
      parts: [
        { filename: "x", lines: 2 },
        { filename: "y", lines: 1 },
      ],
    });
    expect(again.files.map(({ name, text }) => [name, text])).toEqual([
      ["x", "a\n"],
      ["y", "b"],
    ]);
    expect(isChanged(again)).toBe(false);
    expect(isChanged(withName(again, 1, "z"))).toBe(true);
    expect(isChanged(withoutFile(again, 2))).toBe(true);
    expect(shownFile(two).name).toBe("a-3.polar");
    expect(withName(two, 1, "a-2.polar")).toBe(two);
    expect(withName(two, 1, "")).toBe(two);
    expect(shownFile(withName(two, 3, "z")).name).toBe("z");
    const texts = new Map([
      ["a-2.polar", "new"],
      ["a-3.polar", "late"],
    ]);
    const edited = withText(two, 3, "typed");
    expect(withTexts(edited, two.files, texts).files.map(({ text, revision }) => [text, revision])).toEqual([
      ["a", 0],
      ["new", 1],
      ["typed", 0],
    ]);
    expect(withoutFile(two, 3).shown).toBe(1);
    const edit = (file: string, line: number, column: number, endColumn: number, text: string) =>
      ({ file, line, column, endLine: line, endColumn, text }) as const;
    const fix = {
      title: "t",
      edits: [edit("x", 1, 2, 2, "<>"), edit("x", 2, 1, 3, "é"), edit("x", 1, 1, 1, "^"), edit("gone", 1, 1, 1, "?")],
    };
    const checked = withTexts(withName(one, 1, "x"), withName(one, 1, "x").files, new Map([["x", "ab\n12 \n"]])).files;
    expect([...fixedTexts(checked, fix)]).toEqual([["x", "^a<>b\né \n"]]);
    expect(withoutFile(one, 1)).toBe(one);
    expect(storedOf(withFiles(one, Array(150).fill({ name: "x".repeat(100), text: "" })).files).filename).toBe(
      "100 files",
    );
  });
});

describe("runs while somebody types", () => {
  test("are for the latest input, one at a time, and a stale result is not shown", async () => {
    const begun: { readonly input: number; readonly end: (output: string) => void; readonly signal: AbortSignal }[] =
      [];
    const shown: unknown[] = [];
    const seen = Promise.withResolvers<void>();
    const latest = new Latest<number, string>(
      0,
      (input, signal) => new Promise((resolve) => begun.push({ input, end: resolve, signal })),
      (result) => {
        shown.push(result);
        seen.resolve();
      },
    );
    const until = async (count: number): Promise<void> => {
      while (begun.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    latest.give(1);
    latest.give(2);
    await until(1);
    latest.give(3);
    latest.give(4);
    begun[0]?.end("of 2");
    await until(2);
    begun[1]?.end("of 4");
    await seen.promise;
    expect(begun.map(({ input }) => input)).toEqual([2, 4]);
    expect(shown).toEqual([{ output: "of 4" }]);
    latest.give(5);
    await until(3);
    latest.stop();
    expect(begun[2]?.signal.aborted).toBe(true);
    begun[2]?.end("of 5");
    await Promise.resolve();
    expect(shown).toHaveLength(1);
  });
});

describe("the effect of a policy", () => {
  const tests = { success: true, errors: [], problems: [], tests: [], failures: [] } satisfies TestReport;
  const body = (...parts: string[]) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
        controller.close();
      },
    });

  test("is shown as far as it is known", async () => {
    const known: PolicyEffect[] = [];
    const text = `event: tests\ndata: ${JSON.stringify(tests)}\n\nevent: unused_facts\ndata: []\n\n`;
    const end = 'event: progress\ndata: {"examined":7}\n\nevent: decisions\ndata: {"omitted":"ü"}\n\n';
    const bytes = text + end;
    const effect = await readEffect(body(bytes.slice(0, 40), bytes.slice(40)), (each) => known.push(each));
    expect(effect).toEqual({ tests, unusedFacts: [], examined: 7, decisions: { omitted: "ü" } });
    expect(known.map((each) => Object.keys(each).length)).toEqual([1, 2, 3, 4]);
  });

  test("that ends early is an error", async () => {
    await expect(readEffect(body("event: tests\ndata: {}\n\n"), () => {})).rejects.toThrow("ended early");
  });

  test("says whether the policy can be saved", () => {
    const failing = { ...tests, success: false };
    const broken = { ...failing, problems: [{ ...problem, severity: "error" as const }] };
    const replay = { replayed: 9, changed_count: 1, complete: true, skipped: [], changed: [], log: "all" as const };
    expect(verdictOf({ tests })).toBe("unknown");
    expect(verdictOf({ tests, unusedFacts: [] })).toBe("harmless");
    expect(verdictOf({ tests: failing, unusedFacts: [] })).toBe("failing");
    expect(verdictOf({ tests: broken, unusedFacts: [] })).toBe("broken");
    expect(verdictOf({ tests, unusedFacts: [{ facts: "f(A)", count: 1 }] })).toBe("changes");
    expect(verdictOf({ tests, unusedFacts: [], decisions: replay })).toBe("changes");
    expect(verdictOf({ tests, unusedFacts: [], decisions: { ...replay, changed_count: 0 } })).toBe("harmless");
  });
});
