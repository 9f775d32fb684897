/**
 * Detects schemas and policies of other engines. One message shows how to write them in Polar, instead of one message
 * for each line.
 */

export interface ForeignSchema {
  readonly what: string;
  /** Where its first word is. */
  readonly start: number;
  readonly end: number;
  readonly hint: string;
}

const blank = /\s+|\/\/[^\n]*|#[^\n]*|\/\*[^]*?\*\//y;

/** No policy in Polar can begin like one of these. */
const schemas: readonly { readonly what: string; readonly begin: RegExp; readonly hint: string }[] = [
  {
    what: "a schema of SpiceDB",
    begin: /(definition)\s+[\w/]+\s*\{|(caveat)\s+[\w/]+\s*\(|(use)\s+\w+\s+(?:definition|caveat|use)\b/y,
    hint: '`definition doc { relation viewer: user  permission view = viewer }` is `resource Doc { roles = ["viewer"]; permissions = ["view"]; "view" if "viewer"; }` in Polar, and `user` is `actor User {}`',
  },
  {
    what: "a schema of OpenFGA",
    begin:
      /(model)\s+schema\s+\d|(module)\s+[\w-]+\s+(?:extend\s+)?type\b|(extend)\s+type\b|(type)\s+[\w-]+\s+(?:relations|type)\b/y,
    hint: '`type doc  relations  define viewer: [user]` is `resource Doc { roles = ["viewer"]; }` in Polar, `define can_view: viewer` is `permissions = ["can_view"]; "can_view" if "viewer";`, and `type user` is `actor User {}`',
  },
  {
    what: "a policy of Cedar",
    begin:
      /(?:@\w+\("[^"\n]*"\)\s*)*(permit|forbid)\s*\(\s*principal(?:\s*,\s*action(?:\s*,\s*resource)?)?\s*(?:==|(?:in|is)\b|\)\s*(?:when|unless)\b)/y,
    hint: '`permit(principal, action == Action::"view", resource) when { … }` is `has_permission(user: User, "view", doc: Doc) if …;` in Polar, with `actor User {}` and `resource Doc { permissions = ["view"]; }`, and `forbid` is a `not` in the rules that allow',
  },
];

export function foreignSchema(text: string): ForeignSchema | undefined {
  let start = 0;
  for (let found = at(blank, text, start); found; found = at(blank, text, start)) start += found[0].length;
  for (const { what, begin, hint } of schemas) {
    const word = at(begin, text, start)
      ?.slice(1)
      .find((group) => group !== undefined);
    if (word === undefined) continue;
    const first = text.indexOf(word, start);
    return { what, start: first, end: first + word.length, hint };
  }
  return undefined;
}

function at(pattern: RegExp, text: string, start: number): RegExpExecArray | null {
  pattern.lastIndex = start;
  return pattern.exec(text);
}
