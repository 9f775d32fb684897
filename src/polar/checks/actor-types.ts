/**
 * The types that act as actors. The policy allows one of their values something, gives it a role or a permission, or
 * uses it as the actor of a relation. The hint for an undeclared type depends on this.
 */
import type { Declarations } from "../declarations.ts";
import type { Block, Head, Name, Program, Term } from "../syntax.ts";
import { atomsOf, callsOf } from "../walk.ts";
import { scopedCalls, scopeOfHead, type Scope, typesSaidOf } from "./scoped-calls.ts";

const takesActor: ReadonlySet<string> = new Set(["allow", "has_role", "has_permission"]);

export function actorTypes(program: Program, declarations: Declarations): ReadonlySet<string> {
  const found = new Set<string>();
  const add = (predicate: Name, term: Term | undefined, types: Iterable<string> = []): void => {
    if (!takesActor.has(predicate.text) || term === undefined) return;
    if (term.kind === "typed") found.add(term.type.text);
    else for (const type of types) found.add(type);
  };
  const addHead = ({ predicate, params: [first] }: Head): void =>
    add(predicate, first?.term, first?.type ? [first.type.text] : []);
  for (const statement of program.statements) {
    if (statement.kind === "rule") {
      addHead(statement.head);
      const calls = statement.body ? scopedCalls(statement.body, scopeOfHead(statement.head)) : [];
      for (const { call, scope } of calls) add(call.predicate, call.args[0], typesOf(call.args[0], scope));
    } else if (statement.kind === "fixture") {
      for (const { predicate, args } of statement.facts) add(predicate, args[0]);
    } else if (statement.kind === "test") {
      for (const item of statement.setup) if (item.kind === "call") add(item.predicate, item.args[0]);
      for (const { head } of statement.assertions) addHead(head);
    } else if (statement.kind === "block") {
      for (const { predicate, args } of statement.rules.flatMap(({ body }) => callsOf(body))) add(predicate, args[0]);
      for (const type of relatedActors(statement, declarations)) found.add(type);
    }
  }
  // A policy without any actor still needs one to be useful.
  if (found.size === 0 && declarations.types.values().every(({ kind }) => kind !== "actor")) found.add("User");
  return found;
}

function typesOf(term: Term | undefined, scope: Scope): string[] {
  return term?.kind === "variable" ? typesSaidOf(term.name, scope).map(({ type }) => type) : [];
}

/** `"read" if "owner"` says that the actor is the owner. */
function* relatedActors(block: Block, { types }: Declarations): Generator<string> {
  const names = types.get(block.name.text)?.names;
  for (const atom of block.rules.flatMap(({ body }) => [...atomsOf(body)])) {
    if (atom.kind !== "name" && atom.kind !== "on") continue;
    const related = atom.kind === "on" && atom.target.quoted ? names?.get(atom.target.text)?.type?.text : undefined;
    const scope = atom.kind === "on" && atom.target.quoted ? types.get(related ?? "")?.names : names;
    const declared = scope?.get(atom.term.text);
    if (declared?.type) yield declared.type.text;
  }
}
