/**
 * The declarations of all blocks, merged by type, with inherited names. Of contradicting declarations the first counts;
 * `checks/` report the others.
 */
import type * as policy from "./policy.ts";
import type { Block, Name, Program, ShorthandAtom } from "./syntax.ts";
import type { Span } from "./span.ts";
import { must } from "../util/assert.ts";

export interface Declarations {
  readonly types: ReadonlyMap<string, TypeEntry>;
  /** Empty if the policy has no global block. */
  readonly global: Names;
  /** Some global block lost a section to a syntax error. */
  readonly globalIncomplete: boolean;
  /** Types that extend themselves through a cycle. They inherit nothing. */
  readonly cyclic: ReadonlySet<TypeEntry>;
  /** Inheritance would give more names than the limit allows. The rest was left out. */
  readonly tooMany: boolean;
}

export type Names = ReadonlyMap<string, DeclaredName>;

export interface TypeEntry {
  readonly name: string;
  readonly kind: "actor" | "resource";
  readonly blocks: readonly Block[];
  readonly supertypes: readonly Name[];
  readonly own: Names;
  /** Own and inherited names. If two inherited names are equal, the first one is kept. */
  readonly names: Map<string, DeclaredName>;
  /** Length of the longest chain of supertypes: 0 without supertypes. */
  height: number;
  /** Some names are unknown: a syntax error or an undeclared supertype, in this type or one above it. */
  incomplete: boolean;
  readonly span: Span;
}

export interface DeclaredName extends policy.DeclaredName {
  /** The type of a relation. */
  readonly type: Name | undefined;
}

export type NameKind = DeclaredName["kind"];

export function collectDeclarations(program: Program, inheritedMax: number): Declarations {
  const blocks = program.statements.filter((statement) => statement.kind === "block");
  const globals = blocks.filter((block) => block.blockKind === "global");
  const byName = Map.groupBy(
    blocks.filter((block) => block.blockKind !== "global"),
    (block) => block.name.text,
  );
  const types = new Map([...byName].map(([name, group]) => [name, typeEntry(name, group)]));
  return {
    types,
    global: namesOf("global", globals),
    globalIncomplete: program.incomplete || globals.some((block) => block.incomplete),
    ...inherit(types, inheritedMax),
  };
}

function typeEntry(name: string, blocks: readonly Block[]): TypeEntry {
  const first = must(blocks[0]);
  const own = namesOf(name, blocks);
  const supertypes = new Map(blocks.flatMap((block) => block.supertypes).map((type) => [type.text, type]));
  return {
    name,
    kind: first.blockKind === "actor" ? "actor" : "resource",
    blocks,
    supertypes: [...supertypes.values()],
    own,
    names: new Map(own),
    height: 0,
    incomplete: blocks.some((block) => block.incomplete),
    span: first.name.span,
  };
}

function namesOf(owner: string, blocks: readonly Block[]): Map<string, DeclaredName> {
  const names = new Map<string, DeclaredName>();
  for (const declared of blocks.flatMap((block) => declaredNames(owner, block))) {
    if (!names.has(declared.name)) names.set(declared.name, declared);
  }
  return names;
}

const kindOfSection: ReadonlyMap<string, NameKind> = new Map([
  ["roles", "role"],
  ["permissions", "permission"],
  ["relations", "relation"],
]);

/** Every name that a block declares, including repeated ones. */
export function declaredNames(owner: string, block: Block): DeclaredName[] {
  return block.sections.flatMap((section): DeclaredName[] => {
    const kind = kindOfSection.get(section.name.text);
    if (kind === undefined) return [];
    if (section.value.kind === "dictionary") {
      if (kind !== "relation") return [];
      return section.value.entries.map(({ key, type }) => ({ name: key.text, kind, type, owner, span: key.span }));
    }
    if (kind === "relation") return [];
    return section.value.items.flatMap((item) =>
      item.kind === "string" ? [{ name: item.text, kind, type: undefined, owner, span: item.span }] : [],
    );
  });
}

/** Passes names to subtypes, supertypes first (Kahn's algorithm), without recursion: chains may be very long. */
function inherit(
  types: ReadonlyMap<string, TypeEntry>,
  inheritedMax: number,
): Pick<Declarations, "cyclic" | "tooMany"> {
  const subtypes = new Map<string, TypeEntry[]>();
  const waiting = new Map<TypeEntry, number>();
  for (const type of types.values()) {
    const known = type.supertypes.filter((supertype) => types.has(supertype.text));
    type.incomplete ||= known.length < type.supertypes.length;
    waiting.set(type, known.length);
    for (const supertype of known) {
      subtypes.getOrInsertComputed(supertype.text, () => []).push(type);
    }
  }
  const ready = [...types.values()].filter((type) => waiting.get(type) === 0);
  let inherited = 0;
  for (const type of ready) {
    for (const subtype of subtypes.get(type.name) ?? []) {
      inherited += type.names.size;
      if (inherited <= inheritedMax) inheritNames(type, subtype);
      const left = (waiting.get(subtype) ?? 0) - 1;
      waiting.set(subtype, left);
      if (left === 0) ready.push(subtype);
    }
    waiting.delete(type);
  }
  return { cyclic: new Set(waiting.keys()), tooMany: inherited > inheritedMax };
}

function inheritNames(type: TypeEntry, subtype: TypeEntry): void {
  for (const [name, declared] of type.names) {
    if (!subtype.names.has(name)) subtype.names.set(name, declared);
  }
  subtype.height = Math.max(subtype.height, type.height + 1);
  subtype.incomplete ||= type.incomplete;
}

/** What a name of a shorthand condition refers to: in its block, or in the type of the relation after `on`. */
export function referredName(atom: ShorthandAtom, block: Block, { types }: Declarations): DeclaredName | undefined {
  if (atom.kind !== "name" && atom.kind !== "on") return undefined;
  const names = types.get(block.name.text)?.names;
  const isRelated = atom.kind === "on" && atom.target.quoted;
  const scope = isRelated ? types.get(names?.get(atom.target.text)?.type?.text ?? "")?.names : names;
  return scope?.get(atom.term.text);
}

/** The types themselves and all their supertypes, as far as these are declared. */
export function withSupertypes(declarations: Declarations, start: Iterable<string>): Set<string> {
  const found = new Set(start);
  for (const name of found) {
    for (const supertype of declarations.types.get(name)?.supertypes ?? []) found.add(supertype.text);
  }
  return found;
}
