/**
 * The model of a policy: its types with their names, and what implies what. An implication comes from a rule in longhand,
 * so shorthand rules and written ones give the same.
 */
import type { Expression, Param, Policy, Rule, Term } from "./policy.ts";
import type { Span } from "./span.ts";

/** A role, a permission or a relation of a type, or of the whole system. */
export interface ModelName {
  /** `global` for the whole system. */
  readonly type: string;
  readonly kind: "role" | "permission" | "relation";
  readonly name: string;
}

export interface ModelType {
  readonly name: string;
  readonly kind: "actor" | "resource" | "global";
  readonly supertypes: readonly string[];
  readonly relations: readonly { readonly name: string; readonly type: string }[];
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  /** Undefined for the whole system. */
  readonly span: Span | undefined;
}

export interface Implication {
  /** Undefined if only other conditions lead to it, such as a fact about the resource. */
  readonly from: ModelName | undefined;
  readonly to: ModelName;
  /** The relation of the resource to the object that has `from`. */
  readonly through: string | undefined;
  /** Whether the rule has conditions besides. */
  readonly conditional: boolean;
  readonly span: Span;
}

export interface PolicyModel {
  readonly types: readonly ModelType[];
  /** Where each name is declared. */
  readonly names: readonly (ModelName & { readonly span: Span })[];
  readonly implications: readonly Implication[];
}

export function policyModel(policy: Policy): PolicyModel {
  const types = [...policy.types.values()].map(
    ({ name, kind, supertypes, roles, permissions, relations, span }): ModelType => ({
      ...{ name, kind, supertypes, roles, permissions, span },
      relations: [...relations].map(([relation, type]) => ({ name: relation, type })),
    }),
  );
  const { roles, permissions } = policy.global;
  const isGlobal = roles.length + permissions.length > 0;
  const all: ModelType = {
    name: globalType,
    kind: "global",
    supertypes: [],
    relations: [],
    roles,
    permissions,
    span: undefined,
  };
  return {
    types: isGlobal ? [...types, all] : types,
    names: policy.names.map(({ name, kind, owner, span }) => ({ type: owner, kind, name, span })),
    implications: policy.rules.filter(({ implicit }) => !implicit).flatMap((rule) => implicationsOf(rule, policy)),
  };
}

const globalType = "global";
const kinds = { has_role: "role", has_permission: "permission", allow: "permission" } as const;

/** Of a rule that gives an actor a role or a permission. Others, such as those of own predicates, imply no name. */
function implicationsOf(rule: Rule, policy: Policy): Implication[] {
  const kind = kindOf(rule.predicate);
  const [actor, name, resource] = rule.params;
  if (kind === undefined || actor === undefined || name === undefined) return [];
  const type = resource === undefined ? globalType : typeOfParam(resource);
  if (type === undefined) return [];
  const scope = scopeOf(rule, policy);
  const sources = rule.body === undefined ? [noSource(false)] : sourcesOf(rule.body, scope);
  const heads = name.term.kind === "literal" ? [name.term.id] : namesOf(type, kind, policy);
  const found = heads.flatMap((head) =>
    sources.flatMap(({ from, through, conditional }): Implication[] => {
      const to: ModelName = { type, kind, name: head };
      const source = from === undefined ? undefined : nameOf(from, head, name.term, policy);
      if (from !== undefined && source === undefined) return [];
      const isItself = source !== undefined && through === undefined && isSameName(source, to);
      return isItself ? [] : [{ from: source, to, through, conditional, span: rule.span }];
    }),
  );
  return found.slice(0, implicationsPerRuleMax);
}

/** A rule for all roles of a type makes one for each. */
const implicationsPerRuleMax = 200;

interface Source {
  /** Undefined if no name leads to it. */
  readonly from: { readonly type: string; readonly kind: ModelName["kind"]; readonly name: Term } | undefined;
  readonly through: string | undefined;
  readonly conditional: boolean;
}

/** What the variables of a rule are. */
interface Scope {
  readonly actor: string | undefined;
  readonly resource: string | undefined;
  readonly type: string | undefined;
  /** The types of other variables. */
  readonly types: ReadonlyMap<string, string>;
  /** The relation of the resource by the variable of the related object. */
  readonly related: ReadonlyMap<string, string>;
}

function scopeOf({ params: [actor, , resource], body }: Rule, { types: declared }: Policy): Scope {
  const [who, what] = [actor, resource].map((param) => (param?.term.kind === "variable" ? param.term.name : undefined));
  const type = resource && typeOfParam(resource);
  const types = new Map<string, string>();
  const related = new Map<string, string>();
  for (const condition of body === undefined ? [] : conditionsIn(body)) {
    if (condition.kind === "matches") types.set(condition.variable, condition.type);
    if (condition.kind !== "call" || condition.predicate !== "has_relation") continue;
    const [from, name, to] = condition.args;
    if (from?.kind !== "variable" || from.name !== what || name?.kind !== "literal" || to?.kind !== "variable")
      continue;
    related.set(to.name, name.id);
  }
  for (const [variable, relation] of related) {
    const known = declared.get(type ?? "")?.relations.get(relation);
    if (known !== undefined && !types.has(variable)) types.set(variable, known);
  }
  return { actor: who, resource: what, type, types, related };
}

/** The conditions of a rule, without those below a `not`. */
function conditionsIn(expression: Expression): Expression[] {
  const isList = expression.kind === "and" || expression.kind === "or";
  return isList ? expression.operands.flatMap(conditionsIn) : [expression];
}

/** Each name in the conditions that leads to the conclusion. */
function sourcesOf(expression: Expression, scope: Scope): Source[] {
  if (expression.kind === "or") return expression.operands.flatMap((operand) => sourcesOf(operand, scope));
  if (expression.kind !== "and") return [sourceOf(expression, scope) ?? noSource(true)];
  const parts = expression.operands.filter((operand) => !isLink(operand, scope));
  const found = parts.map((part) => sourcesOf(part, scope));
  const named = found.flat().filter(({ from }) => from !== undefined);
  const conditional = parts.length > 1;
  // A condition beside a name restricts it. It leads to the conclusion alone if each part has an alternative without names.
  const hasOthers = found.every((sources) => sources.some(({ from }) => from === undefined));
  return [
    ...named.map((source) => ({ ...source, conditional: source.conditional || conditional })),
    ...(hasOthers ? [noSource(true)] : []),
  ];
}

function noSource(conditional: boolean): Source {
  return { from: undefined, through: undefined, conditional };
}

/** Whether a condition only says which object is related. */
function isLink(condition: Expression, { actor, resource, related }: Scope): boolean {
  if (condition.kind === "matches") return related.has(condition.variable);
  if (condition.kind !== "call" || condition.predicate !== "has_relation") return false;
  const [from, , to] = condition.args;
  return from?.kind === "variable" && from.name === resource && to?.kind === "variable" && to.name !== actor;
}

function sourceOf(condition: Expression, { actor, resource, type, types, related }: Scope): Source | undefined {
  if (condition.kind !== "call") return undefined;
  const [first, name, third] = condition.args;
  if (first?.kind !== "variable" || name === undefined) return undefined;
  if (condition.predicate === "has_relation") {
    const isToActor = first.name === resource && third?.kind === "variable" && third.name === actor;
    if (!isToActor || type === undefined) return undefined;
    return { from: { type, kind: "relation", name }, through: undefined, conditional: false };
  }
  const kind = kindOf(condition.predicate);
  if (kind === undefined || first.name !== actor) return undefined;
  if (third === undefined) return { from: { type: globalType, kind, name }, through: undefined, conditional: false };
  if (third.kind !== "variable") return undefined;
  if (third.name === resource && type !== undefined)
    return { from: { type, kind, name }, through: undefined, conditional: false };
  const other = types.get(third.name);
  const through = related.get(third.name);
  if (other === undefined) return undefined;
  return { from: { type: other, kind, name }, through, conditional: through === undefined };
}

/** The name of a source; a variable is the name of the conclusion, if the type has it. */
function nameOf(
  { type, kind, name }: NonNullable<Source["from"]>,
  head: string,
  headTerm: Term,
  policy: Policy,
): ModelName | undefined {
  if (name.kind === "literal") return { type, kind, name: name.id };
  const isHead = name.kind === "variable" && headTerm.kind === "variable" && name.name === headTerm.name;
  return isHead && namesOf(type, kind, policy).includes(head) ? { type, kind, name: head } : undefined;
}

function isSameName(one: ModelName, other: ModelName): boolean {
  return one.type === other.type && one.kind === other.kind && one.name === other.name;
}

function namesOf(type: string, kind: ModelName["kind"], { types, global }: Policy): readonly string[] {
  const names = type === globalType ? global : types.get(type);
  if (names === undefined || kind === "relation") return [];
  return kind === "role" ? names.roles : names.permissions;
}

function kindOf(predicate: string): "role" | "permission" | undefined {
  return Object.hasOwn(kinds, predicate) ? kinds[predicate as keyof typeof kinds] : undefined;
}

function typeOfParam({ term, type }: Param): string | undefined {
  return term.kind === "literal" ? term.type : type;
}
