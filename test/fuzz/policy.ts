/** Random policies: fixed blocks, with random shorthand rules, longhand rules and policy facts that fit them. */
import fc from "fast-check";
import { permissionNames, policyFact, roleNames, rule, writeRule, type Rule, type Setting } from "./rules.ts";

type Block = "User" | "A" | "B" | "C" | "global";

type Atom =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "on"; readonly name: string; readonly relation: string }
  | { readonly kind: "global"; readonly name: string }
  | { readonly kind: "call"; readonly text: string };

interface Shorthand {
  readonly block: Block;
  readonly head: string;
  readonly body: readonly (readonly Atom[])[];
}

export interface PolicySpec {
  readonly setting: Setting;
  /** The types of the relation `up` of A and B. */
  readonly up: readonly [string, string];
  /** The rules of most policies. Without some of them hardly anything would be allowed. */
  readonly usual: readonly string[];
  readonly usualLonghand: typeof usualLonghand;
  readonly shorthand: readonly Shorthand[];
  readonly rules: readonly Rule[];
  readonly facts: readonly string[];
}

const names = fc.constantFrom<string>(...roleNames, ...roleNames, ...permissionNames);

const atom: fc.Arbitrary<Atom> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("name" as const), name: fc.oneof(names, fc.constant("own")) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("on" as const),
      name: fc.oneof(names, fc.constantFrom("own", "same", "same")),
      relation: fc.constantFrom("up", "up", "up", "own"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("global" as const), name: fc.constantFrom("g", "h", "gp") }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("call" as const),
      text: fc.constantFrom(
        "flag(resource)",
        "flag(actor)",
        "link(actor, resource)",
        'tag(resource, "x")',
        "level(resource, 1)",
      ),
    }),
  },
);

const shorthand: fc.Arbitrary<Shorthand> = fc.record({
  block: fc.constantFrom<Block>("User", "A", "A", "A", "B", "B", "C", "global"),
  head: fc.oneof(
    { weight: 5, arbitrary: names },
    { weight: 2, arbitrary: fc.constantFrom("role", "role", "permission") },
  ),
  body: fc.array(fc.array(atom, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 2 }),
});

const usualRules = [
  '"p" if "r"',
  '"q" if "r" and flag(resource)',
  '"q" if "s"',
  '"r" if "s"',
  '"s" if "own"',
  '"p" if "t" on "up"',
  '"r" if "r" on "up"',
  'role if role on "up"',
  '"t" if "own" on "up"',
];

/**
 * Forms that random parts rarely produce: non-linear recursion, groups, two recursive roles, a negated role; recursion
 * between two types, along a relation, against it, along two relations, and in both arguments; mutually recursive
 * roles.
 */
const usualLonghand: readonly { readonly text: string; readonly fits?: (setting: Setting) => boolean }[] = [
  { text: 'near(x: Resource, z: Resource) if has_relation(x, "up", z);' },
  { text: "near(x: Resource, z: Resource) if near(x, y) and near(y, z);" },
  {
    text: "has_role(u: User, a: String, x: Resource) if near(x, y) and has_role(u, a, y);",
    fits: ({ deepNegation, nearLevel }) => !deepNegation || nearLevel <= 2,
  },
  { text: 'has_role(u: User, "t", x: A) if has_role(u, "r", x) and has_relation(x, "up", y) and has_role(u, "t", y);' },
  { text: 'has_role(u: User, "s", x: Resource) if link(u, y) and y matches User and has_role(y, "s", x);' },
  { text: 'has_role(u: User, "s", x: Resource) if link(u, y) and y matches Bot and has_role(y, "s", x);' },
  { text: 'has_role(u: Bot, "s", x: Resource) if link(u, y) and y matches User and has_role(y, "s", x);' },
  { text: 'has_role(u: User, a: String, x: A) if has_relation(x, "up", y) and y matches B and has_role(u, a, y);' },
  { text: 'has_role(u: User, a: String, x: B) if has_relation(x, "up", y) and y matches A and has_role(u, a, y);' },
  { text: 'has_role(u: User, "r", x: B) if has_relation(y, "up", x) and y matches A and has_role(u, "r", y);' },
  {
    text: 'has_role(u: User, "s", x: B) if near(x, z) and z matches B and has_relation(z, "up", y) and y matches A and has_role(u, "s", y);',
    fits: ({ deepNegation, nearLevel }) => !deepNegation || nearLevel <= 2,
  },
  { text: 'has_role(u: User, "r", x: Resource) if has_relation(x, "up", y) and has_role(u, "t", y);' },
  { text: 'has_role(u: User, "t", x: Resource) if has_relation(x, "up", y) and has_role(u, "r", y);' },
  { text: 'has_permission(u: User, "q", x: Resource) if has_role(u, "r", x) and not flag(x);' },
  {
    text: 'has_permission(u: User, "q", x: A) if has_permission(u, "p", x) and not has_role(u, "s", x);',
    fits: ({ deepNegation }) => deepNegation,
  },
];

export const policySpec: fc.Arbitrary<PolicySpec> = fc.record({
  setting: fc.record({ deepNegation: fc.boolean(), nearLevel: fc.constantFrom(1, 2, 3), subtype: fc.boolean() }),
  up: fc.tuple(fc.constantFrom("A", "B"), fc.constantFrom("A", "B")),
  usual: fc.subarray(usualRules),
  usualLonghand: fc.oneof(fc.constant([]), fc.subarray([...usualLonghand])),
  shorthand: fc.array(shorthand, { maxLength: 4 }),
  rules: fc.array(rule, { maxLength: 3 }),
  facts: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(policyFact, { maxLength: 2 }) },
  ),
});

export function writePolicy(spec: PolicySpec): string {
  const { setting, up, rules, facts } = spec;
  const block = (name: Block, kind: string, heading: string, upTo: string) =>
    [
      `${kind} ${heading} {`,
      `  roles = [${roleNames.map((role) => `"${role}"`).join(", ")}];`,
      `  permissions = [${permissionNames.map((permission) => `"${permission}"`).join(", ")}];`,
      `  relations = { up: ${upTo}, own: User };`,
      ...(kind === "resource" ? spec.usual.map((line) => `  ${line};`) : []),
      ...shorthandOf(spec, name).map((line) => `  ${line}`),
      "}",
    ].join("\n");
  const lines = [
    block("User", "actor", "User", "User"),
    `actor Bot ${setting.subtype ? "extends User " : ""}{}`,
    block("A", "resource", "A", up[0]),
    block("B", "resource", "B", up[1]),
    ...(setting.subtype
      ? [
          `resource C extends A {\n${shorthandOf(spec, "C")
            .map((line) => `  ${line}\n`)
            .join("")}}`,
        ]
      : ["resource C {}"]),
    `global {\n  roles = ["g", "h"];\n  permissions = ["gp"];\n${shorthandOf(spec, "global")
      .map((line) => `  ${line}\n`)
      .join("")}}`,
    ...spec.usualLonghand.filter(({ fits }) => fits?.(setting) ?? true).map(({ text }) => text),
    ...rules.map((one) => writeRule(one, setting)),
    // A policy with its own `allow` has no default one; most policies need it.
    ...(rules.some((one) => one.predicate === "allow")
      ? ["allow(actor, action, resource) if has_permission(actor, action, resource);"]
      : []),
    ...facts,
  ];
  return lines.filter((line) => line !== "").join("\n");
}

function shorthandOf(spec: PolicySpec, block: Block): string[] {
  if (block === "C" && !spec.setting.subtype) return [];
  return spec.shorthand
    .filter((one) => one.block === block)
    .flatMap((one) => (block === "global" ? globalRule(one) : [blockRule(one, spec.setting)]));
}

function globalRule({ head, body }: Shorthand): string[] {
  const name = head === "r" || head === "role" ? "g" : head === "s" ? "h" : "gp";
  const from = body.flat().map((one) => (one.kind === "name" && one.name === "r" ? "g" : "h"));
  return [`"${name}" if ${[...new Set(from)].map((role) => `"${role}"`).join(" and ")};`];
}

function blockRule({ head, body }: Shorthand, setting: Setting): string {
  const isRole = head === "role" || (roleNames as readonly string[]).includes(head);
  // Roles have a lower level than permissions.
  const legal = (name: string) =>
    isRole && setting.deepNegation && (permissionNames as readonly string[]).includes(name) ? "r" : name;
  const write = (one: Atom): string => {
    switch (one.kind) {
      case "name":
        return `"${legal(one.name)}"`;
      case "on": {
        const isKeyword = head === "role" || head === "permission";
        const name = one.name === "same" ? (isKeyword ? head : `"${head}"`) : `"${legal(one.name)}"`;
        return `${name} on "${one.relation}"`;
      }
      case "global":
        return `global "${isRole && setting.deepNegation && one.name === "gp" ? "g" : one.name}"`;
      case "call":
        return one.text;
    }
  };
  const left = head === "role" || head === "permission" ? head : `"${head}"`;
  return `${left} if ${body.map((atoms) => atoms.map(write).join(" and ")).join(" or ")};`;
}
