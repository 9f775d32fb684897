/**
 * Reads models of OpenFGA (schema 1.1 and 1.2): in its own language, in JSON, or as modules that an `fga.mod` file lists.
 * Source: https://openfga.dev/docs/configuration-language.
 */
import { errors, transformer } from "@openfga/syntax-transformer";
import { z } from "zod";
import type { ParameterType } from "./cel-value.ts";
import { checkModel } from "./model-check.ts";
import {
  type ConditionDeclaration,
  type Expression,
  ImportError,
  type ObjectType,
  type Place,
  type RelationModel,
  type SubjectType,
} from "./relation-model.ts";
import { parseYamlFile } from "./yaml-file.ts";

/** The text of a file beside the imported one. Throws if it cannot be read. */
export type ReadFile = (path: string) => string;

/** `file` ends with `.mod` for modules and with `.json` for JSON. Throws ImportError. */
export function readOpenFgaModel(text: string, file: string, read: ReadFile): RelationModel {
  if (file.endsWith(".mod")) return readModules(text, file, read);
  return /^\s*\{/.test(text) ? readJson(text, file) : readLanguage(text, file);
}

/** `firstLine` is the line of the file at which the text begins, if it stands within a file of another format. */
export function readLanguage(text: string, file: string, firstLine = 1): RelationModel {
  checkParentheses(text, file, firstLine);
  const parsed = withPlaces(file, firstLine, () => transformer.transformDSLToJSONObject(text));
  return toModel(parsed, new LanguageLines(file, [{ name: file, contents: text }], firstLine));
}

function readModules(text: string, file: string, read: ReadFile): RelationModel {
  const { schema, contents } = withPlaces(file, 1, () => transformer.transformModFileToJSON(text));
  const files = contents.value.map(({ value: name }) => ({ name, contents: read(name) }));
  for (const module of files) checkParentheses(module.contents, module.name, 1);
  const parsed = withPlaces(file, 1, () => transformer.transformModuleFilesToModel(files, schema.value));
  return toModel(parsed, new LanguageLines(file, files));
}

/** Parentheses within each other, and in one line: the time that the library needs grows much faster than both. */
const [nestingMax, parenthesesMax] = [20, 1000];

function checkParentheses(text: string, file: string, firstLine: number): void {
  for (const [index, line] of text.split("\n").entries()) {
    const place = { file, line: index + firstLine };
    let depth = 0;
    let count = 0;
    for (const [bracket] of line.matchAll(/[()]/g)) {
      depth += bracket === "(" ? 1 : -1;
      count += 1;
      if (depth <= nestingMax && count <= parenthesesMax) continue;
      const what = depth > nestingMax ? `${nestingMax} parentheses within each other` : `${parenthesesMax} parentheses`;
      throw new ImportError(place, `more than ${what}: split the expression into several relations`);
    }
  }
}

function readJson(text: string, file: string): RelationModel {
  const yaml = parseYamlFile(text, file);
  const wrapped = z.object({ authorization_model: z.unknown() }).safeParse(yaml.value);
  const start = wrapped.success && wrapped.data.authorization_model !== undefined ? ["authorization_model"] : [];
  const value = start.length > 0 ? wrapped.data?.authorization_model : yaml.value;
  return toModel(
    value,
    {
      type: (index) => yaml.place([...start, "type_definitions", index]),
      relation: (index, _type, relation) => yaml.place([...start, "type_definitions", index, "relations", relation]),
      condition: (name) => yaml.place([...start, "conditions", name]),
    },
    file,
  );
}

/** Where types and relations stand. `index` is the position of the type in the model. */
interface Lines {
  type(index: number, type: string): Place;
  relation(index: number, type: string, relation: string): Place;
  condition(name: string): Place;
}

/** The library gives no lines for valid models, so this finds the `define` of a relation below its `type`. */
class LanguageLines implements Lines {
  readonly #places = new Map<string, Place>();
  readonly #file: string;

  /** `file` is the place of what cannot be found. */
  constructor(file: string, files: readonly { readonly name: string; readonly contents: string }[], firstLine = 1) {
    this.#file = file;
    for (const { name: file, contents } of files) {
      let type = "";
      for (const [index, line] of contents.split("\n").entries()) {
        const place = { file, line: index + firstLine };
        const [, named] = /^\s*(?:extend\s+)?type\s+([^\s#]+)/.exec(line) ?? [];
        const [, relation] = /^\s*define\s+([^\s:]+)\s*:/.exec(line) ?? [];
        if (named !== undefined) this.#set((type = named), place);
        if (relation !== undefined) this.#set(`${type}#${relation}`, place);
        const [, condition] = /^\s*condition\s+([^\s(]+)/.exec(line) ?? [];
        if (condition !== undefined) this.#set(`(${condition})`, place);
      }
    }
  }

  #set(key: string, place: Place): void {
    if (!this.#places.has(key)) this.#places.set(key, place);
  }

  type(_index: number, type: string): Place {
    return this.#places.get(type) ?? { file: this.#file, line: 0 };
  }

  relation(index: number, type: string, relation: string): Place {
    return this.#places.get(`${type}#${relation}`) ?? this.type(index, type);
  }

  condition(name: string): Place {
    return this.#places.get(`(${name})`) ?? { file: this.#file, line: 0 };
  }
}

/** Runs code of the library, and turns its errors into one with the place of the first problem. */
function withPlaces<T>(file: string, firstLine: number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const found: unknown = error instanceof errors.BaseMultiError ? error.errors[0] : error;
    if (!(found instanceof errors.BaseError)) throw error;
    const line = (found.line?.start ?? -firstLine) + firstLine;
    throw new ImportError({ file: found.file ?? file, line }, found.msg);
  }
}

const named = z.object({ relation: z.string() });
/** The rewrite of a relation, as OpenFGA's API has it. */
const rewrite: z.ZodType<Expression> = z.lazy(() => {
  const several = z.strictObject({ child: z.array(rewrite) });
  return z.union([
    z.strictObject({ this: z.object({}) }).transform((): Expression => ({ kind: "direct", subjects: [] })),
    z.strictObject({ computedUserset: named }).transform(({ computedUserset }): Expression => ({
      kind: "computed",
      relation: computedUserset.relation,
    })),
    z
      .strictObject({ tupleToUserset: z.object({ tupleset: named, computedUserset: named }) })
      .transform(({ tupleToUserset: { tupleset, computedUserset } }): Expression => ({
        kind: "arrow",
        through: tupleset.relation,
        relation: computedUserset.relation,
        all: false,
      })),
    z.strictObject({ union: several }).transform(({ union }): Expression => ({ kind: "union", operands: union.child })),
    z.strictObject({ intersection: several }).transform(({ intersection }): Expression => ({
      kind: "intersection",
      operands: intersection.child,
    })),
    z
      .strictObject({ difference: z.object({ base: rewrite, subtract: rewrite }) })
      .transform(({ difference: { base, subtract } }): Expression => ({
        kind: "exclusion",
        base,
        subtracted: subtract,
      })),
  ]);
});

const restriction = z.object({
  type: z.string(),
  relation: z.string().optional(),
  wildcard: z.object({}).optional(),
  condition: z.string().optional(),
});
const parameter = z.object({
  type_name: z.string(),
  generic_types: z.array(z.object({ type_name: z.string() })).nullish(),
});
const modelSchema = z.object({
  conditions: z
    .record(z.string(), z.object({ expression: z.string(), parameters: z.record(z.string(), parameter).nullish() }))
    .nullish(),
  type_definitions: z.array(
    z.object({
      type: z.string(),
      relations: z.record(z.string(), rewrite).nullish(),
      metadata: z
        .object({
          relations: z
            .record(z.string(), z.object({ directly_related_user_types: z.array(restriction).nullish() }))
            .nullish(),
        })
        .nullish(),
    }),
  ),
});

function toModel(json: unknown, lines: Lines, file = "the model"): RelationModel {
  const parsed = modelSchema.safeParse(json);
  if (!parsed.success)
    throw new ImportError({ file, line: 0 }, `this is not a model of OpenFGA: ${z.prettifyError(parsed.error)}`);
  const types = parsed.data.type_definitions.map(({ type, relations, metadata }, index): ObjectType => ({
    name: type,
    place: lines.type(index, type),
    relations: Object.entries(relations ?? {}).map(([name, expression]) => {
      const place = lines.relation(index, type, name);
      const restrictions = metadata?.relations?.[name]?.directly_related_user_types ?? [];
      const subjects = restrictions.map((each): SubjectType => ({
        type: each.type,
        ...(each.relation ? { relation: each.relation } : {}),
        ...(each.wildcard === undefined ? {} : { everyone: true }),
        ...(each.condition ? { condition: each.condition } : {}),
        place,
      }));
      return { name, expression: withSubjects(expression, subjects), place };
    }),
  }));
  const conditions = Object.entries(parsed.data.conditions ?? {}).map(
    ([name, { expression, parameters }]): ConditionDeclaration => ({
      name,
      expression,
      parameters: Object.entries(parameters ?? {}).map(([parameter, type]) => ({
        name: parameter,
        type: typeOf(type),
      })),
      needsAll: true,
      place: lines.condition(name),
    }),
  );
  checkModel({ types, conditions }, { strictArrows: true });
  return { types, conditions };
}

/** `TYPE_NAME_LIST` of `TYPE_NAME_STRING`, as OpenFGA's API has it. */
function typeOf({ type_name: name, generic_types: generic }: z.infer<typeof parameter>): ParameterType {
  const [of] = generic ?? [];
  const lower = (given: string): string => given.replace(/^TYPE_NAME_/, "").toLowerCase();
  return { name: lower(name), ...(of === undefined ? {} : { of: { name: lower(of.type_name) } }) };
}

function withSubjects(expression: Expression, subjects: readonly SubjectType[]): Expression {
  switch (expression.kind) {
    case "direct":
      return { kind: "direct", subjects };
    case "union":
    case "intersection":
      return { ...expression, operands: expression.operands.map((operand) => withSubjects(operand, subjects)) };
    case "exclusion": {
      const { base, subtracted } = expression;
      return { kind: "exclusion", base: withSubjects(base, subjects), subtracted: withSubjects(subtracted, subjects) };
    }
    default:
      return expression;
  }
}
