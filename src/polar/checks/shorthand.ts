/** Checks of shorthand rules. */
import { unreachable } from "../../util/assert.ts";
import { type DeclaredName, type Names, referredName, type TypeEntry, withSupertypes } from "../declarations.ts";
import { nameDeclarations } from "../fixes.ts";
import { type Advice, quote, replacement } from "../report.ts";
import { stringLiteral } from "../string-literal.ts";
import type { Block, ShorthandAtom, ShorthandTerm } from "../syntax.ts";
import { atomsOf } from "../walk.ts";
import { type Context, abstractTypes, primitiveTypes } from "./context.ts";

/** Names in shorthand rules are declared, and their kind fits their position. */
export function checkShorthand(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind !== "block") continue;
    const scope = scopeOf(statement, context);
    for (const rule of statement.rules) {
      checkHead(rule.head, scope, context);
      for (const atom of atomsOf(rule.body)) checkAtom(atom, scope, context);
    }
  }
}

interface Scope {
  readonly block: string;
  readonly isGlobal: boolean;
  readonly statement: Block;
  readonly names: Names;
  /** Some names are unknown, so no name can be reported as undeclared. */
  readonly incomplete: boolean;
}

function scopeOf(statement: Block, { declarations }: Context): Scope {
  const isGlobal = statement.blockKind === "global";
  const type = declarations.types.get(statement.name.text);
  return {
    block: statement.name.text,
    isGlobal,
    statement,
    names: isGlobal ? declarations.global : (type?.names ?? new Map()),
    incomplete: isGlobal ? declarations.globalIncomplete : isIncomplete(type, declarations),
  };
}

function isIncomplete(type: TypeEntry | undefined, declarations: Context["declarations"]): boolean {
  return declarations.tooMany || type === undefined || type.incomplete || declarations.cyclic.has(type);
}

function checkHead(head: ShorthandTerm, scope: Scope, context: Context): void {
  if (!head.quoted)
    return checkWord(head, scope, context, "a rule begins with a role or permission in quotes, `role` or `permission`");
  if (scope.names.get(head.text)?.kind === "relation") {
    const message = `${quote(head.text)} is a relation: a shorthand rule gives a role or a permission`;
    return context.report.error("block/relation-as-head", head.span, message, {
      hint: `derive a relation in longhand: ${quote(`has_relation(resource: ${scope.block}, "${head.text}", …) if …`)}`,
    });
  }
  checkDeclared(head, scope, context, "a role or a permission");
}

function checkAtom(atom: ShorthandAtom, scope: Scope, context: Context): void {
  switch (atom.kind) {
    case "call":
      return;
    case "global":
      return checkGlobal(atom.term, scope, context);
    case "name":
      return checkName(atom.term, scope, context);
    case "on":
      if (scope.isGlobal) {
        const message = "`on` is not allowed in the `global` block: it has no relations";
        return context.report.error("block/on-in-global", atom.span, message);
      }
      if (!atom.target.quoted && atom.target.text === "resource") return checkName(atom.term, scope, context);
      return checkOn(atom, scope, context);
    default:
      return unreachable(atom);
  }
}

function checkName(term: ShorthandTerm, scope: Scope, context: Context): void {
  const kinds = scope.isGlobal ? "a role or a permission" : "a role, a permission or a relation";
  if (term.quoted) return checkDeclared(term, scope, context, kinds);
  checkWord(term, scope, context, "a condition is a name in quotes, `role`, `permission` or a call");
}

function checkGlobal(term: ShorthandTerm, scope: Scope, context: Context): void {
  const { global, globalIncomplete } = context.declarations;
  if (!term.quoted) return checkWord(term, scope, context, "`global` is followed by a role or permission in quotes");
  if (global.has(term.text) || globalIncomplete) return;
  const message = `${quote(term.text)} is not declared in the \`global\` block`;
  context.report.error("block/undeclared-global", term.span, message, {
    hint:
      global.size > 0
        ? "declare it there as a role or a permission"
        : `add ${quote(`global { roles = ["${term.text}"]; }`)}`,
    ...context.report.suggest(term, global.keys(), stringLiteral),
  });
}

function checkOn({ term, target }: Extract<ShorthandAtom, { kind: "on" }>, scope: Scope, context: Context): void {
  const { report, declarations, program } = context;
  const relation = scope.names.get(target.text);
  if (!target.quoted) {
    const message = "`on` is followed by a relation in quotes, or by `resource`";
    const hint = `write ${quote(`"${target.text}"`)}`;
    const fixes = [replacement(target.span, stringLiteral(target.text))];
    return report.error("block/relation-not-quoted", target.span, message, { hint, fixes });
  }
  if (!relation && scope.incomplete) return;
  if (relation?.kind !== "relation") {
    const relations = scope.names.values().filter((name) => name.kind === "relation");
    const what = relation ? `is a ${relation.kind}, not a relation,` : "is not a relation";
    const message = `${quote(target.text)} ${what} of ${quote(scope.block)}`;
    return report.error("block/undeclared-relation", target.span, message, {
      hint: `declare it: ${quote(`relations = { ${target.text}: Type };`)}`,
      ...report.suggest(
        target,
        relations.map((name) => name.name),
        stringLiteral,
      ),
    });
  }
  if (!term.quoted)
    return checkWord(term, scope, context, "before `on` write a name in quotes, `role` or `permission`");
  const related = relation.type && declarations.types.get(relation.type.text);
  if (!relation.type || (!related && program.incomplete)) return;
  if (!related) {
    const message = `relation ${quote(target.text)} is to ${quote(relation.type.text)}, which has no block that could declare ${quote(term.text)}`;
    return report.error("block/related-type-without-block", target.span, message, {
      hint: hintForRelated(target.text, relation.type.text),
      related: [{ message: "the relation", span: relation.span }],
    });
  }
  if (related.names.has(term.text) || isIncomplete(related, declarations)) return;
  const message = `${quote(term.text)} is not declared in ${quote(related.name)}, the type of ${quote(target.text)}`;
  report.error("block/undeclared-related-name", term.span, message, {
    hint: `declare it in the block of ${quote(related.name)} as a role, a permission or a relation`,
    ...report.suggest(term, related.names.keys(), stringLiteral),
    related: [{ message: `the block of ${quote(related.name)}`, span: related.span }],
  });
}

function hintForRelated(relation: string, type: string): string {
  if (primitiveTypes.has(type)) return `make it a fact: ${quote(`${relation}(resource, …)`)}`;
  if (abstractTypes.has(type)) return "let the relation lead to a declared type";
  return `declare it: ${quote(`resource ${type} {}`)}`;
}

function checkDeclared(term: ShorthandTerm, scope: Scope, context: Context, kinds: string): void {
  const { report } = context;
  if (scope.names.has(term.text) || scope.incomplete) return;
  const similar = otherForm(term, scope, context) ?? report.suggest(term, scope.names.keys(), stringLiteral);
  report.error("block/undeclared-name", term.span, `${quote(term.text)} is not declared in ${quote(scope.block)}`, {
    hint: similar?.hint ?? `declare it as ${kinds}`,
    fixes: [...(similar?.fixes ?? []), ...nameDeclarations(term.text, scope.statement)],
  });
}

/** A global name without `global`, or a path with a dot. */
function otherForm({ text, span }: ShorthandTerm, scope: Scope, { declarations }: Context): Advice | undefined {
  const [relation = "", name, ...more] = text.split(".");
  const isPath = scope.names.get(relation)?.kind === "relation" && name !== undefined && more.length === 0;
  const written =
    declarations.global.has(text) && !scope.isGlobal
      ? `global ${stringLiteral(text)}`
      : isPath
        ? `${stringLiteral(name)} on ${stringLiteral(relation)}`
        : undefined;
  return written === undefined ? undefined : { hint: `write ${quote(written)}`, fixes: [replacement(span, written)] };
}

/** Only the words `role` and `permission` may be used as variables. */
function checkWord(term: ShorthandTerm, scope: Scope, { report }: Context, message: string): void {
  if (term.text === "role" || term.text === "permission") return;
  report.error("block/name-not-quoted", term.span, `${quote(term.text)} is not allowed here: ${message}`, {
    hint: scope.names.has(term.text)
      ? `write ${quote(`"${term.text}"`)}`
      : `write ${quote(`"${term.text}"`)} and declare it, or ${quote(`${term.text}(resource)`)} for a fact`,
    ...(scope.names.has(term.text) && { fixes: [replacement(term.span, stringLiteral(term.text))] }),
  });
}

/**
 * `"viewer" if "owner"` says that the actor is the owner. If the type of the relation is a resource, the rule can never
 * be true; nearly always `"role" on "owner"` was meant. Oso Cloud does not document this. A rule that silently grants
 * nothing is not useful, so it is an error here.
 */
export function checkRelationActors(context: Context): void {
  const { program, declarations, report } = context;
  const actors = [...declarations.types.values()].filter((type) => type.kind === "actor").map((type) => type.name);
  const possible = withSupertypes(declarations, [...actors, "Actor", "Resource"]);
  for (const block of program.statements.filter((statement) => statement.kind === "block")) {
    for (const atom of block.rules.flatMap((rule) => [...atomsOf(rule.body)])) {
      const relation = relationToActor(atom, block, context);
      const type = relation?.type?.text;
      if (!relation || type === undefined || possible.has(type)) continue;
      // A type without a block may be an actor. Another check warns that the type is not declared.
      if (!declarations.types.has(type) && !primitiveTypes.has(type)) continue;
      const message = `relation ${quote(relation.name)} is to ${quote(type)}, which is not an actor`;
      report.error("block/relation-to-resource", atom.span, message, {
        hint: primitiveTypes.has(type)
          ? `make it a fact: ${quote(`${relation.name}(resource, …)`)}`
          : `name what the actor must have there: ${quote(`"…" on "${relation.name}"`)}`,
        related: [{ message: "the relation", span: relation.span }],
      });
    }
  }
}

/** The relation whose target the atom compares with the actor. */
function relationToActor(atom: ShorthandAtom, block: Block, { declarations }: Context): DeclaredName | undefined {
  if (block.blockKind === "global" || atom.kind === "call" || !atom.term.quoted) return undefined;
  const found = referredName(atom, block, declarations);
  return found?.kind === "relation" ? found : undefined;
}
