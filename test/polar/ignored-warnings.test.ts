/** Comments that turn off warnings: they survive formatting, and never turn off an error. */
import { expect, test } from "bun:test";
import { compile } from "../../src/polar/compile.ts";
import { format } from "../../src/polar/format.ts";
import { compileText, limits } from "./compile.ts";

const rule = `has_permission(user: User, "view", doc: Doc) if is_member(user, doc, group) and not (is_banned(user) or is_away(user));`;
const block = `actor User {}\nresource Doc { permissions = ["view"]; }\n`;
const codes = "rule/singleton, rule/wide-negation";

function codesOf(text: string): string[] {
  return compileText(text).diagnostics.map(({ code }) => code);
}

test.each([
  ["after the statement", `${block}${rule} # ignore ${codes}\n`],
  ["alone before it", `${block}# ignore ${codes}: groups do not matter\n${rule}`],
  ["with tabs", `${block}#\tignore\t${codes.replace(" ", "\t")}\n${rule}`],
  ["with other comments", `${block}## ignore: ${codes}\n# why\n${rule}`],
  ["of several lines", `${block}${rule.replaceAll(" and ", "\n and ").replaceAll("if ", "if\n")} # ignore ${codes}`],
])("a comment %s, also when it is formatted", (_, text) => {
  expect(codesOf(text)).toEqual([]);
  const formatted = format({ name: "policy.polar", text }, limits);
  expect("text" in formatted ? codesOf(formatted.text) : formatted).toEqual([]);
});

test.each([
  ["of another code", `${block}${rule} # ignore rule/singletons, rule/wide`],
  [
    "of another statement",
    `${block}# ignore ${codes}\nis_open(Doc{"d"});\n${rule}\nis_open(Doc{"e"}); # ignore ${codes}`,
  ],
  ["in a string", `${block}is_open("# ignore ${codes}");\n${rule}`],
  ["in the text of a comment", `${block}${rule} # do not ignore ${codes}`],
])("a comment %s turns off nothing", (_, text) => {
  expect(codesOf(text)).toEqual(["rule/singleton", "rule/wide-negation"]);
});

test("errors stay, and so do warnings of other files", () => {
  expect(codesOf(`resource Doc { "a" if "b"; } # ignore block/undeclared-name`)).toContain("block/undeclared-name");
  const ignoring = { name: "a.polar", text: `# ignore rule/singleton\nf(x) if g(x);` };
  const { diagnostics } = compile([ignoring, { name: "b.polar", text: `h(x) if g(x) and k(y);` }], limits);
  expect(diagnostics.map(({ code, span }) => `${span.file} ${code}`)).toEqual(["b.polar rule/singleton"]);
});
