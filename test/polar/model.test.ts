/** The model of a policy: what implies what in each form of a rule, and that shorthand and its longhand have the same. */
import { describe, expect, test } from "bun:test";
import { compile } from "../../src/polar/compile.ts";
import { explainRules } from "../../src/polar/explain-rules.ts";
import { type ModelName, type PolicyModel, policyModel } from "../../src/polar/model.ts";
import { must } from "../../src/util/assert.ts";
import { compileText, limits } from "./compile.ts";
import { hasCorpus, policyTexts } from "./texts.ts";

const blocks = `
actor User {}
actor Team { roles = ["member"]; relations = { lead: User }; "member" if "lead"; }
global { roles = ["admin"]; }
resource Folder {
  roles = ["writer", "reader"]; permissions = ["read", "write"]; relations = { parent: Folder };
  RULES
}
`;

function implied(rules: string, outside = ""): string[] {
  const { policy } = compileText(`${blocks.replace("RULES", rules)}\n${outside}`);
  return must(policyModel(must(policy)))
    .implications.filter(({ to }) => to.type !== "Team")
    .map(({ from, to, through, conditional }) => {
      const by = from === undefined ? "rule" : nameOf(from);
      return `${by}${through === undefined ? "" : ` through ${through}`} => ${nameOf(to)}${conditional ? ", if" : ""}`;
    });
}

function nameOf({ type, kind, name }: ModelName): string {
  return `${type} ${kind} ${name}`;
}

describe("what implies what", () => {
  test.each([
    [`"reader" if "writer";`, "", ["Folder role writer => Folder role reader"]],
    [`"read" if "reader" on "parent";`, "", ["Folder role reader through parent => Folder permission read"]],
    [`"read" if global "admin";`, "", ["global role admin => Folder permission read"]],
    [`"read" if is_public(resource);`, "", ["rule => Folder permission read, if"]],
    [`"read" if "reader" and is_active(actor);`, "", ["Folder role reader => Folder permission read, if"]],
    [
      `"read" if "reader" or is_public(resource);`,
      "",
      ["Folder role reader => Folder permission read", "rule => Folder permission read, if"],
    ],
    [
      `role if role on "parent";`,
      "",
      [
        "Folder role writer through parent => Folder role writer",
        "Folder role reader through parent => Folder role reader",
      ],
    ],
    ["", `has_permission(_: User, "read", _: Folder);`, ["rule => Folder permission read"]],
    [
      "",
      `has_role(u: User, "writer", f: Folder) if t matches Team and in_team(f, t) and has_role(u, "member", t);`,
      ["Team role member => Folder role writer, if"],
    ],
    [
      "",
      `has_role(u: User, "writer", f: Folder) if has_role(u, "reader", f) and not has_role(u, "admin");`,
      ["Folder role reader => Folder role writer, if"],
    ],
    ["", `allow(a: User, x: String, f: Folder) if has_permission(a, x, f);`, []],
    [
      "",
      `allow(a: User, "read", f: Folder) if has_role(a, "reader", f);`,
      ["Folder role reader => Folder permission read"],
    ],
  ] as const)("%s %s", (rules, outside, expected) => {
    expect(implied(rules, outside)).toEqual([...expected]);
  });

  test("a relation to an actor gives a role", () => {
    const model = policyModel(must(compileText(blocks.replace("RULES", "")).policy));
    expect(model.implications.map(({ from, to }) => [from && nameOf(from), nameOf(to)])).toEqual([
      ["Team relation lead", "Team role member"],
    ]);
    expect(model.types.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      "actor User",
      "actor Team",
      "resource Folder",
      "global global",
    ]);
  });
});

test(`shorthand and longhand are the same (${hasCorpus ? "with" : "without"} ../shared/corpus)`, () => {
  let compared = 0;
  for (const text of policyTexts()) {
    const { policy, sources } = compileText(text);
    if (policy === undefined) continue;
    const { rules } = explainRules(sources, policy, limits);
    const model = policyModel(policy);
    let rest = "";
    let from = 0;
    for (const { span } of rules) {
      rest += text.slice(from, span.start);
      from = span.end;
    }
    rest += text.slice(from);
    const longhand = rules.map(({ longhand: rule }) => rule).join("\n");
    const files = [
      { name: "blocks.polar", text: rest },
      { name: "longhand.polar", text: longhand },
    ];
    const again = compile(files, { ...limits, sourceBytesMax: Infinity }).policy;
    if (again === undefined) continue;
    expect(impliedBy(policyModel(again))).toEqual(impliedBy(model));
    compared += 1;
  }
  expect(compared).toBeGreaterThan(100);
});

function impliedBy({ implications }: PolicyModel): string[] {
  return implications
    .map(({ from, to, through, conditional }) => JSON.stringify([from, to, through, conditional]))
    .toSorted();
}
