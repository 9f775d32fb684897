/**
 * What people bring along from the embedded oso library, from other languages, or from a chatbot that mixes them up. Each gets a message
 * of its own with the cure, instead of "unexpected token".
 */
import { quote } from "./report.ts";
import { type Stream, advance, isMark, isWord, peek, spanFrom, spanOf } from "./stream.ts";
import type { Token } from "./token.ts";

const operators: Readonly<Record<string, { code: string; hint: string }>> = {
  "==": { code: "syntax/double-equals", hint: "write `=`" },
  ":=": { code: "syntax/assignment", hint: "write `=`, or use the value where it is needed" },
  "&&": { code: "syntax/unknown-operator", hint: "write `and`" },
  "||": { code: "syntax/unknown-operator", hint: "write `or`" },
  "!": { code: "syntax/unknown-operator", hint: "write `not`" },
  "|": { code: "syntax/unknown-operator", hint: "write `or`" },
  "&": { code: "syntax/unknown-operator", hint: "write `and`" },
  "+": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "-": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "*": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "/": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "%": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
  "^": { code: "syntax/arithmetic", hint: "store the computed value as a fact" },
};

/** Reports the present token if an older dialect explains it. */
export function explainLegacy(stream: Stream): boolean {
  const token = peek(stream);
  if (token.kind === "identifier" && token.text === "new" && peek(stream, 1).kind === "identifier") {
    stream.report.error(
      "syntax/new",
      spanOf(stream, token),
      "`new` is not part of Polar: there are no objects to make",
      {
        hint: 'a value of a type is written `Type{"id"}`',
      },
    );
    return true;
  }
  const known = token.kind === "punctuation" ? operators[token.text] : undefined;
  if (!known) return explainAccess(stream);
  const message = `${quote(token.text)} is not an operator of Polar`;
  stream.report.error(known.code, spanOf(stream, token), message, { hint: known.hint });
  return true;
}

/** `=`, and what others write for it: reported, then read as `=`, so that the rest of the rule is looked at too. */
export function acceptEquals(stream: Stream): boolean {
  const token = peek(stream);
  if (isMark(token, "==") || isMark(token, ":=")) explainLegacy(stream);
  else if (!isMark(token, "=")) return false;
  advance(stream);
  return true;
}

const connectives = { and: ["&&", "&"], or: ["||", "|"] } as const;

/** `and` or `or`, and what others write for it. */
export function acceptConnective(stream: Stream, word: keyof typeof connectives): boolean {
  if (!isWord(peek(stream), word)) {
    if (!connectives[word].some((mark) => isMark(peek(stream), mark))) return false;
    explainLegacy(stream);
  }
  advance(stream);
  return true;
}

/** `not`, and what others write for it. */
export function acceptNot(stream: Stream): boolean {
  if (!isWord(peek(stream), "not")) {
    if (!isMark(peek(stream), "!")) return false;
    explainLegacy(stream);
  }
  advance(stream);
  return true;
}

/** Whether what stands here would use the value of what stands before it. */
function usesValue(token: Token): boolean {
  return /^(?:[<>]=?|[!:=]?=|[+\-*/%^])$/.test(token.kind === "punctuation" ? token.text : "") || isWord(token, "in");
}

const clocks = /^(now|time|today|date|current_?(unix_?)?time(stamp)?|timestamp|unix_?time)$/i;

/** A call as a value, `now() < end` or `end > now()`: reported and stepped over, so that a variable may stand in for it. */
export function skipCallAsValue(stream: Stream, place: "left" | "right"): boolean {
  const name = peek(stream);
  if (name.kind !== "identifier" || !isMark(peek(stream, 1), "(")) return false;
  const start = stream.index;
  advance(stream);
  skipParentheses(stream);
  if (place === "left" && !usesValue(peek(stream))) {
    stream.index = start;
    return false;
  }
  stream.report.error(
    "syntax/call-as-value",
    spanFrom(stream, name),
    `${quote(`${name.text}(…)`)} has no value: a call is a condition`,
    {
      hint: clocks.test(name.text)
        ? "the present time, in seconds, is `@current_unix_time`"
        : `give it an argument for the value, as in ${quote(`${name.text}(…, value) and value < …`)}`,
    },
  );
  return true;
}

/** `@current_time` and the like where a value stands: reported, and the present time stands in for it. */
export function acceptFlagAsValue(stream: Stream): boolean {
  const token = peek(stream);
  if (token.kind !== "flag") return false;
  stream.report.error("syntax/flag-as-value", spanOf(stream, token), `${quote(token.text)} is no value`, {
    hint: "the present time, in seconds, is `@current_unix_time`; there are no others of its kind",
  });
  advance(stream);
  return true;
}

/** Steps over `.name`, `.name.name` and `.name(…)` after `object`, reporting them: the rest of the rule is then still looked at. */
export function skipAccess(stream: Stream, object: Token): void {
  if (!isMark(peek(stream), ".") || peek(stream, 1).kind !== "identifier") return;
  while (isMark(peek(stream), ".") && peek(stream, 1).kind === "identifier") {
    advance(stream);
    advance(stream);
  }
  const field = peek(stream, -1).text;
  if (isMark(peek(stream), "(")) {
    skipParentheses(stream);
    stream.report.error(
      "syntax/method-call",
      spanFrom(stream, object),
      `${quote(object.text)} has no methods: values carry a type and an id only`,
      {
        hint: `write a rule or a fact ${quote(`${field}(${object.text}, …)`)}`,
      },
    );
    return;
  }
  stream.report.error(
    "syntax/field-access",
    spanFrom(stream, object),
    `${quote(object.text)} has no fields: values carry a type and an id only`,
    {
      hint: `make it a fact, for example ${quote(`${field}(${object.text}, value)`)}`,
    },
  );
}

/** Whether a field or a method was stepped over just before. */
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

/** `object.field` where no variable may stand: reported and stepped over. */
export function explainAccess(stream: Stream): boolean {
  const object = peek(stream);
  if (object.kind !== "identifier" || !isMark(peek(stream, 1), ".") || peek(stream, 2).kind !== "identifier")
    return false;
  advance(stream);
  skipAccess(stream, object);
  return true;
}
