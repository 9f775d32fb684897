/** Fixes of problems: changes of the text of a policy that an editor can offer. Pure. */
import type { Fix } from "./diagnostic.ts";
import { quote } from "./report.ts";
import type { Span } from "./span.ts";
import { stringLiteral } from "./string-literal.ts";
import type { Block, Program } from "./syntax.ts";

export function insertion(file: string, at: number, text: string, title: string): Fix {
  return { title, edits: [{ span: { file, start: at, end: at }, text }] };
}

/** Puts a declaration before the first statement of the file of `use`. */
export function typeDeclaration(declaration: string, use: Span, { statements }: Program): Fix[] {
  const first = statements.find(({ span }) => span.file === use.file);
  const title = `add ${quote(declaration)}`;
  return first === undefined ? [] : [insertion(use.file, first.span.start, `${declaration}\n\n`, title)];
}

/** Declares a name as a role or as a permission of the block. */
export function nameDeclarations(name: string, block: Block): Fix[] {
  return [...nameDeclaration("role", name, block), ...nameDeclaration("permission", name, block)];
}

function nameDeclaration(
  kind: "role" | "permission",
  name: string,
  { sections, rules, name: blockName }: Block,
): Fix[] {
  const literal = stringLiteral(name);
  const title = `declare ${quote(name)} as a ${kind} of ${quote(blockName.text)}`;
  const section = sections.find((found) => found.name.text === `${kind}s`);
  if (section === undefined) {
    const first = firstOf(sections[0]?.span, rules[0]?.span);
    return first === undefined ? [] : [insertion(first.file, first.start, `${kind}s = [${literal}];\n  `, title)];
  }
  const { value } = section;
  if (value.kind !== "list") return [];
  const last = value.items.at(-1);
  const { file, start } = value.span;
  return [
    last === undefined
      ? insertion(file, start + 1, literal, title)
      : insertion(file, last.span.end, `, ${literal}`, title),
  ];
}

/** A block has its sections and its rules in the order of the text. Thousands of problems may ask. */
function firstOf(one: Span | undefined, other: Span | undefined): Span | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.start <= other.start ? one : other;
}
