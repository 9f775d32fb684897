/**
 * Warnings about roles, permissions and relations that longhand or a test uses and no block declares. They find
 * misspelled names; under a `not` such a name would let everybody pass, and in a test an `assert_not` would prove
 * nothing. Oso Cloud accepts them, so it is no error. There is none if one rule derives the name and another asks for
 * it, and none for types whose blocks declare no names.
 */
import type { Declarations, NameKind } from "../declarations.ts";
import { quote } from "../report.ts";
import { stringLiteral } from "../string-literal.ts";
import type {
  Block,
  Name,
  Param,
  RuleStatement,
  Scalar,
  SetupItem,
  ShorthandAtom,
  ShorthandTerm,
  Term,
} from "../syntax.ts";
import { atomsOf } from "../walk.ts";
import type { Context } from "./context.ts";
import { kinds, type Owner, type Owners } from "./owners.ts";
import {
  type Scope,
  type ScopedCall,
  scopedCalls,
  scopeOfBody,
  scopeOfHead,
  scopeOfTypes,
  stringsSaidOf,
  typesSaidOf,
} from "./scoped-calls.ts";

export function checkUndeclaredNames(owners: Owners, context: Context): void {
  const { declarations } = context;
  const rules = context.program.statements.flatMap((statement): NamingRule[] => {
    if (statement.kind === "rule") return [longhandRule(statement, owners)];
    return statement.kind === "block"
      ? statement.rules.map((rule) => shorthandRule(rule, statement, owners, declarations))
      : [];
  });
  const hasOwnAllow = rules.some(({ predicate }) => predicate === "allow");
  const known: Known = {
    owners,
    given: new NameIndex(owners, hasOwnAllow),
    asked: new NameIndex(owners, hasOwnAllow),
    askedByVariable: new NameIndex(owners, hasOwnAllow),
    hasOwnAllow,
  };
  for (const { head, calls } of rules) {
    if (head) known.given.add(head);
    for (const call of calls) (call.names ? known.asked : known.askedByVariable).add(call);
  }
  for (const rule of rules) checkRule(rule, known, context);
  checkTests(known, context);
}

/** The roles, permissions and relations that a rule names. */
interface NamingRule {
  readonly predicate: string;
  readonly head: Naming | undefined;
  readonly calls: readonly Naming[];
}

/** A head or a call with the name of a role, permission or relation. */
interface Naming {
  readonly position: "head" | "body" | "not" | "fact" | "denied";
  readonly predicate: string;
  readonly arity: number;
  readonly kind: NameKind;
  /** The possible names; `undefined` for any name. */
  readonly names: readonly Scalar[] | undefined;
  readonly owner: Owner;
}

const kindOf: ReadonlyMap<string, NameKind> = new Map([
  ["allow", "permission"],
  ["has_role", "role"],
  ["has_permission", "permission"],
  ["has_relation", "relation"],
]);

function longhandRule({ head, body }: RuleStatement, owners: Owners): NamingRule {
  const scope = scopeOfHead(head);
  const calls = body === undefined ? [] : [...scopedCalls(body, scope)];
  return {
    predicate: head.predicate.text,
    head: namingOf("head", head.predicate, head.params, scopeOfBody(body, scope), owners),
    calls: calls.flatMap((found) => namingOfCall(found, owners) ?? []),
  };
}

/** `checks/shorthand.ts` checks the quoted names. `role if …` derives any role, and calls are as in longhand. */
function shorthandRule(
  { head, body }: Block["rules"][number],
  block: Block,
  owners: Owners,
  declarations: Declarations,
): NamingRule {
  const isGlobal = block.blockKind === "global";
  const resource = { type: block.name.text, exact: false };
  const scope = scopeOfTypes([
    ["actor", [{ type: "Actor", exact: false }]],
    ...(isGlobal ? [] : ([["resource", [resource]]] as const)),
  ]);
  const owner = isGlobal ? owners.global : owners.narrowest([resource]);
  return {
    predicate: "",
    head: head.quoted || !owner ? undefined : anyName(head, owner, isGlobal ? 2 : 3),
    calls: [...atomsOf(body)].flatMap((atom) =>
      atom.kind === "call"
        ? (namingOfCall({ call: atom, scope, isNegated: false }, owners) ?? [])
        : anyNameOn(atom, block, owners, declarations),
    ),
  };
}

/** `role on "org"` asks for any role of the related type. */
function anyNameOn(atom: ShorthandAtom, block: Block, owners: Owners, declarations: Declarations): Naming[] {
  if (atom.kind !== "on" || atom.term.quoted) return [];
  const type = declarations.types.get(block.name.text)?.names.get(atom.target.text)?.type;
  const owner = type && owners.narrowest([{ type: type.text, exact: false }]);
  return owner ? [{ ...anyName(atom.term, owner, 3), position: "body" }] : [];
}

function anyName({ text }: ShorthandTerm, owner: Owner, arity: number): Naming {
  const kind = text === "role" ? "role" : "permission";
  return { position: "head", predicate: `has_${kind}`, arity, kind, names: undefined, owner };
}

function namingOfCall({ call, scope, isNegated }: ScopedCall, owners: Owners): Naming | undefined {
  const args = call.args.map((term) => ({ term, type: undefined }));
  return namingOf(isNegated ? "not" : "body", call.predicate, args, scope, owners);
}

function namingOf(
  position: Naming["position"],
  { text }: Name,
  args: readonly Param[],
  scope: Scope,
  owners: Owners,
): Naming | undefined {
  const kind = kindOf.get(text);
  const [first, name, last] = args;
  const arity = args.length;
  if (kind === undefined || !first || !name || arity > 3 || (kind === "relation" && arity < 3)) return undefined;
  // The owner is the first argument of `has_relation` and the last argument of the others.
  const owned = kind === "relation" ? first : last;
  const owner = owned === undefined ? owners.global : ownerOf(owned, scope, owners);
  return owner && { position, predicate: text, arity, kind, names: namesOf(name.term, scope), owner };
}

function ownerOf({ term, type }: Param, scope: Scope, owners: Owners): Owner | undefined {
  if (term.kind === "typed") return owners.narrowest([{ type: term.type.text, exact: true }]);
  if (term.kind !== "variable") return undefined;
  const said = typesSaidOf(term.name, scope);
  return owners.narrowest(type ? [...said, { type: type.text, exact: false }] : said);
}

function namesOf(term: Term, scope: Scope): readonly Scalar[] | undefined {
  if (term.kind === "variable") return stringsSaidOf(term.name, scope);
  return term.kind === "string" ? [term] : [];
}

interface Known {
  readonly owners: Owners;
  /** Names in heads of rules. */
  readonly given: NameIndex;
  /** Names in conditions of rules. */
  readonly asked: NameIndex;
  /** Conditions of rules that ask for any name. */
  readonly askedByVariable: NameIndex;
  /** Without an `allow` rule, the default ones ask for any permission. */
  readonly hasOwnAllow: boolean;
}

/** The names of heads or of conditions, with the owners that they are used for. */
class NameIndex {
  readonly #owners: Owners;
  readonly #hasOwnAllow: boolean;
  readonly #found = new Map<string, Set<Owner>>();
  readonly #names = new Map<string, Set<string>>();

  constructor(owners: Owners, hasOwnAllow: boolean) {
    this.#owners = owners;
    this.#hasOwnAllow = hasOwnAllow;
  }

  add({ predicate, arity, names, owner }: Naming): void {
    const known = this.#names.getOrInsertComputed(this.#keyOf(predicate, arity, undefined), () => new Set());
    for (const { text } of names ?? []) known.add(text);
    const texts = names?.map(({ text }) => text) ?? [undefined];
    for (const text of texts)
      this.#found.getOrInsertComputed(this.#keyOf(predicate, arity, text), () => new Set()).add(owner);
  }

  has(naming: Naming, name: string): boolean {
    return [name, undefined].some((one) => this.hasExactly(naming, one));
  }

  /** `undefined` for any name. */
  hasExactly({ predicate, arity, owner }: Naming, name: string | undefined): boolean {
    const found = this.#found.get(this.#keyOf(predicate, arity, name)) ?? new Set();
    return found.has(owner) || found.values().some((other) => this.#owners.overlap(other, owner));
  }

  /** Names that are used for the owner of `naming`. */
  *names(naming: Naming): Generator<string> {
    const names = this.#names.get(this.#keyOf(naming.predicate, naming.arity, undefined)) ?? [];
    for (const name of names) if (this.has(naming, name)) yield name;
  }

  /** The default `allow` is the same as `has_permission`. */
  #keyOf(predicate: string, arity: number, name: string | undefined): string {
    const asked = predicate === "allow" && !this.#hasOwnAllow ? "has_permission" : predicate;
    return JSON.stringify([asked, arity, name]);
  }
}

/** A name that several calls of a rule share, as with `role in […]`, has to be known for one of them. */
function checkRule({ head, calls }: NamingRule, known: Known, context: Context): void {
  const unknown = new Map<Scalar, Naming | undefined>();
  for (const naming of head ? [head, ...calls] : calls) {
    for (const name of naming.names ?? []) {
      const isKnown = unknown.has(name) && unknown.get(name) === undefined;
      if (isKnown || !isUndeclared(name.text, naming, known)) unknown.set(name, undefined);
      else if (!unknown.has(name)) unknown.set(name, naming);
    }
  }
  for (const [name, naming] of unknown) if (naming) report(name, naming, known, context);
}

/** The names in the facts of tests, each once, and those that an `assert_not` of a test may misspell. */
function checkTests(known: Known, context: Context): void {
  const seen = new Set<string>();
  const check = (position: "fact" | "denied", predicate: Name, args: readonly Param[]): void => {
    const naming = namingOf(position, predicate, args, noScope, known.owners);
    for (const name of naming?.names ?? []) {
      if (!naming || !isUndeclared(name.text, naming, known)) continue;
      const key = JSON.stringify([predicate.text, name.text, naming.owner.declaresNo]);
      if (!seen.has(key)) report(name, naming, known, context);
      seen.add(key);
    }
  };
  const checkFacts = (items: readonly SetupItem[]): void => {
    for (const item of items)
      if (item.kind === "call")
        check(
          "fact",
          item.predicate,
          item.args.map((term) => ({ term, type: undefined })),
        );
  };
  for (const statement of context.program.statements) {
    if (statement.kind === "fixture") checkFacts(statement.facts);
    if (statement.kind !== "test") continue;
    checkFacts(statement.setup);
    for (const { head, expected } of statement.assertions) if (!expected) check("denied", head.predicate, head.params);
  }
}

const noScope = scopeOfTypes([]);

function isUndeclared(name: string, naming: Naming, { given, asked, hasOwnAllow }: Known): boolean {
  const { names } = naming.owner;
  if (!names || names[naming.kind].has(name) || !declaresSome(naming, names)) return false;
  // If no rule gives just any name, another check says that the assertion cannot fail.
  if (naming.position === "denied") {
    // Own `allow` rules may ask for roles and relations with the name of the action.
    if (naming.predicate === "allow" && hasOwnAllow && kinds.some((kind) => names[kind].has(name))) return false;
    return given.hasExactly(naming, undefined) && !given.hasExactly(naming, name) && !asked.has(naming, name);
  }
  return !(naming.position === "head" || naming.position === "fact" ? asked : given).has(naming, name);
}

/** False for a type that declares none: its names may all come from facts, or from longhand rules. */
function declaresSome({ position, predicate, kind }: Naming, names: NonNullable<Owner["names"]>): boolean {
  if (position === "head" || position === "fact" || predicate === "allow") return names[kind].size > 0;
  return Object.values(names).some(({ size }) => size > 0);
}

function report({ text, span }: Scalar, naming: Naming, known: Known, { report: findings }: Context): void {
  const { position, predicate, kind, owner } = naming;
  const other = kinds.find((one) => owner.names?.[one].has(text));
  const sameName = other && `did you mean the ${other} of this name, as in ${quote(`has_${other}(…)`)}?`;
  const advice =
    sameName === undefined
      ? findings.suggest({ text, span }, knownNames(naming, known), stringLiteral)
      : { hint: sameName };
  // An action need not be a declared permission, and a rule that asks for any role may mean an undeclared one.
  const isFact = position === "fact";
  const isAsked = predicate === "allow" || (isFact && kind === "permission" && !known.hasOwnAllow);
  const mayBeMeant =
    position === "denied" || ((position === "head" || isFact) && (isAsked || known.askedByVariable.has(naming, text)));
  if (advice === undefined && mayBeMeant) return;
  const consequence = position === "head" && predicate === "allow" ? ofAction : consequences[position];
  const effect = isFact && !mayBeMeant ? ", so this fact gives nobody anything" : "";
  const code = position === "fact" || position === "denied" ? "test/undeclared-name" : "rule/undeclared-name";
  findings.warning(code, span, `${owner.declaresNo} ${kind} ${quote(text)}${consequence}${effect}`, {
    hint: `declare it, or write a ${kind} that is declared`,
    ...advice,
  });
}

/** The declared names and, for a condition, those that rules derive. */
function* knownNames(naming: Naming, { given }: Known): Generator<string> {
  yield* naming.owner.names?.[naming.kind] ?? [];
  if (naming.position !== "head") yield* given.names(naming);
}

const ofAction = ": only a question for exactly this action uses this rule";

const consequences: Readonly<Record<Naming["position"], string>> = {
  head: ": this rule derives it, and no rule asks for it by name",
  body: ", and no rule derives it: only a fact with this name can make it true",
  not: ", and no rule derives it, so this `not` excludes nobody unless a fact has this name",
  fact: ", and no rule asks for it by name",
  denied: ", so this says nothing about those that are declared",
};
