/**
 * What people bring along from the embedded oso library, from other languages, or from a chatbot that mixes them up. Each gets a message
 * of its own with the cure, instead of "unexpected token".
 */
import { quote } from "./report.ts";
import { type Stream, advance, isMark, peek, spanFrom, spanOf } from "./stream.ts";
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
