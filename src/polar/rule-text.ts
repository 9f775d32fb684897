/** The text of a rule for messages. */
import { type Position, positionAt, type Source, startsOf } from "./source.ts";
import type { Span } from "./span.ts";

const ruleLengthMax = 100;

export interface PlacedRule extends Position {
  readonly text: string;
  readonly file: string;
}

/** The text at the span on one line, without its semicolon, truncated if it is long, and its position. */
export function ruleAt({ file, start, end }: Span, sources: readonly Source[]): PlacedRule {
  const source = sources.find(({ name }) => name === file);
  const whole = (source?.text ?? "")
    .slice(start, end)
    .replace(/#[^\n"]*(?=\n)/g, "")
    .replace(/\s+/g, " ")
    .replace(/ ?;$/, "");
  const text = whole.length > ruleLengthMax ? `${whole.slice(0, ruleLengthMax)}…` : whole;
  return { text, file, ...positionAt(source ? startsOf(source) : [0], start) };
}
