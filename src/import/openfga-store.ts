/**
 * Reads a store of OpenFGA: a model, its tuples and its tests. The model file may be a store file (`.fga.yaml`), which
 * has all of them or names other files. Source: https://openfga.dev/docs/modeling/testing.
 */
import { dirname, join } from "node:path";
import { CsvError, parse as parseCsv } from "csv-parse/sync";
import { z } from "zod";
import { type ReadFile, readLanguage, readOpenFgaModel } from "./openfga-model.ts";
import {
  type Context,
  type Expectation,
  type ExpectationGroup,
  ImportError,
  type ObjectId,
  type Place,
  type RelationModel,
  type Relationship,
  type RelationSource,
  type Untranslated,
} from "./relation-model.ts";
import { parseYamlFile, type Path, type YamlFile } from "./yaml-file.ts";

const context = z.record(z.string(), z.unknown());
const tuple = z.object({
  user: z.string(),
  relation: z.string(),
  object: z.string(),
  condition: z.object({ name: z.string(), context: context.nullish() }).nullish(),
});
type Tuple = z.infer<typeof tuple>;
const tuples = z.array(tuple);
const assertions = z.record(z.string(), z.boolean());
const names = z.array(z.string());
const test = z.object({
  name: z.string().optional(),
  tuples: tuples.nullish(),
  tuple_file: z.string().optional(),
  tuple_files: names.optional(),
  check: z
    .array(
      z.object({
        user: z.string().optional(),
        users: names.optional(),
        object: z.string().optional(),
        objects: names.optional(),
        context: context.nullish(),
        assertions,
      }),
    )
    .nullish(),
  list_objects: z
    .array(
      z.object({
        user: z.string(),
        type: z.string(),
        context: context.nullish(),
        assertions: z.record(z.string(), names.nullish()),
      }),
    )
    .nullish(),
  list_users: z
    .array(
      z.object({
        object: z.string(),
        user_filter: z.array(z.object({ type: z.string(), relation: z.string().optional() })),
        context: context.nullish(),
        assertions: z.record(z.string(), z.object({ users: names.nullish() })),
      }),
    )
    .nullish(),
});
const store = z.object({
  model: z.string().optional(),
  model_file: z.string().optional(),
  tuples: tuples.nullish(),
  tuple_file: z.string().optional(),
  tuple_files: names.optional(),
  tests: z.array(test).nullish(),
});

/** The model at `modelPath`, and the tuples of the further files. Throws ImportError. */
export function readOpenFga(modelPath: string, tuplePaths: readonly string[], read: ReadFile): RelationSource {
  const text = read(modelPath);
  const extra = tuplePaths.flatMap((path) => readTuples(path, read));
  if (/\.ya?ml$/.test(modelPath)) {
    const source = readStore(text, modelPath, read);
    return { ...source, relationships: [...source.relationships, ...extra] };
  }
  const beside = (name: string): string => read(join(dirname(modelPath), name));
  const model = readOpenFgaModel(text, modelPath, beside);
  return { model, conditionWord: "condition", relationships: extra, tests: [], untranslated: [] };
}

function readStore(text: string, file: string, read: ReadFile): RelationSource {
  const yaml = parseYamlFile(text, file);
  const content = check(store, yaml, file);
  const pathOf = (name: string): string => join(dirname(file), name);
  const model = modelOf(content, text, file, read);
  const files = [...(content.tuple_files ?? []), ...(content.tuple_file === undefined ? [] : [content.tuple_file])];
  const relationships = [
    ...(content.tuples ?? []).map((each, index) => relationshipOf(each, yaml.place(["tuples", index]))),
    ...files.flatMap((name) => readTuples(pathOf(name), read)),
  ];
  const untranslated: Untranslated[] = [];
  const tests = (content.tests ?? []).map((each, index): ExpectationGroup => {
    const path = ["tests", index];
    const own = [...(each.tuple_files ?? []), ...(each.tuple_file === undefined ? [] : [each.tuple_file])];
    return {
      name: each.name ?? `test ${index + 1}`,
      relationships: [
        ...(each.tuples ?? []).map((one, at) => relationshipOf(one, yaml.place([...path, "tuples", at]))),
        ...own.flatMap((name) => readTuples(pathOf(name), read)),
      ],
      expectations: expectationsOf(each, path, yaml, untranslated),
    };
  });
  return { model, conditionWord: "condition", relationships, tests, untranslated };
}

function modelOf(content: z.infer<typeof store>, text: string, file: string, read: ReadFile): RelationModel {
  if (content.model !== undefined) {
    const before = text.split("\n").findIndex((line) => /^model\s*:/.test(line));
    return readLanguage(content.model, file, before + 2);
  }
  if (content.model_file === undefined)
    throw new ImportError({ file, line: 1 }, "there is neither `model` nor `model_file`");
  const path = join(dirname(file), content.model_file);
  return readOpenFgaModel(read(path), path, (name) => read(join(dirname(path), name)));
}

function expectationsOf(
  { check: checks, list_objects: lists, list_users: users }: z.infer<typeof test>,
  path: Path,
  yaml: YamlFile,
  untranslated: Untranslated[],
): Expectation[] {
  const expectations: Expectation[] = [];
  const add = (
    entry: Path,
    context: Context | null | undefined,
    expected: (place: Place) => readonly Expectation[],
  ): void => {
    const all = expected(yaml.place([...path, ...entry]));
    expectations.push(...all.map((each) => (context ? { ...each, context } : each)));
  };
  for (const [index, { user, users: more, object, objects, context, assertions: expected }] of (
    checks ?? []
  ).entries()) {
    const pairs = [...(more ?? []), ...(user === undefined ? [] : [user])].flatMap((subject) =>
      [...(objects ?? []), ...(object === undefined ? [] : [object])].map((on) => [subject, on] as const),
    );
    add(["check", index], context, (place) =>
      pairs.flatMap(([subject, on]) =>
        Object.entries(expected).map(([relation, holds]) => ({
          kind: "check",
          subject: subjectOf(subject, place),
          object: objectOf(on, place),
          relation,
          holds,
          place,
        })),
      ),
    );
  }
  for (const [index, { user, type, context, assertions: expected }] of (lists ?? []).entries()) {
    add(["list_objects", index], context, (place) =>
      Object.entries(expected).map(([relation, objects]) => {
        const ids = (objects ?? []).map((object) => objectOf(object, place).id);
        return { kind: "objects", subject: subjectOf(user, place), type, relation, ids, place };
      }),
    );
  }
  for (const [index, { object, user_filter: filters, context, assertions: expected }] of (users ?? []).entries()) {
    add(["list_users", index], context, (place) =>
      Object.entries(expected).flatMap(([relation, { users: subjects }]) =>
        filters.flatMap((filter): Expectation[] => {
          const found = (subjects ?? []).map((subject) => subjectOf(subject, place));
          const ids = found.filter(({ type }) => type === filter.type).map(({ id }) => id);
          if (filter.relation === undefined && !ids.includes("*"))
            return [{ kind: "subjects", object: objectOf(object, place), type: filter.type, relation, ids, place }];
          const what = filter.relation === undefined ? "everyone" : `\`${filter.type}#${filter.relation}\``;
          untranslated.push({ place, message: `a list of users with ${what} is left out: Polar lists actors` });
          return [];
        }),
      ),
    );
  }
  return expectations;
}

/** Tuples in YAML, JSON, JSON lines or CSV. */
function readTuples(path: string, read: ReadFile): Relationship[] {
  const text = read(path);
  if (path.endsWith(".csv")) return readCsv(text, path);
  if (path.endsWith(".jsonl"))
    return text.split("\n").flatMap((line, index) => {
      if (line.trim() === "") return [];
      const place = { file: path, line: index + 1 };
      const found = tuple.safeParse(jsonOf(line));
      if (!found.success) throw new ImportError(place, "this is not a tuple with `user`, `relation` and `object`");
      return [relationshipOf(found.data, place)];
    });
  const yaml = parseYamlFile(text, path);
  const wrapped = z.object({ tuples: z.unknown() }).safeParse(yaml.value);
  const start = !Array.isArray(yaml.value) && wrapped.success ? ["tuples"] : [];
  const found = start.length > 0 ? check(z.object({ tuples }), yaml, path).tuples : check(tuples, yaml, path);
  return found.map((each, index) => relationshipOf(each, yaml.place([...start, index])));
}

/** Undefined if the text is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface CsvRow {
  readonly record: Readonly<Record<string, string>>;
  readonly info: { readonly lines: number };
}

function csvRows(text: string, file: string): CsvRow[] {
  try {
    return parseCsv(text, { bom: true, columns: true, info: true, skip_empty_lines: true, trim: true }) as CsvRow[];
  } catch (error) {
    if (error instanceof CsvError) throw new ImportError({ file, line: Number(error["lines"]) }, error.message);
    throw error;
  }
}

function readCsv(text: string, file: string): Relationship[] {
  const rows = csvRows(text, file);
  return rows.map(({ record, info }) => {
    const place = { file, line: info.lines };
    const { user_type, user_id, user_relation, relation, object_type, object_id, condition_name, condition_context } =
      record;
    if (!user_type || !user_id || !relation || !object_type || !object_id)
      throw new ImportError(place, "a row needs `user_type`, `user_id`, `relation`, `object_type` and `object_id`");
    const stored = context.safeParse(condition_context ? jsonOf(condition_context) : {});
    if (!stored.success) throw new ImportError(place, "`condition_context` is no JSON object");
    return {
      object: { type: object_type, id: object_id },
      relation,
      subject: { type: user_type, id: user_id, ...(user_relation ? { relation: user_relation } : {}) },
      ...(condition_name ? { condition: condition_name, context: stored.data } : {}),
      place,
    };
  });
}

export function relationshipOf({ user, relation, object, condition }: Tuple, place: Place): Relationship {
  return {
    object: objectOf(object, place),
    relation,
    subject: subjectOf(user, place),
    ...(condition ? { condition: condition.name, context: condition.context ?? {} } : {}),
    place,
  };
}

function objectOf(text: string, place: Place): ObjectId {
  const colon = text.indexOf(":");
  if (colon < 1 || colon === text.length - 1)
    throw new ImportError(place, `\`${text}\` is not an object: write its type and its id, such as \`document:1\``);
  return { type: text.slice(0, colon), id: text.slice(colon + 1) };
}

export function subjectOf(text: string, place: Place): Relationship["subject"] {
  const hash = text.lastIndexOf("#");
  if (hash === -1) return objectOf(text, place);
  return { ...objectOf(text.slice(0, hash), place), relation: text.slice(hash + 1) };
}

function check<T>(schema: z.ZodType<T>, yaml: YamlFile, file: string): T {
  const found = schema.safeParse(yaml.value);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  const path = (issue?.path ?? []).filter((part) => typeof part !== "symbol");
  throw new ImportError(
    path.length > 0 ? yaml.place(path) : { file, line: 1 },
    `\`${path.join(".")}\`: ${issue?.message ?? "is wrong"}`,
  );
}
