/** Parses actor, resource and global blocks, and the shorthand rules inside them. */
import {
  beforeBraceOrItem,
  beforeBraceOrLine,
  expect,
  expectName,
  expectSemicolon,
  separated,
  unexpected,
} from "./expect.ts";
import { acceptIf, explainPath } from "./legacy.ts";
import { parseAlternatives, parseCall, parseFlags, parseList } from "./parse-term.ts";
import { parseBraces } from "./recovery.ts";
import { quote } from "./report.ts";
import {
  type Stream,
  accept,
  acceptWord,
  advance,
  isMark,
  isWord,
  nested,
  peek,
  refuse,
  spanFrom,
  spanOf,
} from "./stream.ts";
import type { Block, Dictionary, Name, Section, ShorthandExpression, ShorthandRule, ShorthandTerm } from "./syntax.ts";
import { reservedWords } from "./token.ts";

export function parseBlock(stream: Stream, blockKind: Block["blockKind"]): Block | undefined {
  const start = advance(stream);
  const name =
    blockKind === "global"
      ? { text: "global", span: spanOf(stream, start) }
      : expectName(stream, `the name of the ${blockKind}`);
  if (!name) return undefined;
  const supertypes = blockKind !== "global" && acceptWord(stream, "extends") ? parseSupertypes(stream) : [];
  const open = peek(stream);
  if (!supertypes || !expect(stream, "{", `to begin the block of ${quote(name.text)}`)) return undefined;

  const sections: Section[] = [];
  const rules: ShorthandRule[] = [];
  let incomplete = false;
  parseBraces(stream, open, () => {
    const mayDeclare = !isWord(peek(stream, 1), "if") && peek(stream).kind !== "flag";
    const isSection = peek(stream).kind === "identifier" && (isMark(peek(stream, 1), "=") || hasColon(stream));
    const item = isSection ? parseSection(stream) : parseShorthandRule(stream, sections);
    if (!item) incomplete ||= mayDeclare;
    else if ("value" in item) sections.push(item);
    else rules.push(item);
    return item && true;
  });
  return { kind: "block", blockKind, name, supertypes, sections, rules, incomplete, span: spanFrom(stream, start) };
}

/** Whether a section in the form `roles: [` begins here. */
function hasColon(stream: Stream): boolean {
  const [colon, open] = [peek(stream, 1), peek(stream, 2)];
  return isMark(colon, ":") && (isMark(open, "[") || isMark(open, "{"));
}

/** `TYPE { "," TYPE } [","]`, up to the `{`. */
function parseSupertypes(stream: Stream): Name[] | undefined {
  const names: Name[] = [];
  do {
    if (names.length > 0 && isMark(peek(stream), "{")) break;
    const name = expectName(stream, "the name of a type");
    if (!name) return undefined;
    names.push(name);
  } while (accept(stream, ","));
  return names;
}

function parseSection(stream: Stream): Section | undefined {
  const start = peek(stream);
  const name = expectName(stream, "`roles`, `permissions` or `relations`");
  if (!name) return undefined;
  if (isMark(peek(stream), ":")) {
    const message = `${quote(name.text)} is followed by \`=\`, not by \`:\``;
    const value = isMark(peek(stream, 1), "[") ? '["name"]' : "{ name: Type }";
    refuse(stream, "syntax/section-colon", message, `write ${quote(`${name.text} = ${value};`)}`);
  }
  advance(stream);
  const value = isMark(peek(stream), "{") ? parseDictionary(stream) : parseList(stream, `after \`${name.text} =\``);
  if (!value || !expectSemicolon(stream, `after the ${name.text}`, beforeBraceOrLine)) return undefined;
  return { name, value, span: spanFrom(stream, start) };
}

function parseDictionary(stream: Stream): Dictionary | undefined {
  const start = advance(stream);
  const entries = separated(stream, "}", "allowed", () => {
    const key = expectName(stream, "the name of a relation");
    if (!key) return undefined;
    const type = accept(stream, ":") ? expectName(stream, `the type of ${quote(key.text)}`) : undefined;
    return isMark(peek(stream, -1), ":") ? undefined : { key, type };
  });
  return entries && { kind: "dictionary", entries, span: spanFrom(stream, start) };
}

/** `{ FLAG } term "if" s_or ";"`. Flags are internal to Oso and have no meaning here. */
function parseShorthandRule(stream: Stream, sections: readonly Section[]): ShorthandRule | undefined {
  const start = peek(stream);
  const flags = parseFlags(stream);
  const head = parseShorthandTerm(stream, "a declaration or a rule");
  if (!head) return undefined;
  if (!acceptIf(stream)) {
    const missing = head.quoted ? `\`if\` after ${quote(head.text)}` : `\`if\` or \`=\` after ${quote(head.text)}`;
    return unexpected(stream, missing);
  }
  const body = parseOr(stream, sections);
  if (!body || refuseOperator(stream) || !expectSemicolon(stream, "after the rule", beforeBraceOrItem))
    return undefined;
  return { flags, head, body, span: spanFrom(stream, start) };
}

/** `sections` are those of the block so far. */
function parseOr(stream: Stream, sections: readonly Section[]): ShorthandExpression | undefined {
  return parseAlternatives(stream, (inner) => parseAtom(inner, sections));
}

function parseAtom(stream: Stream, sections: readonly Section[]): ShorthandExpression | undefined {
  const start = peek(stream);
  const next = peek(stream, 1);
  if (accept(stream, "(")) {
    const inner = nested(stream, (deeper) => parseOr(deeper, sections));
    return inner && !refuseOperator(stream) && expect(stream, ")", "or another condition") ? inner : undefined;
  }
  if (isWord(start, "not") || isWord(start, "NOT"))
    return refuse(stream, "syntax/not-in-shorthand", "`not` is not allowed in a shorthand rule", longhandHint);
  if (start.kind === "identifier" && isMark(next, "(")) return parseCall(stream);
  if (isWord(start, "global") && (next.kind === "string" || (next.kind === "identifier" && !isConnective(next.text)))) {
    advance(stream);
    const term = parseShorthandTerm(stream, "a global role or permission");
    return term && { kind: "global", term, span: spanFrom(stream, start) };
  }
  if (explainPath(stream)) return undefined;
  const term = parseShorthandTerm(stream, "a role, a permission, a relation or a call");
  if (!term) return undefined;
  if (!acceptWord(stream, "on")) return { kind: "name", term, span: term.span };
  const target = parseShorthandTerm(stream, "a relation after `on`");
  const own = target && isWord(peek(stream), "on") ? refuseChain(stream, term, target, sections) : target;
  return own && { kind: "on", term, target: own, span: spanFrom(stream, start) };
}

/** Reports the chain and keeps only the relation of this block, so that the rest of the block is checked too. */
function refuseChain(
  stream: Stream,
  term: ShorthandTerm,
  target: ShorthandTerm,
  sections: readonly Section[],
): ShorthandTerm | undefined {
  const start = peek(stream);
  const chain = [target];
  while (acceptWord(stream, "on")) {
    const next = parseShorthandTerm(stream, "a relation after `on`");
    if (!next) return undefined;
    chain.push(next);
  }
  const declared = new Set(
    sections.flatMap(({ value }) => (value.kind === "dictionary" ? value.entries.map(({ key }) => key.text) : [])),
  );
  // Most people write the nearest relation last. Some write it first.
  const isReversed = declared.has(target.text) && !declared.has(chain.at(-1)?.text ?? "");
  const [own = target, ...further] = isReversed ? chain : chain.toReversed();
  const related = [own, ...further];
  const steps = further.map((relation, index) => {
    const rule = `${written(term)} if ${written(term)} on ${written(relation)};`;
    return `${quote(rule)} into the block of the type that ${quote(related[index]?.text ?? "")} leads to`;
  });
  const hint = `write ${steps.toReversed().join(", ")}, and here ${quote(`${written(term)} on ${written(own)}`)}`;
  const message = "`on` follows one relation, not a chain of them";
  refuse(stream, "syntax/chained-on", message, hint, spanFrom(stream, start));
  return own;
}

function written({ quoted, text }: ShorthandTerm): string {
  return quoted ? `"${text}"` : text;
}

function isConnective(word: string): boolean {
  return reservedWords.has(word) || word === "on";
}

function parseShorthandTerm(stream: Stream, expected: string): ShorthandTerm | undefined {
  const token = peek(stream);
  const quoted = token.kind === "string";
  if (!quoted && (token.kind !== "identifier" || reservedWords.has(token.text))) return unexpected(stream, expected);
  advance(stream);
  return { quoted, text: token.text, span: spanOf(stream, token) };
}

const longhandHint =
  "write the rule in longhand, outside of the block: `has_permission(actor: Actor, …, resource: …) if …`";

/** Reports an operator: only longhand rules may use one. */
function refuseOperator(stream: Stream): boolean {
  const token = peek(stream);
  const isOperator = token.kind === "punctuation" && /^(?:[<>]=?|[!:=]?=|matches!|\.)$/.test(token.text);
  if (!isOperator && !isWord(token, "in") && !isWord(token, "matches") && !isWord(token, "not")) return false;
  const message = `${quote(token.text)} is not allowed in a shorthand rule`;
  const isNeedless =
    isMark(peek(stream, -1), ")") && /^(?:==? true|!= false)$/.test(`${token.text} ${peek(stream, 1).text}`);
  const hint = isNeedless
    ? `a condition is true or false by itself: omit ${quote(`${token.text} ${peek(stream, 1).text}`)}`
    : longhandHint;
  refuse(stream, "syntax/operator-in-shorthand", message, hint);
  return true;
}
