/** Where a policy uses predicates, with the types that the arguments may have. */
import type { Name, Param, Term } from "../syntax.ts";
import { callsOf } from "../walk.ts";
import type { Context } from "./context.ts";
import { primitiveTypes } from "./context.ts";
import type { Owner, Owners } from "./owners.ts";
import {
  type Scope,
  scopedCalls,
  scopeOfBody,
  scopeOfHead,
  scopeOfTypes,
  stringsSaidOf,
  typesSaidOf,
} from "./scoped-calls.ts";

export interface PredicateUse {
  readonly position: "head" | "call" | "declare" | "fact" | "assertion";
  readonly predicate: Name;
  readonly args: readonly Argument[];
  /** The same object for all uses of a rule. */
  readonly statement: object;
}

export interface Argument {
  /** As written. */
  readonly text: string;
  /** The types that it may have, or `undefined` for any. */
  readonly types: ReadonlySet<string> | undefined;
  /** The types of actors and resources among them, with their names; `undefined` if it can be neither. */
  readonly owner: Owner | undefined;
  /** The strings that it may be, or `undefined` for any. */
  readonly names: readonly string[] | undefined;
}

const primitiveSets = new Map([...primitiveTypes].map((type) => [type, new Set([type])] as const));

const noScope: Scope = scopeOfTypes([]);

export function* predicateUses({ program }: Context, owners: Owners): Generator<PredicateUse> {
  const argument = (term: Term, scope: Scope, type?: Name): Argument => {
    const said = term.kind === "variable" ? typesSaidOf(term.name, scope) : [];
    const own = type ? [...said, { type: type.text, exact: false }] : said;
    const text = written(term) + (type ? `: ${type.text}` : "");
    const primitive = primitiveOf(term) ?? own.find((one) => primitiveTypes.has(one.type))?.type;
    const types = term.kind === "typed" ? [{ type: term.type.text, exact: true }] : own;
    const owner = primitive === undefined ? owners.narrowest(types) : undefined;
    const strings = term.kind === "variable" ? stringsSaidOf(term.name, scope)?.map(({ text: string }) => string) : [];
    return {
      text,
      owner,
      names: term.kind === "string" ? [term.text] : strings,
      types: primitive !== undefined ? primitiveSets.get(primitive) : types.length === 0 ? undefined : owner?.types,
    };
  };
  const ofParams = (params: readonly Param[], scope: Scope) =>
    params.map(({ term, type }) => argument(term, scope, type));
  const ofTerms = (terms: readonly Term[], scope: Scope) => terms.map((term) => argument(term, scope));

  for (const statement of program.statements) {
    switch (statement.kind) {
      case "rule": {
        const { head, body } = statement;
        const scope = scopeOfHead(head);
        const { predicate } = head;
        yield { position: "head", predicate, args: ofParams(head.params, scopeOfBody(body, scope)), statement };
        for (const found of body ? scopedCalls(body, scope) : [])
          yield {
            position: "call",
            predicate: found.call.predicate,
            args: ofTerms(found.call.args, found.scope),
            statement,
          };
        break;
      }
      case "block": {
        const scope = scopeOfTypes([
          ["actor", [{ type: "Actor", exact: false }]],
          ...(statement.blockKind === "global"
            ? []
            : [["resource", [{ type: statement.name.text, exact: false }]] as const]),
        ]);
        for (const rule of statement.rules)
          for (const { predicate, args } of callsOf(rule.body))
            yield { position: "call", predicate, args: ofTerms(args, scope), statement: rule };
        break;
      }
      case "declare": {
        const args = statement.types.map((type) =>
          argument({ kind: "variable", name: "_", span: type.span }, noScope, type),
        );
        yield { position: "declare", predicate: statement.predicate, args, statement };
        break;
      }
      case "fixture":
        for (const { predicate, args } of statement.facts)
          yield { position: "fact", predicate, args: ofTerms(args, noScope), statement };
        break;
      case "test":
        for (const item of statement.setup)
          if (item.kind === "call")
            yield { position: "fact", predicate: item.predicate, args: ofTerms(item.args, noScope), statement };
        for (const { head } of statement.assertions)
          yield { position: "assertion", predicate: head.predicate, args: ofParams(head.params, noScope), statement };
        break;
      default:
    }
  }
}

function primitiveOf(term: Term): string | undefined {
  switch (term.kind) {
    case "string":
      return "String";
    case "integer":
    case "now":
      return "Integer";
    case "boolean":
      return "Boolean";
    case "typed":
      return primitiveTypes.has(term.type.text) ? term.type.text : undefined;
    default:
      return undefined;
  }
}

function written(term: Term): string {
  switch (term.kind) {
    case "variable":
      return term.name;
    case "string":
      return JSON.stringify(term.text);
    case "typed":
      return `${term.type.text}{${written(term.value)}}`;
    case "now":
      return "@current_unix_time";
    default:
      return term.text;
  }
}

/** Whether values exist that both may be. */
export function mayAgree(one: readonly Argument[], other: readonly Argument[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ types }, position) => {
      const others = other[position]?.types;
      return types === undefined || others === undefined || !types.isDisjointFrom(others);
    })
  );
}
