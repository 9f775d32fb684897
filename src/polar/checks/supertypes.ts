/**
 * `extends` names declared types without a cycle. A resource cannot extend an actor: Oso Cloud does not document it,
 * and such a type would be an actor by its supertype and a resource by its keyword. An actor may extend a resource,
 * because every actor is a resource too.
 */
import type { TypeEntry } from "../declarations.ts";
import { quote } from "../report.ts";
import type { Name } from "../syntax.ts";
import { type Context, primitiveTypes } from "./context.ts";

export function checkSupertypes(context: Context): void {
  const { declarations, limits, report } = context;
  for (const type of declarations.types.values()) {
    for (const supertype of type.supertypes) checkSupertype(type, supertype, context);
    if (type.height <= limits.depthMax) continue;
    report.error(
      "block/extends-too-deep",
      type.span,
      `the supertypes of ${quote(type.name)} go up more than ${limits.depthMax} levels`,
    );
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
    report.error(
      "block/resource-extends-actor",
      span,
      `resource ${quote(type.name)} cannot extend actor ${quote(text)}`,
      {
        hint: `declare ${quote(type.name)} as an actor`,
        ...(declared && { related: [{ message: "declared as actor here", span: declared.span }] }),
      },
    );
  } else if (!declared && !program.incomplete) {
    report.error("block/unknown-supertype", span, `${quote(type.name)} extends ${quote(text)}, which is not declared`, {
      hint: report.suggest(text, declarations.types.keys()) ?? `declare it: ${quote(`${type.kind} ${text} {}`)}`,
    });
  }
}

/** False for a type that only extends a type on the cycle. */
function isOnCycle(type: TypeEntry, { declarations, limits }: Context): boolean {
  if (declarations.cyclic.size > limits.diagnosticsMax) return true;
  const above = new Set(type.supertypes.map((supertype) => supertype.text));
  for (const name of above) {
    for (const supertype of declarations.types.get(name)?.supertypes ?? []) above.add(supertype.text);
  }
  return above.has(type.name);
}
