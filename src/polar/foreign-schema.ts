/** Schemas of other engines that were pasted whole: one message that shows the way, in place of one for each line. */

export interface ForeignSchema {
  readonly engine: string;
  /** Where its first word is. */
  readonly start: number;
  readonly end: number;
  readonly hint: string;
}

const blank = /\s+|\/\/[^\n]*|#[^\n]*|\/\*[^]*?\*\//y;

const schemas: readonly { readonly engine: string; readonly begin: RegExp; readonly hint: string }[] = [
  {
    engine: "SpiceDB",
    begin: /(definition)\s+[\w/]+\s*\{/y,
    hint: '`definition doc { relation viewer: user  permission view = viewer }` is `resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }` in Polar, and `user` is `actor User {}`',
  },
  {
    engine: "OpenFGA",
    begin: /(model)\s+schema\s+\d/y,
    hint: '`type doc  relations  define viewer: [user]` is `resource Doc { roles = ["viewer"]; }` in Polar, `define can_view: viewer` is `permissions = ["can_view"]; "can_view" if "viewer";`, and `type user` is `actor User {}`',
  },
];

export function foreignSchema(text: string): ForeignSchema | undefined {
  let start = 0;
  for (let found = at(blank, text, start); found; found = at(blank, text, start)) start += found[0].length;
  for (const { engine, begin, hint } of schemas) {
    const word = at(begin, text, start)?.[1];
    if (word !== undefined) return { engine, start, end: start + word.length, hint };
  }
  return undefined;
}

function at(pattern: RegExp, text: string, start: number): RegExpExecArray | null {
  pattern.lastIndex = start;
  return pattern.exec(text);
}
