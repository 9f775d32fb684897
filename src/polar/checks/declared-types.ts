/** Checks of types: their kinds and supertypes. */
import { type TypeEntry, withSupertypes } from "../declarations.ts";
import { typeDeclaration } from "../fixes.ts";
import { quote } from "../report.ts";
import type { Name } from "../syntax.ts";
import { type Context, abstractTypes, primitiveTypes } from "./context.ts";

/**
 * A type is an actor or a resource, and its name is not reserved. A second block adds to the first. The language does
 * not define a type that is both, which is probably a mistake, so it is an error.
 */
export function checkKinds({ declarations, report }: Context): void {
  for (const type of declarations.types.values()) {
    const { name, kind, span } = type;
    if (primitiveTypes.has(name) || abstractTypes.has(name) || name === "global") {
      report.error("block/reserved-type", span, `${quote(name)} is a type of the language and cannot be declared`);
    }
    for (const block of type.blocks) {
      if (block.blockKind === kind) continue;
      const message = `${quote(name)} is declared as ${kind} and as ${block.blockKind}`;
      report.error("block/conflicting-kind", block.name.span, message, {
        hint: "an actor block may hold all that a resource block may: keep the actor and merge the blocks",
        related: [{ message: `declared as ${kind} here`, span }],
      });
    }
  }
}

/**
 * `extends` names declared types without a cycle. Oso Cloud does not document a resource that extends an actor: it
 * would be both, by its supertype and by its keyword. An actor may extend a resource, because it is one.
 */
export function checkSupertypes(context: Context): void {
  const { declarations, limits, report } = context;
  for (const type of declarations.types.values()) {
    for (const supertype of type.supertypes) checkSupertype(type, supertype, context);
    if (type.height <= limits.depthMax) continue;
    const message = `the supertypes of ${quote(type.name)} go up more than ${limits.depthMax} levels`;
    report.error("block/extends-too-deep", type.span, message);
    break;
  }
  for (const type of [...declarations.cyclic].filter((found) => isOnCycle(found, context))) {
    const others = type.supertypes.map((supertype) => supertype.text);
    report.error("block/cyclic-extends", type.span, `${quote(type.name)} extends itself`, {
      hint: others.includes(type.name)
        ? "remove it from its own `extends`"
        : "break the cycle at one of its supertypes",
    });
  }
}

function checkSupertype(type: TypeEntry, supertype: Name, { program, declarations, report }: Context): void {
  const { text, span } = supertype;
  const declared = declarations.types.get(text);
  if (primitiveTypes.has(text)) {
    report.error("block/primitive-supertype", span, `${quote(text)} has no subtypes`);
  } else if (text === "Resource" || (text === "Actor" && type.kind === "actor")) {
    // Redundant, but correct.
  } else if (text === "Actor" || (declared?.kind === "actor" && type.kind === "resource")) {
    const message = `resource ${quote(type.name)} cannot extend actor ${quote(text)}`;
    report.error("block/resource-extends-actor", span, message, {
      hint: `declare ${quote(type.name)} as an actor`,
      ...(declared && { related: [{ message: "declared as actor here", span: declared.span }] }),
    });
  } else if (!declared && !program.incomplete) {
    report.error("block/unknown-supertype", span, `${quote(type.name)} extends ${quote(text)}, which is not declared`, {
      hint: `declare it: ${quote(`${type.kind} ${text} {}`)}`,
      fixes: typeDeclaration(`${type.kind} ${text} {}`, span, program),
      ...report.suggest(supertype, declarations.types.keys()),
    });
  }
}

/** False for a type that only extends a type on the cycle. */
function isOnCycle(type: TypeEntry, { declarations, limits }: Context): boolean {
  if (declarations.cyclic.size > limits.diagnosticsMax) return true;
  const direct = type.supertypes.map((supertype) => supertype.text);
  return withSupertypes(declarations, direct).has(type.name);
}
