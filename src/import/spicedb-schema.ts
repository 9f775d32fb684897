/**
 * Reads the schema language of SpiceDB: definitions with relations and permissions, partials, imports, caveats and flags.
 * Source: https://authzed.com/docs/spicedb/concepts/schema. Operators bind as there: `+` tightest, then `&`, then `-`.
 */
import { dirname, join } from "node:path";
import { must } from "../util/assert.ts";
import type { ParameterType } from "./cel-value.ts";
import { checkModel } from "./model-check.ts";
import {
  type ConditionDeclaration,
  type Expression,
  ImportError,
  type ObjectType,
  type Place,
  type Relation,
  type RelationModel,
  type SubjectType,
} from "./relation-model.ts";

interface Token {
  readonly kind: "word" | "symbol" | "string" | "end";
  readonly text: string;
  readonly line: number;
  /** The offset behind it. */
  readonly end: number;
}

/** A definition, or a partial, whose members definitions take over. */
interface Definition {
  readonly name: string;
  readonly relations: Relation[];
  readonly partials: { readonly name: string; readonly place: Place }[];
  readonly place: Place;
}

/** `firstLine` is the line of the file at which the text begins. Throws ImportError. */
export function readSpiceDbSchema(
  text: string,
  file: string,
  read: (path: string) => string,
  firstLine = 1,
): RelationModel {
  const schema = new SchemaParser(text, file, firstLine, read);
  schema.parse();
  const definitions = [...schema.definitions.values()];
  const partials = new Partials(schema.partials);
  const types = definitions.map(({ name, place, relations, partials: taken }): ObjectType => {
    return { name, relations: [...relations, ...taken.flatMap((each) => partials.relations(each))], place };
  });
  const conditions = [...schema.caveats.values()];
  checkModel({ types, conditions }, { strictArrows: false });
  return { types, conditions };
}

/** The relations of partials, with those of the partials in them. */
class Partials {
  readonly #known: ReadonlyMap<string, Definition>;
  /** Undefined for partials that lead to the one that is looked up. */
  readonly #found = new Map<string, readonly Relation[] | undefined>();
  #depth = 0;

  constructor(known: ReadonlyMap<string, Definition>) {
    this.#known = known;
  }

  relations({ name, place }: Definition["partials"][number]): readonly Relation[] {
    const partial = this.#known.get(name);
    if (partial === undefined) throw new ImportError(place, `there is no partial \`${name}\``);
    const found = this.#found.get(name);
    if (found !== undefined) return found;
    if (this.#found.has(name)) throw new ImportError(place, `partial \`${name}\` contains itself`);
    this.#depth += 1;
    if (this.#depth > depthMax) throw new ImportError(place, `more than ${depthMax} partials within each other`);
    this.#found.set(name, undefined);
    const relations = [...partial.relations, ...partial.partials.flatMap((each) => this.relations(each))];
    refuseTwice(name, relations);
    this.#depth -= 1;
    this.#found.set(name, relations);
    return relations;
  }
}

/** Partials that are taken twice would double with each step. */
function refuseTwice(partial: string, relations: readonly Relation[]): void {
  const names = new Set<string>();
  for (const { name, place } of relations) {
    if (names.has(name)) throw new ImportError(place, `\`${partial}\` declares \`${name}\` twice`);
    names.add(name);
  }
}

/** Parentheses within each other, and partials within each other. */
const depthMax = 200;

class SchemaParser {
  readonly definitions = new Map<string, Definition>();
  readonly partials = new Map<string, Definition>();
  readonly caveats = new Map<string, ConditionDeclaration>();
  readonly #text: string;
  readonly #file: string;
  readonly #firstLine: number;
  readonly #read: (path: string) => string;
  readonly #imported: Set<string>;
  readonly #tokens: readonly Token[];
  readonly #features = new Set<string>();
  #position = 0;
  #depth = 0;

  constructor(
    text: string,
    file: string,
    firstLine: number,
    read: (path: string) => string,
    imported = new Set([file]),
  ) {
    this.#text = text;
    this.#file = file;
    this.#firstLine = firstLine;
    this.#read = read;
    this.#imported = imported;
    this.#tokens = this.#scan();
  }

  parse(): void {
    while (this.#token.kind !== "end") {
      if (this.#take(";")) continue;
      if (this.#take("use")) this.#features.add(this.#word("the name of a feature"));
      else if (this.#take("caveat")) this.#caveat();
      else if (this.#take("import")) this.#import();
      else if (this.#take("definition")) this.#definition(this.definitions, "definition");
      else if (this.#take("partial")) this.#definition(this.partials, "partial");
      else throw this.#unexpected("`definition`, `caveat`, `partial`, `import` or `use`");
    }
  }

  #import(): void {
    const { kind, text, line } = this.#token;
    if (kind !== "string") throw this.#unexpected("the path of a schema in quotes");
    this.#position += 1;
    const path = join(dirname(this.#file), text.slice(1, -1));
    if (this.#imported.has(path)) return;
    this.#imported.add(path);
    let content: string;
    try {
      content = this.#read(path);
    } catch {
      throw new ImportError(this.#place(line), `\`${path}\` cannot be read`);
    }
    const other = new SchemaParser(content, path, 1, this.#read, this.#imported);
    other.parse();
    for (const [name, definition] of other.definitions) this.#declare(this.definitions, name, definition);
    for (const [name, partial] of other.partials) this.#declare(this.partials, name, partial);
    for (const [name, caveat] of other.caveats) this.#declare(this.caveats, name, caveat);
  }

  #declare<T extends { readonly place: Place }>(all: Map<string, T>, name: string, definition: T): void {
    if (all.has(name)) throw new ImportError(definition.place, `\`${name}\` is defined twice`);
    all.set(name, definition);
  }

  /** `caveat weekday(day string) { day != "sunday" }` */
  #caveat(): void {
    const place = this.#place(this.#token.line);
    const name = this.#path();
    const parameters: { name: string; type: ParameterType }[] = [];
    this.#expect("(");
    while (!this.#take(")")) {
      if (parameters.length > 0) this.#expect(",");
      parameters.push({ name: this.#word("the name of a parameter"), type: this.#parameterType() });
    }
    const { end } = this.#token;
    this.#skipBalanced("{", "}");
    const expression = this.#text.slice(end, must(this.#tokens[this.#position - 1]).end - 1);
    this.#declare(this.caveats, name, { name, parameters, expression, needsAll: false, place });
  }

  #parameterType(depth = 0): ParameterType {
    const word = this.#word("the type of a parameter");
    // An `int` that is not negative: the operators are those of `int`.
    const name = word === "uint" ? "natural" : word;
    if (!this.#take("<")) return { name };
    if (depth > depthMax) throw this.#unexpected("fewer types within each other");
    const of = this.#parameterType(depth + 1);
    this.#expect(">");
    return { name, of };
  }

  #skipBalanced(open: string, close: string): void {
    this.#expect(open);
    for (let depth = 1; depth > 0; this.#position += 1) {
      if (this.#token.kind === "end") throw this.#unexpected(`\`${close}\``);
      if (this.#is(open)) depth += 1;
      if (this.#is(close)) depth -= 1;
    }
  }

  #definition(all: Map<string, Definition>, what: string): void {
    const { line } = this.#token;
    const definition: Definition = { name: this.#path(), relations: [], partials: [], place: this.#place(line) };
    this.#declare(all, definition.name, definition);
    this.#expect("{");
    while (!this.#take("}")) {
      const place = this.#place(this.#token.line);
      if (this.#take(";")) continue;
      if (this.#take("@")) this.#decorator();
      else if (this.#take("...")) definition.partials.push({ name: this.#path(), place });
      else if (this.#take("relation")) definition.relations.push(this.#relation(place));
      else if (this.#take("permission")) definition.relations.push(this.#permission(place));
      else throw this.#unexpected(`\`relation\`, \`permission\` or \`}\` in this ${what}`);
    }
  }

  /** Such as `@deprecated(...)`, which changes no decision. */
  #decorator(): void {
    this.#word("the name of a decorator");
    if (this.#is("(")) this.#skipBalanced("(", ")");
  }

  #relation(place: Place): Relation {
    const name = this.#word("the name of the relation");
    this.#expect(":");
    const subjects: SubjectType[] = [];
    do subjects.push(this.#subject());
    while (this.#take("|"));
    return { name, expression: { kind: "direct", subjects }, place };
  }

  #subject(): SubjectType {
    const place = this.#place(this.#token.line);
    const type = this.#path();
    const everyone = this.#take(":");
    if (everyone) this.#expect("*");
    const relation =
      !everyone && this.#take("#") && !this.#take("...") ? this.#word("the name of a relation") : undefined;
    let condition: string | undefined;
    let expires = false;
    if (this.#take("with")) {
      do {
        const trait = this.#path();
        if (trait === "expiration") expires = true;
        else condition = trait;
      } while (this.#take("and"));
    }
    return {
      type,
      ...(everyone ? { everyone } : {}),
      ...(relation === undefined ? {} : { relation }),
      ...(condition === undefined ? {} : { condition }),
      ...(expires ? { expires } : {}),
      place,
    };
  }

  #permission(place: Place): Relation {
    const name = this.#word("the name of the permission");
    // The types that a permission may have are only for SpiceDB's own check.
    if (this.#take(":")) {
      do this.#path();
      while (this.#take("|"));
    }
    this.#expect("=");
    return { name, expression: this.#exclusion(), place };
  }

  #exclusion(): Expression {
    let expression = this.#joined("intersection", "&", () => this.#joined("union", "+", () => this.#operand()));
    while (this.#take("-")) {
      const subtracted = this.#joined("intersection", "&", () => this.#joined("union", "+", () => this.#operand()));
      expression = { kind: "exclusion", base: expression, subtracted };
    }
    return expression;
  }

  #joined(kind: "union" | "intersection", operator: string, part: () => Expression): Expression {
    const first = part();
    const operands = [first];
    while (this.#take(operator)) operands.push(part());
    return operands.length === 1 ? first : { kind, operands };
  }

  #operand(): Expression {
    if (this.#is("(")) {
      this.#depth += 1;
      if (this.#depth > depthMax) throw this.#unexpected("fewer parentheses within each other");
      this.#expect("(");
      const expression = this.#exclusion();
      this.#expect(")");
      this.#depth -= 1;
      return expression;
    }
    if (this.#take("nil")) return { kind: "nothing" };
    const name = this.#word("a relation or permission");
    const isArrow = this.#take("->");
    // Without `use self` this is a name like others.
    const isSelf = name === "self" && this.#features.has("self");
    if (!isArrow && !this.#take(".")) return isSelf ? { kind: "self" } : { kind: "computed", relation: name };
    const all = !isArrow && this.#is("all");
    if (!isArrow && !this.#take("any") && !this.#take("all")) throw this.#unexpected("`any` or `all`");
    if (!isArrow) this.#expect("(");
    const relation = this.#word("a relation or permission");
    if (!isArrow) this.#expect(")");
    if (this.#is("->") || this.#is(".")) throw this.#unexpected("an operator: an arrow goes one step");
    return { kind: "arrow", through: name, relation, all };
  }

  /** A name with a namespace, such as `docs/document`. */
  #path(): string {
    let path = this.#word("a name");
    while (this.#take("/")) path += `/${this.#word("a name")}`;
    return path;
  }

  #word(what: string): string {
    const { kind, text } = this.#token;
    if (kind !== "word") throw this.#unexpected(what);
    this.#position += 1;
    return text;
  }

  get #token(): Token {
    return this.#tokens[this.#position] ?? { kind: "end", text: "", line: this.#firstLine, end: this.#text.length };
  }

  #is(text: string): boolean {
    return this.#token.text === text && this.#token.kind !== "string";
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#position += 1;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#unexpected(`\`${text}\``);
  }

  #unexpected(expected: string): ImportError {
    const { kind, text, line } = this.#token;
    const found = kind === "end" ? "the end of the file" : `\`${text}\``;
    return new ImportError(this.#place(line), `expected ${expected}, found ${found}`);
  }

  #place(line: number): Place {
    return { file: this.#file, line };
  }

  #scan(): Token[] {
    const tokens: Token[] = [];
    // Caveats may contain strings, numbers and operators of CEL; only braces and strings matter there.
    const pattern =
      /(\s+|\/\/[^\n]*|\/\*[^]*?\*\/)|([A-Za-z_][A-Za-z0-9_]*)|("""[^]*?"""|'''[^]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(->|\.\.\.|[^])/gy;
    let line = this.#firstLine;
    for (const match of this.#text.matchAll(pattern)) {
      const [text, blank, word, string] = match;
      const kind = word === undefined ? (string === undefined ? "symbol" : "string") : "word";
      if (blank === undefined) tokens.push({ kind, text, line, end: match.index + text.length });
      line += text.split("\n").length - 1;
    }
    return [...tokens, { kind: "end", text: "", line, end: this.#text.length }];
  }
}
