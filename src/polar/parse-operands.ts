/** Parses `or` over `and` over operands, for the conditions of longhand and shorthand rules. */
import { acceptConnective } from "./legacy.ts";
import type { Span } from "./span.ts";
import { type Stream, peek, spanFrom } from "./stream.ts";

interface Connected<E> {
  readonly kind: "and" | "or";
  readonly operands: readonly E[];
  readonly span: Span;
}

/** A single operand is returned as it is. `undefined` after a reported error. */
export function parseAlternatives<E>(
  stream: Stream,
  operand: (stream: Stream) => E | undefined,
): E | Connected<E | Connected<E>> | undefined {
  return parseOperands(stream, "or", (inner) => parseOperands(inner, "and", operand));
}

function parseOperands<E>(
  stream: Stream,
  operator: "and" | "or",
  operand: (stream: Stream) => E | undefined,
): E | Connected<E> | undefined {
  const start = peek(stream);
  const first = operand(stream);
  if (!first) return undefined;
  const operands = [first];
  while (acceptConnective(stream, operator)) {
    const next = operand(stream);
    if (!next) return undefined;
    operands.push(next);
  }
  return operands.length === 1 ? first : { kind: operator, operands, span: spanFrom(stream, start) };
}
