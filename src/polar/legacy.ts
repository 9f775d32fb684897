/**
 * Messages for syntax of the embedded oso library, of other languages, or of chatbots that mix them. Each says how to
 * write the same in Polar, instead of "unexpected token".
 */
import { must } from "../util/assert.ts";
import type { Fix } from "./diagnostic.ts";
import { quote, replacement } from "./report.ts";
import { type Stream, advance, isMark, isWord, peek, refuse, spanFrom, spanOf } from "./stream.ts";
import type { Token } from "./token.ts";

interface OtherOperator {
  readonly code: string;
  readonly hint: string;
  /** What Polar has instead. */
  readonly polar?: string;
}

const operators: Readonly<Record<string, OtherOperator>> = {
  "==": { code: "syntax/double-equals", hint: "write `=`", polar: "=" },
  ":=": { code: "syntax/assignment", hint: "write `=`, or use the value where it is needed" },
  "&&": operator("and"),
  "||": operator("or"),
  "!": operator("not"),
  "|": operator("or"),
  "&": operator("and"),
  "+": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "-": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "*": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "/": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "%": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "^": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
};

function operator(polar: string): OtherOperator {
  return { code: "syntax/unknown-operator", hint: `write ${quote(polar)}`, polar };
}

const words: ReadonlySet<string> = new Set(["if", "and", "or", "not", "in", "matches", "on"]);

/** `or` for `OR` and `Or`. */
function inLowerCase({ kind, text }: Token): string | undefined {
  const lower = text.toLowerCase();
  return kind === "identifier" && text !== lower && words.has(lower) ? lower : undefined;
}

/** Reports the current token if it belongs to an older dialect. */
export function explainLegacy(stream: Stream): boolean {
  const token = peek(stream);
  if (token.kind === "flag") {
    const message = `${quote(token.text)} is allowed only before a rule`;
    refuse(stream, "syntax/misplaced-flag", message, "remove it: before a rule it is ignored");
    return true;
  }
  if (token.kind === "identifier" && token.text === "new" && peek(stream, 1).kind === "identifier") {
    const message = "`new` is not part of Polar: there are no objects to make";
    refuse(stream, "syntax/new", message, 'a value of a type is written `Type{"id"}`');
    return true;
  }
  const word = inLowerCase(token);
  const known = token.kind === "punctuation" ? operators[token.text] : word && operator(word);
  if (!known) return explainAccess(stream);
  const { code, hint, polar } = known;
  const fixes =
    polar === undefined ? {} : { fixes: [inPlaceOf(token, polar, peek(stream, -1), peek(stream, 1), stream)] };
  refuse(stream, code, `${quote(token.text)} is not an operator of Polar`, { hint, ...fixes });
  return true;
}

/** Takes `=`, or reports another language's form and reads it as `=`, so that the rest of the rule is checked too. */
export function acceptEquals(stream: Stream): boolean {
  return acceptForm(stream, isMark(peek(stream), "="), ["==", ":="]);
}

const connectives = { and: ["&&", "&"], or: ["||", "|"] } as const;

/** Takes `and` or `or`, or reports another language's form of it. */
export function acceptConnective(stream: Stream, word: keyof typeof connectives): boolean {
  if (word === "and" && isMark(peek(stream), ",")) return replace(stream, "and", "between conditions");
  return acceptForm(stream, isWord(peek(stream), word), connectives[word], word);
}

/** Takes `not`, or reports another language's form of it. */
export function acceptNot(stream: Stream): boolean {
  const [token, next] = [peek(stream), peek(stream, 1)];
  // `NOT(x)` is a call, and `NOT (…)` more likely a negation.
  const isCall = isMark(next, "(") && next.start === token.end;
  return acceptForm(stream, isWord(token, "not"), ["!"], isCall ? undefined : "not");
}

const otherIfs: ReadonlySet<string> = new Set(["when", "where", "iff"]);

/** Takes the `if` after the head of a rule, or reports another language's form of it. */
export function acceptIf(stream: Stream): boolean {
  const [token, next] = [peek(stream), peek(stream, 1)];
  const isOther = token.kind === "identifier" && otherIfs.has(token.text) && !isMark(next, "(");
  if (isOther || isMark(token, ":-")) return replace(stream, "if", "between the head of a rule and its condition");
  return acceptForm(stream, isWord(token, "if"), [], "if");
}

/** Takes the current token if it is the form of Polar, or `word` in capitals or one of the `others`, which are reported. */
function acceptForm(stream: Stream, isPolar: boolean, others: readonly string[], word?: string): boolean {
  if (!isPolar) {
    const isWordInCapitals = word !== undefined && inLowerCase(peek(stream)) === word;
    if (!isWordInCapitals && !others.some((mark) => isMark(peek(stream), mark))) return false;
    explainLegacy(stream);
  }
  advance(stream);
  return true;
}

/** Reports and takes a token of another language that means `word` here, in its `place`. */
function replace(stream: Stream, word: string, place: string): true {
  const token = advance(stream);
  const message = `${quote(token.text)} is not allowed ${place}`;
  const fixes = [inPlaceOf(token, word, peek(stream, -2), peek(stream), stream)];
  refuse(stream, "syntax/unknown-operator", message, { hint: `write ${quote(word)}`, fixes }, token);
  return true;
}

/** Replaces a token by one of Polar, which keeps its distance as a word: `!x` is `not x`. */
function inPlaceOf(token: Token, text: string, before: Token, after: Token, stream: Stream): Fix {
  const hasLetters = words.has(text);
  const left = hasLetters && before.end === token.start ? " " : "";
  const right = hasLetters && after.start === token.end ? " " : "";
  const { title, edits } = replacement(spanOf(stream, token), text);
  return { title, edits: edits.map((edit) => ({ ...edit, text: left + text + right })) };
}

/** True for an operator that uses the value to its left. */
function usesValue(token: Token): boolean {
  return /^(?:[<>]=?|[!:=]?=|[+\-*/%^])$/.test(token.kind === "punctuation" ? token.text : "") || isWord(token, "in");
}

const clocks = /^(now|time|today|date|current_?(unix_?)?time(stamp)?|timestamp|unix_?time)$/i;

/** Reports and skips a call instead of a value (`now() < end`, `end > now()`). The caller inserts a variable. */
export function skipCallAsValue(stream: Stream, side: "left" | "right"): boolean {
  const name = peek(stream);
  if (name.kind !== "identifier" || !isMark(peek(stream, 1), "(")) return false;
  const start = stream.index;
  // Calls in adjacent arguments get one message.
  const isNext = isMark(peek(stream, -1), ",") && stream.calledAt === start - 1;
  advance(stream);
  skipParentheses(stream);
  if (side === "left" && !usesValue(peek(stream))) {
    stream.index = start;
    return false;
  }
  stream.calledAt = stream.index;
  if (isNext) return true;
  const message = `${quote(`${name.text}(…)`)} has no value: a call is a condition`;
  refuse(stream, "syntax/call-as-value", message, hintForCall(stream, name, start, side), spanFrom(stream, name));
  return true;
}

/** `start` is the first token of the call; the stream is after the call. */
function hintForCall(stream: Stream, { text }: Token, start: number, side: "left" | "right"): string {
  if (clocks.test(text)) return "the current time, in seconds, is `@current_unix_time`";
  const [second, first] = [stream.tokens[start - 2], stream.tokens[start - 1]];
  if (side === "right" && second?.text === "forall" && first?.text === "(")
    return "there is no `forall`: write that no value lacks the property, `not (g(…) and not h(…))`";
  const [operator, value] = side === "left" ? [peek(stream), peek(stream, 1)] : [first, second];
  const isComparison = value?.kind === "identifier" && /^(?:true|false)$/.test(value.text);
  if (isComparison && /^(?:==?|!=)$/.test(operator?.text ?? "")) {
    const isTrue = (value.text === "true") === (operator?.text !== "!=");
    const call = `${text}(…)`;
    return `a condition is true or false by itself: write ${quote(isTrue ? call : `not ${call}`)} alone`;
  }
  return `give it an argument for the value, as in ${quote(`${text}(…, value) and value < …`)}`;
}

/** `User("ann")`, which means `User{"ann"}`. */
function isValueInParentheses(stream: Stream): boolean {
  const [name, open, id, close] = [peek(stream), peek(stream, 1), peek(stream, 2), peek(stream, 3)];
  if (name.kind !== "identifier" || !isMark(open, "(") || !isMark(close, ")")) return false;
  return /^\p{Lu}/u.test(name.text) && (id.kind === "string" || id.kind === "integer");
}

/** Whether such a value is on the left of an operator. A call alone is a condition. */
export function comparesValueInParentheses(stream: Stream): boolean {
  return isValueInParentheses(stream) && usesValue(peek(stream, 4));
}

/** Reports such a value where a value is expected; the caller reads it as one in braces. Skips nothing. */
export function acceptParenthesesOfValue(stream: Stream): boolean {
  if (!isValueInParentheses(stream)) return false;
  const [name, id, close] = [peek(stream), peek(stream, 2), peek(stream, 3)];
  const value = id.kind === "string" ? JSON.stringify(id.text) : id.text;
  const message = `${quote(`${name.text}(…)`)} is not a value: write the id of a value in braces`;
  const hint = `write ${quote(`${name.text}{${value}}`)}`;
  refuse(stream, "syntax/call-as-value", message, hint, { start: name.start, end: close.end });
  return true;
}

/** Reports and skips `@name` before a condition. */
export function skipMisplacedFlag(stream: Stream): void {
  const next = peek(stream, 1);
  const isBeforeCondition = next.kind === "identifier" ? !usesValue(next) && !isConnective(next) : isMark(next, "(");
  if (peek(stream).kind !== "flag" || !isBeforeCondition) return;
  explainLegacy(stream);
  advance(stream);
}

function isConnective(token: Token): boolean {
  return isWord(token, "and") || isWord(token, "or") || isWord(token, "matches");
}

/** Reports `@current_time` and similar flags instead of a value; the caller reads them as the current time. */
export function acceptFlagAsValue(stream: Stream): boolean {
  const token = peek(stream);
  if (token.kind !== "flag") return false;
  const hint = "the current time, in seconds, is `@current_unix_time`; there are no other such values";
  refuse(stream, "syntax/flag-as-value", `${quote(token.text)} is not a value`, hint);
  advance(stream);
  return true;
}

/** Reports and skips `.name`, `.name.name`, `.name(…)` after `object`, so that the rest of the rule is checked. */
export function skipAccess(stream: Stream, object: Token): void {
  if (!isMark(peek(stream), ".") || peek(stream, 1).kind !== "identifier") return;
  while (isMark(peek(stream), ".") && peek(stream, 1).kind === "identifier") {
    advance(stream);
    advance(stream);
  }
  const field = peek(stream, -1).text;
  if (isMark(peek(stream), "(")) {
    skipParentheses(stream);
    const message = `${quote(object.text)} has no methods: values carry a type and an id only`;
    const hint = `write a rule or a fact ${quote(`${field}(${object.text}, …)`)}`;
    return refuse(stream, "syntax/method-call", message, hint, spanFrom(stream, object));
  }
  const message = `${quote(object.text)} has no fields: values carry a type and an id only`;
  const hint = `make it a fact, for example ${quote(`${field}(${object.text}, value)`)}`;
  refuse(stream, "syntax/field-access", message, hint, spanFrom(stream, object));
}

/** Reports `org.member` in a shorthand rule; it skips nothing. */
export function explainPath(stream: Stream): boolean {
  const start = stream.index;
  const path = [peek(stream)];
  while (isMark(peek(stream, 2 * path.length - 1), ".") && peek(stream, 2 * path.length).kind === "identifier")
    path.push(peek(stream, 2 * path.length));
  const last = must(path.at(-1));
  if (path.length === 1 || stream.tokens[start]?.kind !== "identifier") return false;
  const [first, ...rest] = path.map(({ text }) => text);
  const [name = "", relation] = (first === "resource" ? rest : path.map(({ text }) => text)).toReversed();
  const isFact = relation === undefined || first === "actor";
  const hint = isFact
    ? `write ${quote(`"${name}"`)} for a relation to the actor, or ${quote(`${name}(${first})`)} for a fact`
    : `write ${quote(`"${name}" on "${relation}"`)}`;
  const message = `values have no fields: a shorthand rule names a relation with \`on\``;
  refuse(stream, "syntax/field-access", message, hint, { start: must(path[0]).start, end: last.end });
  return true;
}

/** Whether the tokens just before are a skipped field or method. */
export function followsAccess(stream: Stream): boolean {
  return isMark(peek(stream, -2), ".") || isMark(peek(stream, -1), ")");
}

function skipParentheses(stream: Stream): void {
  let open = 0;
  for (;;) {
    const token = peek(stream);
    if (token.kind === "end" || isMark(token, ";") || isMark(token, "{") || isMark(token, "}")) return;
    advance(stream);
    if (isMark(token, "(")) open += 1;
    if (isMark(token, ")")) open -= 1;
    if (open === 0) return;
  }
}

/** Reports and skips `object.field` where no variable is allowed. */
export function explainAccess(stream: Stream): boolean {
  const object = peek(stream);
  if (object.kind !== "identifier" || !isMark(peek(stream, 1), ".") || peek(stream, 2).kind !== "identifier")
    return false;
  advance(stream);
  skipAccess(stream, object);
  return true;
}
