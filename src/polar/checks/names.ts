/**
 * A name has one meaning in a type: role, permission or relation. A second block may repeat a name with the same
 * meaning.
 */
import { type DeclaredName, type TypeEntry, declaredNames } from "../declarations.ts";
import { quote } from "../report.ts";
import type { Block } from "../syntax.ts";
import type { Context } from "./context.ts";

export function checkNames(context: Context): void {
  const { program, declarations, report } = context;
  for (const type of declarations.types.values()) {
    for (const block of type.blocks) checkBlock(block, type.name, type.own, context);
    if (!declarations.tooMany) checkInherited(type, context);
  }
  for (const statement of program.statements) {
    if (statement.kind !== "block" || statement.blockKind !== "global") continue;
    checkBlock(statement, "global", declarations.global, context);
  }
  if (!declarations.tooMany) return;
  const first = program.statements.find((statement) => statement.kind === "block" && statement.supertypes.length > 0);
  if (first) report.error("block/too-many-names", first.span, "the types of the policy inherit too many names");
}

function checkBlock(block: Block, owner: string, first: ReadonlyMap<string, DeclaredName>, context: Context): void {
  const inBlock = new Map<string, DeclaredName>();
  for (const declared of declaredNames(owner, block)) {
    const earlier = inBlock.get(declared.name);
    const known = earlier ?? first.get(declared.name);
    if (known && !agree(known, declared)) reportConflict(known, declared, context);
    else if (earlier) {
      context.report.error(
        "block/duplicate-name",
        declared.span,
        `${declared.kind} ${quote(declared.name)} is declared twice`,
        {
          hint: "remove one of the two",
          related: [{ message: "declared first here", span: earlier.span }],
        },
      );
    }
    inBlock.set(declared.name, earlier ?? declared);
  }
}

/** A type may repeat an inherited name with the same meaning. Two supertypes with one name must agree, too. */
function checkInherited(type: TypeEntry, context: Context): void {
  for (const supertype of type.supertypes) {
    for (const inherited of context.declarations.types.get(supertype.text)?.names.values() ?? []) {
      const known = type.names.get(inherited.name);
      if (!known || known === inherited || agree(known, inherited)) continue;
      if (known.owner === type.name) reportConflict(inherited, known, context);
      else {
        const message = `${quote(type.name)} inherits ${quote(inherited.name)} as ${describe(known)} and as ${describe(inherited)}`;
        context.report.error("block/conflicting-name", supertype.span, message, {
          hint: "rename one of the two",
          related: [known, inherited].map((name) => ({
            message: `${describe(name)} of ${quote(name.owner)}`,
            span: name.span,
          })),
        });
      }
    }
  }
}

function agree(one: DeclaredName, other: DeclaredName): boolean {
  return one.kind === other.kind && one.type?.text === other.type?.text;
}

function reportConflict(first: DeclaredName, second: DeclaredName, { report }: Context): void {
  const message = `${quote(second.name)} is declared as ${describe(first)} and as ${describe(second)}`;
  report.error("block/conflicting-name", second.span, message, {
    hint: "rename one of the two",
    related: [{ message: `${describe(first)} of ${quote(first.owner)}`, span: first.span }],
  });
}

function describe({ kind, type }: DeclaredName): string {
  return type ? `${kind} to ${quote(type.text)}` : kind;
}
