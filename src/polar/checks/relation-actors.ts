/**
 * `"viewer" if "owner"` means that the actor is the owner, so the type of the relation must be able to be an actor. If
 * it is a resource, the rule can never be true; nearly always the author meant `"role" on "owner"`. Oso Cloud does not
 * document this case. A rule that silently grants nothing is not useful, so it is an error here.
 */
import { type DeclaredName, withSupertypes } from "../declarations.ts";
import { quote } from "../report.ts";
import type { Block, ShorthandAtom } from "../syntax.ts";
import { atomsOf } from "../walk.ts";
import { type Context, primitiveTypes } from "./context.ts";

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
      report.error(
        "block/relation-to-resource",
        atom.span,
        `relation ${quote(relation.name)} is to ${quote(type)}, which is not an actor`,
        {
          hint: primitiveTypes.has(type)
            ? `make it a fact: ${quote(`${relation.name}(resource, …)`)}`
            : `name what the actor must have there: ${quote(`"…" on "${relation.name}"`)}`,
          related: [{ message: "the relation", span: relation.span }],
        },
      );
    }
  }
}

/** The relation whose target the atom compares with the actor. */
function relationToActor(atom: ShorthandAtom, block: Block, { declarations }: Context): DeclaredName | undefined {
  if (block.blockKind === "global" || (atom.kind !== "name" && atom.kind !== "on") || !atom.term.quoted)
    return undefined;
  const names = declarations.types.get(block.name.text)?.names;
  const related = atom.kind === "on" && atom.target.quoted ? names?.get(atom.target.text)?.type?.text : undefined;
  const isRelated = atom.kind === "on" && atom.target.quoted;
  const scope = isRelated ? declarations.types.get(related ?? "")?.names : names;
  const found = scope?.get(atom.term.text);
  return found?.kind === "relation" ? found : undefined;
}
