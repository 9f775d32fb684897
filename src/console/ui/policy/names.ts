/**
 * The names of a policy, for completion: those of the active policy, as the node reports them, together with those in
 * the text, which may be new or wrong. Pure.
 */

/** The answer of `GET /api/policy_metadata`. */
export interface PolicyMetadata {
  readonly resources: Readonly<
    Record<
      string,
      {
        readonly roles: readonly string[];
        readonly permissions: readonly string[];
        readonly relations: Readonly<Record<string, string>>;
      }
    >
  >;
}

export interface BlockNames {
  readonly roles: ReadonlySet<string>;
  readonly permissions: ReadonlySet<string>;
  /** The type by the name of the relation. */
  readonly relations: ReadonlyMap<string, string>;
}

export interface PolicyNames {
  /** The blocks by type; `global` is one of them. */
  readonly blocks: ReadonlyMap<string, BlockNames>;
  readonly predicates: ReadonlySet<string>;
}

/** Predicates that every policy may use. */
export const builtInPredicates = ["allow", "has_permission", "has_relation", "has_role"] as const;

export const noNames: PolicyNames = { blocks: new Map(), predicates: new Set(builtInPredicates) };

/** `predicates` are the keys of `GET /api/autocomplete_info`. */
export function namesOfMetadata({ resources }: PolicyMetadata, predicates: readonly string[]): PolicyNames {
  const blocks = Object.entries(resources).map(([type, { roles, permissions, relations }]): [string, BlockNames] => [
    type,
    { roles: new Set(roles), permissions: new Set(permissions), relations: new Map(Object.entries(relations)) },
  ]);
  return { blocks: new Map(blocks), predicates: new Set([...builtInPredicates, ...predicates]) };
}

const word = String.raw`[_\p{L}][\p{L}\p{N}_]*`;
const block = new RegExp(String.raw`\b(?:actor|resource)\s+(${word}(?:::${word})*)[^{};]{0,400}\{|\bglobal\s*\{`, "gu");
// The lengths are limited, so that no text takes long.
const list = /\b(roles|permissions)\s{0,9}=\s{0,9}\[([^\]]{0,9999})\]/g;
const relationList = /\brelations\s{0,9}=\s{0,9}\{([^}]{0,9999})\}/g;
const relation = new RegExp(String.raw`(${word})\s*:\s*(${word}(?:::${word})*)`, "gu");
const string = /"((?:[^"\\]|\\.)*)"/g;
const predicate = new RegExp(String.raw`(?:^|[;}])\s*(?:declare\s+)?(${word})\s*\(`, "gmu");

/** The names in a text, whether or not it is a correct policy. */
export function namesInText(text: string): PolicyNames {
  const bare = withoutComments(text);
  const blocks = new Map<string, BlockNames>();
  const ends = endsOfBlocks(bare);
  for (const { 0: head, 1: type = "global", index } of bare.matchAll(block)) {
    const begin = index + head.length;
    const end = ends.get(begin);
    if (end !== undefined) blocks.set(type, mergedBlock(blocks.get(type), namesInBlock(bare.slice(begin, end))));
  }
  const found = [...bare.matchAll(predicate)].map(([, name = ""]) => name);
  return { blocks, predicates: new Set(found.filter((name) => !notPredicates.has(name))) };
}

const notPredicates: ReadonlySet<string> = new Set(["if", "and", "or", "not", "in", "assert", "assert_not", "iff"]);

export function mergedNames(all: readonly PolicyNames[]): PolicyNames {
  const blocks = new Map<string, BlockNames>();
  for (const { blocks: own } of all)
    for (const [type, names] of own) blocks.set(type, mergedBlock(blocks.get(type), names));
  return { blocks, predicates: new Set(all.flatMap(({ predicates }) => [...predicates])) };
}

function mergedBlock(one: BlockNames | undefined, other: BlockNames): BlockNames {
  if (one === undefined) return other;
  return {
    roles: new Set([...one.roles, ...other.roles]),
    permissions: new Set([...one.permissions, ...other.permissions]),
    relations: new Map([...one.relations, ...other.relations]),
  };
}

function namesInBlock(body: string): BlockNames {
  const listed = [...body.matchAll(list)].map(([, kind, content = ""]) => ({ kind, names: stringsIn(content) }));
  const namesOf = (wanted: string): Set<string> =>
    new Set(listed.flatMap(({ kind, names }) => (kind === wanted ? names : [])));
  const relations = [...body.matchAll(relationList)].flatMap(([, content = ""]) =>
    [...content.matchAll(relation)].map(([, name = "", type = ""]): [string, string] => [name, type]),
  );
  return { roles: namesOf("roles"), permissions: namesOf("permissions"), relations: new Map(relations) };
}

function stringsIn(text: string): string[] {
  return [...text.matchAll(string)].map(([, content = ""]) => content);
}

/** Of equal length, so that positions stay. */
function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"?|#[^\n]*/g, (found) =>
    found.startsWith("#") ? " ".repeat(found.length) : found,
  );
}

/** Where each pair of braces that is in no other one begins and ends; the last one may be open. */
function endsOfBlocks(text: string): ReadonlyMap<number, number> {
  const ends = new Map<number, number>();
  let [depth, begin] = [0, 0];
  for (const { 0: found, index } of text.matchAll(/"(?:[^"\\\n]|\\.)*"?|[{}]/g)) {
    if (found === "{" && depth++ === 0) begin = index + 1;
    if (found === "}" && depth > 0 && --depth === 0) ends.set(begin, index);
  }
  if (depth > 0) ends.set(begin, text.length);
  return ends;
}
