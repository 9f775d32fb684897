/** Checks of blocks: their sections, and the names that they declare. */
import { type DeclaredName, type TypeEntry, declaredNames } from "../declarations.ts";
import { quote, replacement } from "../report.ts";
import { stringLiteral } from "../string-literal.ts";
import type { Block, List, Section } from "../syntax.ts";
import type { Context } from "./context.ts";

/** A policy has at most one global block. It has no relations, because there is no object that could be related. */
export function checkGlobalBlocks({ program, report }: Context): void {
  const blocks = program.statements.filter((one) => one.kind === "block").filter((one) => one.blockKind === "global");
  const [first] = blocks;
  for (const block of blocks) {
    if (first && block !== first) {
      report.error("block/second-global", block.name.span, "a policy has one `global` block only", {
        hint: "merge the two blocks",
        related: [{ message: "the first one is here", span: first.name.span }],
      });
    }
    for (const section of block.sections.filter(({ name }) => name.text === "relations")) {
      report.error("block/global-relations", section.name.span, "a `global` block has no relations", {
        hint: "declare them in the block of a resource",
      });
    }
  }
}

/** A block has `roles = [...]`, `permissions = [...]` and `relations = {...}`, each at most once and well-formed. */
export function checkSections(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind === "block") checkSectionsOf(statement, context);
  }
}

function checkSectionsOf(block: Block, context: Context): void {
  const seen = new Map<string, Section>();
  for (const section of block.sections) {
    const { name } = section;
    const earlier = seen.get(name.text);
    if (earlier) {
      const message = `${quote(name.text)} is given twice in the block of ${quote(block.name.text)}`;
      context.report.error("block/duplicate-section", name.span, message, {
        hint: "merge the two",
        related: [{ message: "the first one is here", span: earlier.name.span }],
      });
    } else {
      seen.set(name.text, section);
    }
    checkSection(section, context);
  }
}

function checkSection({ name, value }: Section, context: Context): void {
  const { report } = context;
  const isRelations = name.text === "relations";
  if (!isRelations && name.text !== "roles" && name.text !== "permissions") {
    report.error("block/unknown-section", name.span, `a block has no ${quote(name.text)}`, {
      hint: "a block declares `roles`, `permissions` and `relations`",
      ...report.suggest(name, ["roles", "permissions", "relations"]),
    });
  } else if (isRelations && value.kind === "list") {
    report.error("block/section-form", value.span, "`relations` is a dictionary, not a list", {
      hint: "write `relations = { name: Type };`",
    });
  } else if (!isRelations && value.kind === "dictionary") {
    report.error("block/section-form", value.span, `${quote(name.text)} is a list, not a dictionary`, {
      hint: `write ${quote(`${name.text} = ["name"];`)}`,
    });
  } else if (value.kind === "list") {
    checkItems(value, name.text, context);
  } else {
    for (const { key, type } of value.entries) {
      if (type) continue;
      report.error("block/relation-without-type", key.span, `relation ${quote(key.text)} has no type`, {
        hint: `write ${quote(`${key.text}: Type`)}`,
      });
    }
  }
}

function checkItems(list: List, section: string, { report }: Context): void {
  for (const item of list.items) {
    if (item.kind !== "string") {
      const advice =
        item.kind === "variable"
          ? { hint: `write ${quote(`"${item.name}"`)}`, fixes: [replacement(item.span, stringLiteral(item.name))] }
          : {};
      report.error("block/name-not-string", item.span, `${quote(section)} holds names in double quotes only`, advice);
    } else if (item.text === "" || item.text === "*") {
      const reason = item.text === "" ? "it is empty" : "in answers it means every name";
      report.error("block/unusable-name", item.span, `${quote(`"${item.text}"`)} cannot be a name: ${reason}`);
    }
  }
}

/** A name has one meaning in a type: role, permission or relation. A second block may repeat it with this meaning. */
export function checkNames(context: Context): void {
  const { program, declarations, report } = context;
  for (const type of declarations.types.values()) {
    for (const block of type.blocks) checkNamesOf(block, type.name, type.own, context);
    if (!declarations.tooMany) checkInherited(type, context);
  }
  for (const statement of program.statements) {
    if (statement.kind !== "block" || statement.blockKind !== "global") continue;
    checkNamesOf(statement, "global", declarations.global, context);
  }
  if (!declarations.tooMany) return;
  const first = program.statements.find((statement) => statement.kind === "block" && statement.supertypes.length > 0);
  if (first) report.error("block/too-many-names", first.span, "the types of the policy inherit too many names");
}

function checkNamesOf(block: Block, owner: string, first: ReadonlyMap<string, DeclaredName>, context: Context): void {
  const inBlock = new Map<string, DeclaredName>();
  for (const declared of declaredNames(owner, block)) {
    const earlier = inBlock.get(declared.name);
    const known = earlier ?? first.get(declared.name);
    if (known && !agree(known, declared)) reportConflict(known, declared, context);
    else if (earlier) {
      const message = `${declared.kind} ${quote(declared.name)} is declared twice`;
      context.report.error("block/duplicate-name", declared.span, message, {
        hint: "remove one of the two",
        related: [{ message: "declared first here", span: earlier.span }],
      });
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
