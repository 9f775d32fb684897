/**
 * Converts the checked syntax tree to the `Policy` that the rest of the system uses: merges blocks, expands shorthand,
 * names each `_`, copies fixtures into tests, adds the default `allow` rules. The tree must have no errors.
 */
import type { Declarations, NameKind, TypeEntry } from "./declarations.ts";
import { desugarShorthand } from "./desugar-shorthand.ts";
import { desugarExpression, desugarLiteral, desugarParam, type Fresh, freshNames } from "./desugar-terms.ts";
import type { Assertion, Policy, PolicyTest, Rule, TypeDeclaration } from "./policy.ts";
import type { Call, Expression, Fixture, Head, Program, RuleStatement, Test } from "./syntax.ts";
import { termsOf, variableNames } from "./walk.ts";
import { must } from "../util/assert.ts";

export function desugar(program: Program, declarations: Declarations): Policy {
  const rules: Rule[] = [];
  const tests: PolicyTest[] = [];
  const facts: Policy["declarations"][number][] = [];
  const fixtures = new Map(
    program.statements.filter((one) => one.kind === "fixture").map((fixture) => [fixture.name.text, fixture]),
  );
  for (const statement of program.statements) {
    if (statement.kind === "rule") rules.push(desugarRule(statement));
    if (statement.kind === "block")
      rules.push(...statement.rules.map((rule) => desugarShorthand(rule, statement, declarations)));
    if (statement.kind === "test") tests.push(desugarTest(statement, fixtures));
    if (statement.kind === "declare") {
      const { predicate, types, span } = statement;
      facts.push({ predicate: predicate.text, types: types.map((type) => type.text), span });
    }
  }
  if (!rules.some((rule) => rule.predicate === "allow")) rules.push(...defaultAllow);
  const types = new Map([...declarations.types].map(([name, entry]) => [name, typeDeclaration(entry)]));
  const namesOfKind = (kind: NameKind) =>
    [...declarations.global.values()].filter((name) => name.kind === kind).map((name) => name.name);
  return {
    types,
    global: { roles: namesOfKind("role"), permissions: namesOfKind("permission") },
    names: [declarations.global, ...[...declarations.types.values()].map((type) => type.own)].flatMap((names) =>
      [...names.values()].map(({ name, kind, owner, span }) => ({ name, kind, owner, span })),
    ),
    rules,
    declarations: facts,
    tests,
  };
}

function typeDeclaration(entry: TypeEntry): TypeDeclaration {
  const ofKind = (kind: NameKind) => [...entry.names.values()].filter((name) => name.kind === kind);
  return {
    name: entry.name,
    kind: entry.kind,
    // `Actor` and `Resource` are implicit supertypes of every actor and resource.
    supertypes: entry.supertypes.map((type) => type.text).filter((name) => name !== "Actor" && name !== "Resource"),
    roles: ofKind("role").map(({ name }) => name),
    permissions: ofKind("permission").map(({ name }) => name),
    relations: new Map(ofKind("relation").map(({ name, type }) => [name, must(type).text])),
    span: entry.span,
  };
}

function desugarRule({ head, body, span }: RuleStatement): Rule {
  const fresh = freshFor(head, body);
  return {
    predicate: head.predicate.text,
    params: head.params.map((param) => desugarParam(param, fresh)),
    body: body && desugarExpression(body, fresh),
    span,
    implicit: false,
  };
}

function desugarTest({ name, setup, assertions, span }: Test, fixtures: ReadonlyMap<string, Fixture>): PolicyTest {
  const facts = setup.flatMap((item) => (item.kind === "call" ? [item] : must(fixtures.get(item.name.text)).facts));
  return { name: name.text, facts: facts.map(desugarFact), assertions: assertions.map(desugarAssertion), span };
}

function desugarFact({ predicate, args, span }: Call): PolicyTest["facts"][number] {
  return { predicate: predicate.text, args: args.map(desugarLiteral), span };
}

function desugarAssertion({ expected, head, iff, span }: Test["assertions"][number]): Assertion {
  const fresh = freshFor(head, iff);
  const params = head.params.map((param) => desugarParam(param, fresh));
  return { expected, predicate: head.predicate.text, params, iff: iff && desugarExpression(iff, fresh), span };
}

function freshFor({ params }: Head, body: Expression | undefined): Fresh {
  const terms = params.map((param) => param.term);
  return freshNames(variableNames(body ? [...terms, ...termsOf(body)] : terms));
}

/** `allow(actor, action, resource) if has_permission(actor, action, resource);` and the same for global permissions. */
const defaultAllow: readonly Rule[] = [
  ["actor", "action", "resource"],
  ["actor", "action"],
].map((names): Rule => {
  const span = { file: "", start: 0, end: 0 };
  const variables = names.map((name) => ({ kind: "variable", name, span }) as const);
  return {
    predicate: "allow",
    params: variables.map((term) => ({ term, type: undefined })),
    body: { kind: "call", predicate: "has_permission", args: variables, span },
    span,
    implicit: true,
  };
});
