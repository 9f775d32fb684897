/** Prints statements. The body of a rule is on the line of its head if it fits, else below it, a condition per line. */
import { unreachable } from "../../util/assert.ts";
import { stringLiteral } from "../string-literal.ts";
import type {
  Assertion,
  Block,
  Declare,
  Expression,
  Name,
  Section,
  SetupItem,
  ShorthandExpression,
  ShorthandRule,
  Statement,
  Test,
} from "../syntax.ts";
import { isMark } from "../stream.ts";
import { type Doc, concat, group, indent, line } from "./doc.ts";
import { type Item, type Page, lineBefore, printBraces, semicolon, tokenAfter } from "./page.ts";
import { printExpression, printShorthandTerm } from "./print-expression.ts";
import { nameItem, printArguments, printCall, printDictionary, printHead, printList } from "./print-term.ts";

export function printStatement(page: Page, statement: Statement): Doc {
  const { span } = statement;
  switch (statement.kind) {
    case "block":
      return printBlock(page, statement);
    case "rule": {
      const { flags, head, body } = statement;
      return printConditional(page, [printFlags(flags), printHead(page, head)], " if", body, span.end);
    }
    case "ruleType":
      return terminated(page, concat(["type ", printHead(page, statement.head)]), span.end);
    case "declare":
      return terminated(page, printDeclare(page, statement), span.end);
    case "inlineQuery":
      return printConditional(page, [], "?=", statement.body, span.end);
    case "fixture": {
      const facts = statement.facts.map((fact) => setupItem(page, fact));
      return printBraces(page, `test fixture ${statement.name.text} `, facts, span.end - 1);
    }
    case "test":
      return printTest(page, statement);
    default:
      return unreachable(statement);
  }
}

function printBlock(page: Page, { blockKind, name, supertypes, sections, rules, span }: Block): Doc {
  const keyword = blockKind === "global" ? blockKind : `${blockKind} ${name.text}`;
  const head = supertypes.length === 0 ? `${keyword} ` : printExtends(page, keyword, supertypes);
  const items: Item[] = [
    ...sections.map((section) => ({ start: section.span.start, print: () => printSection(page, section) })),
    ...rules.map((rule) => ({ start: rule.span.start, print: () => printShorthandRule(page, rule) })),
  ];
  items.sort((one, other) => one.start - other.start);
  return printBraces(page, head, items, span.end - 1);
}

function printExtends(page: Page, keyword: string, supertypes: readonly Name[]): Doc {
  const names = supertypes.flatMap(({ text, span }, index) => [
    index === 0 ? "" : ",",
    lineBefore(page, " ", span.start, index === 0 ? "opening" : "part"),
    text,
  ]);
  return group([`${keyword} extends`, indent(names), line(" ")]);
}

function printSection(page: Page, { name, value, span }: Section): Doc {
  const list = value.kind === "list" ? printList(page, value) : printDictionary(page, value);
  return terminated(page, concat([`${name.text} = `, list]), span.end);
}

export function printShorthandRule(page: Page, { flags, head, body, span }: ShorthandRule): Doc {
  const heading = printFlags(flags) + printShorthandTerm(head);
  return printConditional(page, [heading], " if", body, span.end);
}

function printDeclare(page: Page, { predicate, types }: Declare): Doc {
  const last = types.at(-1) ?? predicate;
  const next = tokenAfter(page, last.span.end);
  const closing = isMark(next, "(") ? tokenAfter(page, next.end) : next;
  return concat([`declare ${predicate.text}`, printArguments(page, types.map(nameItem), closing.start)]);
}

function printTest(page: Page, { name, setup, setupSpan, assertions, span }: Test): Doc {
  const items = assertions.map((one): Item => ({ start: one.span.start, print: () => printAssertion(page, one) }));
  if (setupSpan) {
    const facts = setup.map((item) => setupItem(page, item));
    items.unshift({ start: setupSpan.start, print: () => printBraces(page, "setup ", facts, setupSpan.end - 1) });
  }
  return printBraces(page, `test ${stringLiteral(name.text)} `, items, span.end - 1);
}

function setupItem(page: Page, item: SetupItem): Item {
  const { start, end } = item.span;
  if (item.kind === "useFixture") return { start, print: () => terminated(page, `fixture ${item.name.text}`, end) };
  const next = tokenAfter(page, end);
  return { start, print: () => terminated(page, printCall(page, item), isMark(next, ";") ? next.end : end) };
}

function printAssertion(page: Page, { expected, head, iff, span }: Assertion): Doc {
  const keyword = expected ? "assert " : "assert_not ";
  return printConditional(page, [keyword, printHead(page, head)], " iff", iff, span.end);
}

function printFlags(flags: readonly Name[]): string {
  return flags.map(({ text }) => `${text} `).join("");
}

/** `head if condition;`, or `head;` without a condition. It ends at `end`. */
function printConditional(
  page: Page,
  head: readonly Doc[],
  word: string,
  condition: Expression | ShorthandExpression | undefined,
  end: number,
): Doc {
  if (!condition) return terminated(page, concat(head), end);
  const body = [lineBefore(page, " ", condition.span.start, "opening"), printExpression(page, condition)];
  // The `;` is part of the group, so a comment before the `;` puts the conditions on lines of their own.
  return group([...head, word, indent(body), semicolon(page, end)]);
}

/** The statement with its `;`. It ends at `end`. */
function terminated(page: Page, statement: Doc, end: number): Doc {
  return concat([statement, semicolon(page, end)]);
}
