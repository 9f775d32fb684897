import { describe, expect, test } from "bun:test";
import { formatYaml, parseYaml, YamlError } from "../../src/runtime/yaml.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

test("formatted YAML is parsed to the same values", () => {
  const value = {
    host: "127.0.0.1",
    port: 8080,
    limits: { writeBodyBytesMax: 983040 },
    nodeKey: null,
    id: "08",
    flag: "no",
    list: ["a: b", "*"],
    long: `${"word ".repeat(50)}end`,
  };
  expect(parseYaml(formatYaml(value))).toEqual(value);
  expect(formatYaml(value)).toStartWith("host: 127.0.0.1\n");
});

test("values follow YAML 1.2, even if the file names another version", () => {
  const text = "a: no\nb: 08\nc: 2026-01-01\nd: true\ne: 0x50\nf: abc#d\n'g': \"x\"\nh: [1, {i: 2}]\n__proto__: 3\n";
  const value = Object.entries(parseYaml(text) as object);
  expect(value).toEqual(
    Object.entries({
      a: "no",
      b: 8,
      c: "2026-01-01",
      d: true,
      e: 80,
      f: "abc#d",
      g: "x",
      h: [1, { i: 2 }],
      ["__proto__"]: 3,
    }),
  );
  expect(Object.entries(parseYaml(`%YAML 1.1\n---\n${text}`) as object)).toEqual(value);
});

test.each([
  ["nothing", ""],
  ["comments", "# a\n\n# b\n"],
  ["an empty document", "---\n...\n"],
])("%s is not a value", (_name, text) => {
  expect(parseYaml(text)).toBeNull();
});

test("a byte order mark, tabs after values and carriage returns are accepted", () => {
  expect(parseYaml("\ufeffa: 1\t# tab\r\nb: 2\r\n")).toEqual({ a: 1, b: 2 });
});

/** Stands for a secret in the file. */
const secret = "hunter2";

describe("malformed YAML is rejected with its position and a remedy, and without its text", () => {
  test.each([
    ["a list that is not closed", `port: [1, ${secret}`, 1, 7, "close it with `]`"],
    ["the same, and lines after it", `a: [1, ${secret}\nb: 3\n`, 1, 4, "close it with `]`"],
    ["brackets in brackets", `a: {b: [1, ${secret}\nc: 3\n`, 1, 8, "close it with `]`"],
    ["a quote in brackets", `a: [1, "${secret}\nb: 1\n`, 1, 8, "close it"],
    ["a list without a comma", `a: ["${secret}" "b"]\n`, 1, 15, "separate the values"],
    ["no colon", `role: primary\nport ${secret}\n`, 2, 1, "a space after the colon"],
    ["no space after the colon", `role: primary\nport:${secret}\n`, 2, 1, "a space after the colon"],
    ["double quotes that are not closed", `a: "${secret}\n`, 1, 4, "close it"],
    ["single quotes that are not closed", `a: '${secret}\nb: 1\n`, 1, 4, "close it"],
    ["a tab as indentation", `log:\n\tlevel: ${secret}\n`, 2, 1, "use spaces"],
    ["a tab at the beginning", `\ta: ${secret}`, 1, 1, "use spaces"],
    ["an indentation that does not fit", `log:\n  a: ${secret}\n b: 1\n`, 3, 1, "the same number of spaces"],
    ["an indented line behind a value", `a: ${secret}\n  b: 2\n`, 1, 4, "check the indentation"],
    ["a colon in a value", `a: b: ${secret}`, 1, 4, "put the value into quotes"],
    ["a name twice", `a: 1\nb: 2\na: ${secret}\n`, 3, 1, "remove one of the two"],
    ["a name twice in a group", `log: {level: a, level: ${secret}}\n`, 1, 17, "remove one of the two"],
    ["a reserved character", `a: @${secret}`, 1, 4, "single quotes"],
    ["a percent sign", `a: %${secret}`, 1, 4, "single quotes"],
    ["text behind quotes", `a: "x" ${secret}`, 1, 8, "single quotes"],
    ["a quote in quotes", `a: '${secret}'s'`, 1, 13, "single quotes"],
    ["a Windows path", `a: "C:\\${secret}\\data"`, 1, 7, "use single quotes"],
    ["several documents", `a: 1\n---\nb: ${secret}\n`, 2, 1, "remove the line `---`"],
    ["a merge conflict", `a: 1\n<<<<<<< ${secret}\nb: 1\n=======\n`, 2, 1, "colon"],
    ["an anchor, which would be an empty value", `a: &${secret}\n`, 1, 4, "single quotes"],
    ["an alias", `a: &x 1\nb: *x\nc: *${secret}\n`, 1, 4, "single quotes"],
    ["an alias alone", `a: *${secret}\n`, 1, 4, "single quotes"],
    ["a tag", `a: !${secret} x`, 1, 4, "single quotes"],
    ["a known tag", `a: !!binary ${secret}`, 1, 4, "single quotes"],
    ["a directive", `%${secret}\n---\na: 1`, 1, 1, "remove the line"],
    ["a name that is a list", `? [${secret}]\n: b\n`, 1, 3, "a space after the colon"],
    ["a very long name", `${secret.repeat(300)}: 1`, 1, 1, "a space after the colon"],
    ["a block of text that begins on its line", `a: |${secret}\n b`, 1, 5, "single quotes"],
    ["a bracket too many", `a: ${secret}\nb: }`, 2, 4, "single quotes"],
    ["NUL", `a: 1\nb: ${secret}\0`, 2, 11, "remove it"],
    ["half of a character", `a: ${secret}\ud800`, 1, 11, "remove it"],
  ])("%s", (_name, text, line, column, cure) => {
    const { error } = refused(text);
    expect({ line: error.line, column: error.column }).toEqual({ line, column });
    expect(error.message).toContain(cure);
    expect(error.message).not.toContain(secret);
    expect(error.message).not.toContain("\n");
  });

  test.each([
    ["brackets", "[".repeat(50_000), 17],
    ["brackets on lines", "[\n".repeat(50_000), 1],
    ["groups", "{a: ".repeat(40_000), 65],
    ["lists on a line", "- ".repeat(100_000), 33],
    ["names on a line", "a: ".repeat(50_000), 50],
    ["names behind question marks", "? ".repeat(100_000), 33],
    ["aliases of aliases", bomb(), 5],
  ])("nesting and expansion are rejected early: %s", (_name, text, column) => {
    const { error, ms } = refused(text);
    expect(error.column).toBe(column);
    expect(ms).toBeLessThan(2000);
  });

  test("brackets in text and groups with many names on one line are accepted", () => {
    const group = `{ ${Array.from({ length: 40 }, (_, index) => `a${index}: 1`).join(", ")} }`;
    expect(
      parseYaml(`a: '${"[".repeat(100)}' # ${"{".repeat(100)}\nb: ${group}\nc: x${"[".repeat(50)}\n`),
    ).toMatchObject({
      a: "[".repeat(100),
      b: { a39: 1 },
    });
  });
});

/** The "billion laughs" attack. */
function bomb(): string {
  const lines = ["a0: &a0 lol"];
  for (let level = 1; level < 30; level++) lines.push(`a${level}: &a${level} [${`*a${level - 1},`.repeat(10)}]`);
  return lines.join("\n");
}

function refused(text: string): { readonly error: YamlError; readonly ms: number } {
  const startMs = threadCpuMs();
  try {
    parseYaml(text);
  } catch (error) {
    if (error instanceof YamlError) return { error, ms: threadCpuMs() - startMs };
    throw error;
  }
  throw new Error("was not refused");
}
