/**
 * Signatures of facts that come from a query: `has_role(User:_, String:_, Organization:acme)`. Each `_` takes the value
 * of one column, in order; everything else is fixed. A type can be left out for strings: `has_role(User:_, member,
 * Team:_)`.
 */
export interface Signature {
  /** As it is written in the file. */
  readonly text: string;
  readonly predicate: string;
  /** The id is null for `_`. */
  readonly args: readonly { readonly type: string; readonly id: string | null }[];
}

// As in policies: any character that is not ASCII is a letter.
const word = "[A-Za-z_\\u0080-\\uffff][A-Za-z0-9_\\u0080-\\uffff]*";
const name = `${word}(?:::${word})*\\??`;
const argument = new RegExp(`\\s*(?:(${name})\\s*:\\s*)?("(?:[^"\\\\]|\\\\.)*"|[^\\s",()]+)\\s*([,)])`, "y");

/** Returns undefined if the text is not a signature. */
export function parseSignature(text: string): Signature | undefined {
  const [head, predicate] = new RegExp(`^\\s*(${name})\\s*\\(`).exec(text) ?? [];
  if (head === undefined || predicate === undefined) return undefined;
  const args: { type: string; id: string | null }[] = [];
  argument.lastIndex = head.length;
  for (;;) {
    const [, type, written = "", end] = argument.exec(text) ?? [];
    // A colon without a type before it is a mistake, unless it is in quotes.
    if (end === undefined || (type === undefined && /^[^"].*:/.test(written))) return undefined;
    const id = written.startsWith('"') ? unquoted(written) : written;
    if (id === undefined) return undefined;
    args.push({ type: type ?? "String", id: written === "_" ? null : id });
    if (end === ")") break;
  }
  return /^\s*;?\s*$/.test(text.slice(argument.lastIndex)) ? { text, predicate, args } : undefined;
}

/** Returns undefined for an invalid escape. */
function unquoted(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

export function columnsOf({ args }: Signature): number {
  return args.filter(({ id }) => id === null).length;
}
