/** Puts a translation together: the policy with its tests, the facts, and a list of what has no equivalent. */
import { stringLiteral } from "../polar/string-literal.ts";
import type { Fact, Value } from "../store/facts/fact.ts";
import { must } from "../util/assert.ts";
import { PolarPolicy, type PolicyLine } from "./polar-policy.ts";
import { subtractedKeys } from "./exclusions.ts";
import {
  type Expectation,
  type ExpectationGroup,
  relationKey,
  type RelationModel,
  type Relationship,
  type RelationSource,
  type Untranslated,
} from "./relation-model.ts";

export interface Translation {
  /** Polar, not formatted. */
  readonly policy: string;
  readonly facts: readonly Fact[];
  /** In the order of files and lines. */
  readonly untranslated: readonly Untranslated[];
}

/** What a node accepts. */
export interface NodeChecks {
  /** Returns the offsets of rules in the policy that depend on their own negation. */
  negativeCycles(policy: string): readonly number[];
  /** Returns why a node refuses the fact: a text that continues "the relationship". */
  problemOf(fact: Fact): string | undefined;
  /** Returns those of the facts that no rule of the policy reads. A node refuses them unless they are declared. */
  unused(policy: string, facts: readonly Fact[]): readonly Fact[];
}

export function translate(source: RelationSource, checks: NodeChecks): Translation {
  const policy = new PolarPolicy(source.model);
  const untranslated: Untranslated[] = [...source.untranslated];
  const subtracted = subtractedKeys(source.model);
  const lacking = new Set<string>();
  const factsOf = (relationships: readonly Relationship[]): Fact[] =>
    latest(relationships).flatMap((relationship) => {
      const { object, relation, condition, place } = relationship;
      const { facts, problems } = policy.stored(relationship, (fact) => checks.problemOf(fact));
      const refused = facts.flatMap((fact) => checks.problemOf(fact) ?? []);
      // What the model or a condition leaves out is left out there too, or closes the exclusions.
      const isDangerous = refused.length > 0 && subtracted.has(relationKey(object.type, relation));
      const effect = isDangerous ? ". An exclusion depends on it: the policy may allow more than the model" : "";
      const isLeftOut = refused.length > 0 || facts.length === 0;
      for (const problem of refused.length > 0 ? refused.slice(0, 1) : problems)
        untranslated.push({
          place,
          message: `the relationship ${problem}${isLeftOut ? ", so it is left out" : ""}${effect}`,
        });
      if (condition !== undefined && problems.length > 0) lacking.add(condition);
      return refused.length > 0 ? [] : facts;
    });
  const rules = withoutNegativeCycles(policy, source.model, checks, untranslated);
  const lines = [...rules.map(({ text }) => text), ...declarations(policy, rules, checks)];
  const facts = unique(factsOf(source.relationships));
  untranslated.push(...conditionLimits(policy, source));
  const tests = testLines(policy, source.tests, facts, (each) => unique(factsOf(each)), lacking, untranslated);
  const sorted = untranslated.toSorted(
    ({ place: one }, { place: other }) => one.file.localeCompare(other.file) || one.line - other.line,
  );
  return { policy: [...lines, ...tests].join("\n"), facts, untranslated: sorted };
}

/** What no relationship shows: how a condition has to be stored, or that it has no translation. */
function conditionLimits(
  policy: PolarPolicy,
  { model, conditionWord, relationships, tests }: RelationSource,
): Untranslated[] {
  const named = [...relationships, ...tests.flatMap((test) => test.relationships)];
  const stored = new Set(named.map(({ condition }) => condition));
  const used = policy.usedConditions();
  return model.conditions.flatMap(({ name, place }) =>
    stored.has(name) || !used.has(name)
      ? []
      : policy.conditions.limits(name).map((limit) => ({ place, message: `${conditionWord} \`${name}\`: ${limit}` })),
  );
}

/** Several relationships may share the instance of a condition. */
function unique(facts: readonly Fact[]): Fact[] {
  return [...new Map(facts.map((fact) => [printFact(fact), fact])).values()];
}

/** Declares the facts of relations that no rule reads, because a node refuses other facts. */
function declarations(policy: PolarPolicy, rules: readonly PolicyLine[], checks: NodeChecks): string[] {
  const unused = checks.unused(rules.map(({ text }) => text).join("\n"), policy.possibleFacts());
  const declared = new Set(
    unused.map(({ predicate, args }) => `declare ${predicate}(${args.map(({ type }) => type).join(", ")});`),
  );
  return declared.size === 0 ? [] : ["# No rule reads these facts.", ...declared];
}

/** There is one relationship between two objects: a later one replaces condition and end of an earlier one. */
function latest(relationships: readonly Relationship[]): Relationship[] {
  const byKey = relationships.map((relationship): [string, Relationship] => {
    const { object, relation, subject } = relationship;
    return [
      JSON.stringify([object.type, object.id, relation, subject.type, subject.id, subject.relation]),
      relationship,
    ];
  });
  return [...new Map(byKey).values()];
}

/**
 * OpenFGA and SpiceDB follow `but not` along the data. Polar refuses rules that depend on their own negation, so these
 * relations get no rules.
 */
function withoutNegativeCycles(
  policy: PolarPolicy,
  model: RelationModel,
  checks: NodeChecks,
  untranslated: Untranslated[],
): PolicyLine[] {
  const places = new Map(
    model.types.flatMap((type) => type.relations.map(({ name, place }) => [relationKey(type.name, name), place])),
  );
  const without = new Set<string>();
  for (let checked = 1; ; checked += 1) {
    const lines = policy.lines(without);
    const offsets = checks.negativeCycles(lines.map(({ text }) => text).join("\n"));
    const cyclic = offsets.flatMap((offset) => lineAt(lines, offset)?.relation ?? []);
    const keys = new Set(cyclic.map(({ type, name }) => relationKey(type, name)));
    // One relation fewer may break several cycles. After many checks, which take long, all of them go.
    const removed = [...keys].slice(0, checked < singleRemovalsMax ? 1 : keys.size);
    for (const key of removed) {
      without.add(key);
      const message = `\`${key}\` depends on its own negation, which Polar does not have: it gets no rules`;
      untranslated.push({ place: must(places.get(key)), message });
    }
    if (removed.length > 0) continue;
    for (const { key, place } of policy.closed(without)) {
      const message = `an exclusion of \`${key}\` depends on what is left out, so it admits nobody: write its rule by hand`;
      untranslated.push({ place, message });
    }
    return lines;
  }
}

const singleRemovalsMax = 20;

function lineAt(lines: readonly PolicyLine[], offset: number): PolicyLine | undefined {
  let end = 0;
  return lines.find(({ text }) => {
    end += text.length + 1;
    return offset < end;
  });
}

/** Facts of all tests together: a policy has a maximum size, which they would fill. */
const fixtureFactsMax = 10_000;

function testLines(
  policy: PolarPolicy,
  tests: readonly ExpectationGroup[],
  facts: readonly Fact[],
  factsOf: (relationships: readonly Relationship[]) => Fact[],
  lacking: ReadonlySet<string>,
  untranslated: Untranslated[],
): string[] {
  const names = new Set<string>();
  const written = tests.flatMap(({ name, relationships, expectations }) => {
    const own = factsOf(relationships).map(printFact);
    const groups = Map.groupBy(expectations, ({ context }) => (context === undefined ? "" : JSON.stringify(context)));
    return [...groups].flatMap(([context, group]) => {
      const given = contextFacts(policy, must(group[0]), lacking);
      if (typeof given === "string") {
        untranslated.push(...group.map(({ place }) => ({ place, message: `an assertion is left out: ${given}` })));
        return [];
      }
      const assertions = group.flatMap((expectation) => assertion(policy, expectation, untranslated));
      if (assertions.length === 0) return [];
      const setup = [...(facts.length > 0 ? ["fixture relationships;"] : []), ...own, ...given.map(printFact)];
      const title = unused(context === "" ? name : `${name}, with ${context}`, names);
      names.add(title);
      return [
        "",
        `test ${stringLiteral(title)} {`,
        ...(setup.length > 0 ? ["setup {", ...setup, "}"] : []),
        ...assertions,
        "}",
      ];
    });
  });
  if (facts.length * tests.length > fixtureFactsMax) {
    const [first] = tests;
    const place = first?.expectations[0]?.place ?? { file: "", line: 0 };
    untranslated.push({
      place,
      message: `the tests are left out: their ${facts.length} facts are too many for a policy`,
    });
    return [];
  }
  if (written.length === 0 || facts.length === 0) return written;
  return ["", "test fixture relationships {", ...facts.map(printFact), "}", ...written];
}

/** The facts of the context of a question, or why it cannot be asked. `lacking` has conditions without a value. */
function contextFacts(
  policy: PolarPolicy,
  { context }: Expectation,
  lacking: ReadonlySet<string>,
): readonly Fact[] | string {
  if (context === undefined) return [];
  for (const condition of lacking)
    for (const name of policy.conditions.storedNames(condition))
      if (name in context) return `only a relationship can give \`${name}\` to \`${condition}\``;
  const facts = policy.conditions.contextFacts(policy.usedConditions(), context);
  return typeof facts === "string" ? `its context has a \`${facts}\` that Polar cannot hold exactly` : facts;
}

function unused(name: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? name : `${name} (${number})`;
    if (!taken.has(candidate)) return candidate;
  }
}

function assertion(policy: PolarPolicy, expectation: Expectation, untranslated: Untranslated[]): string[] {
  const leaveOut = (reason: string): string[] => {
    untranslated.push({ place: expectation.place, message: `an assertion is left out: ${reason}` });
    return [];
  };
  const { relation } = expectation;
  if (expectation.kind !== "subjects") {
    const { subject } = expectation;
    if (subject.relation !== undefined)
      return leaveOut(`it asks about \`${subject.type}#${subject.relation}\`, which is no actor`);
    if (subject.id === "*") return leaveOut(`it asks about everyone of type \`${subject.type}\`, which is no actor`);
  }
  const [subject, object] =
    expectation.kind === "subjects"
      ? [undefined, expectation.object]
      : [expectation.subject, "object" in expectation ? expectation.object : undefined];
  const [subjectType, objectType] = [subject?.type ?? listedType(expectation), object?.type ?? listedType(expectation)];
  const action = policy.action(subjectType, relation, objectType);
  if (action === undefined) return leaveOut("the model has no such relation or type");
  const ask = (found: string): string => {
    const [by, on] = [subject, object].map((each) =>
      each === undefined ? found : printValue(must(policy.value(each))),
    );
    return `allow(${by}, ${stringLiteral(action)}, ${on})`;
  };
  if (expectation.kind === "check") return [`${expectation.holds ? "assert" : "assert_not"} ${ask("")};`];
  const values = expectation.ids.map((id) => must(policy.value({ type: expectation.type, id })));
  const type = must(policy.value({ type: expectation.type, id: "" })).type;
  return values.length === 0
    ? [`assert_not ${ask(`_: ${type}`)};`]
    : [`assert ${ask(`found: ${type}`)} iff found in [${values.map(printValue).join(", ")}];`];
}

/** The type of the values that an expectation lists. */
function listedType(expectation: Expectation): string {
  return "type" in expectation ? expectation.type : "";
}

function printFact({ predicate, args }: Fact): string {
  return `${predicate}(${args.map(printValue).join(", ")});`;
}

function printValue({ type, id }: Value): string {
  if (type === "String") return stringLiteral(id);
  return type === "Integer" || type === "Boolean" ? id : `${type}{${stringLiteral(id)}}`;
}
