/**
 * The sections of a block are `roles = [...]`, `permissions = [...]` and `relations = {...}`, each at most once and
 * well-formed.
 */
import { quote } from "../report.ts";
import type { Block, List, Section } from "../syntax.ts";
import type { Context } from "./context.ts";

export function checkSections(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind === "block") checkBlock(statement, context);
  }
}

function checkBlock(block: Block, context: Context): void {
  const seen = new Map<string, Section>();
  for (const section of block.sections) {
    const { name } = section;
    const earlier = seen.get(name.text);
    if (earlier) {
      context.report.error(
        "block/duplicate-section",
        name.span,
        `${quote(name.text)} is given twice in the block of ${quote(block.name.text)}`,
        {
          hint: "merge the two",
          related: [{ message: "the first one is here", span: earlier.name.span }],
        },
      );
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
    const hint =
      report.suggest(name.text, ["roles", "permissions", "relations"]) ??
      "a block declares `roles`, `permissions` and `relations`";
    report.error("block/unknown-section", name.span, `a block has no ${quote(name.text)}`, { hint });
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
      const hint = item.kind === "variable" ? { hint: `write ${quote(`"${item.name}"`)}` } : {};
      report.error("block/name-not-string", item.span, `${quote(section)} holds names in double quotes only`, hint);
    } else if (item.text === "" || item.text === "*") {
      const reason = item.text === "" ? "it is empty" : "in answers it means every name";
      report.error("block/unusable-name", item.span, `${quote(`"${item.text}"`)} cannot be a name: ${reason}`);
    }
  }
}
