/**
 * The longhand of a shorthand rule has the same rules in its place, for all policies of the tests and for random ones.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { compile } from "../../src/polar/compile.ts";
import { explainRules } from "../../src/polar/explain-rules.ts";
import type { Policy, Rule } from "../../src/polar/policy.ts";
import { printRule } from "../../src/polar/print.ts";
import { policySpec, writePolicy } from "../fuzz/policy.ts";
import { seededRuns } from "../seeds.ts";
import { compileText, limits } from "./compile.ts";
import { hasCorpus, policyTexts } from "./texts.ts";

function explain(text: string) {
  const { policy, sources } = compileText(text);
  if (!policy) throw new Error(`not a policy:\n${text}`);
  return { policy, ...explainRules(sources, policy, limits) };
}

/** Compares the rules of the policy with those of a policy that has the longhand instead of the shorthand. */
function standsFor(text: string): void {
  const { policy, rules, implicit } = explain(text);
  let blocks = "";
  let from = 0;
  for (const { span } of rules) {
    blocks += text.slice(from, span.start);
    from = span.end;
  }
  blocks += text.slice(from);
  const longhand = [...rules.map((rule) => rule.longhand), ...implicit].join("\n");
  const files = [
    { name: "blocks.polar", text: blocks },
    { name: "longhand.polar", text: longhand },
  ];
  const again = compile(files, { ...limits, sourceBytesMax: Infinity });
  expect(again.policy && rulesOf(again.policy)).toEqual(rulesOf(policy));
  const reported = again.diagnostics.filter(
    ({ code, span }) => code === "rule/singleton" && span.file === "longhand.polar",
  );
  expect(reported).toEqual([]);
}

/** Sorted rules, with variables named in the order of their use. */
function rulesOf({ rules }: Policy): string[] {
  return rules.map(printWithoutNames).sort();
}

function printWithoutNames(rule: Rule): string {
  const names = new Map<string, string>();
  return printRule(rule, (name) => {
    const known = names.get(name) ?? `v${names.size}`;
    names.set(name, known);
    return known;
  });
}

const texts = policyTexts().filter((text) => compileText(text).policy !== undefined);

test(`policies (${hasCorpus ? "with" : "without"} ../shared/corpus)`, () => {
  expect(texts.filter((text) => explain(text).rules.length > 0).length).toBeGreaterThan(50);
  for (const text of texts) standsFor(text);
});

test.each(seededRuns(20_240_501, 40))("$runs random policies with seed $seed", ({ seed, runs }) => {
  fc.assert(
    fc.property(policySpec, (spec) => {
      const text = writePolicy(spec);
      if (compileText(text).policy) standsFor(text);
    }),
    { numRuns: runs, seed },
  );
});

test("the form of the longhand", () => {
  const { rules, implicit } = explain(`
    actor User {}
    resource Org { roles = ["member"]; }
    global { roles = ["root"]; }
    resource Doc {
      roles = ["reader"]; permissions = ["read"]; relations = { org: Org };
      "reader" if "member" # why
        on
        "org";
      @flag "reader" if (global "root");
      "read" if is_public(resource) or has_key(actor, key, _, _other);
      permission if role on "org" and "reader";
    }
  `);
  expect(rules.map(({ shorthand, longhand }) => `${shorthand}\n${longhand}`)).toEqual([
    '"reader" if "member" on "org";\n' +
      'has_role(actor: Actor, "reader", resource: Doc) if\n' +
      '  org matches Org and\n  has_relation(resource, "org", org) and\n  has_role(actor, "member", org);',
    '@flag "reader" if global "root";\n' +
      'has_role(actor: Actor, "reader", _resource: Doc) if has_role(actor, "root");',
    '"read" if is_public(resource) or has_key(actor, key, _, _other);\n' +
      'has_permission(actor: Actor, "read", resource: Doc) if\n' +
      "  is_public(resource) or\n  has_key(actor, _key, _, _other);",
    'permission if role on "org" and "reader";\n' +
      "has_permission(actor: Actor, _permission: String, resource: Doc) if\n" +
      '  org matches Org and\n  has_relation(resource, "org", org) and\n  has_role(actor, _role, org) and\n' +
      '  has_role(actor, "reader", resource);',
  ]);
  expect(implicit).toEqual([
    "allow(actor, action, resource) if has_permission(actor, action, resource);",
    "allow(actor, action) if has_permission(actor, action);",
  ]);
});

test("a policy with an `allow` of its own gets none", () => {
  expect(explain("allow(u: User, _, _) if is_root(u); actor User {}")).toMatchObject({ rules: [], implicit: [] });
});
