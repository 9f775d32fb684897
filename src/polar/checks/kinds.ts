/**
 * A type is either an actor or a resource, and its name is not reserved. A second block of a type adds to the first.
 * The language does not define a type that is both an actor and a resource, and such a pair of blocks is probably a
 * mistake, so it is an error.
 */
import { quote } from "../report.ts";
import { type Context, abstractTypes, primitiveTypes } from "./context.ts";

export function checkKinds({ declarations, report }: Context): void {
  for (const type of declarations.types.values()) {
    const { name, kind, span } = type;
    if (primitiveTypes.has(name) || abstractTypes.has(name) || name === "global") {
      report.error("block/reserved-type", span, `${quote(name)} is a type of the language and cannot be declared`);
    }
    for (const block of type.blocks) {
      if (block.blockKind === kind) continue;
      report.error(
        "block/conflicting-kind",
        block.name.span,
        `${quote(name)} is declared as ${kind} and as ${block.blockKind}`,
        {
          hint: "an actor block may hold all that a resource block may: keep the actor and merge the blocks",
          related: [{ message: `declared as ${kind} here`, span }],
        },
      );
    }
  }
}
