/**
 * Reads relationships of SpiceDB, a schema, or a validation file with schema, relationships and assertions.
 * Source: https://authzed.com/docs/spicedb/modeling/validation-testing-debugging.
 */
import { dirname, join } from "node:path";
import { z } from "zod";
import {
  type Context,
  type Expectation,
  type ExpectationGroup,
  ImportError,
  type Place,
  type Relationship,
  type RelationModel,
  type RelationSource,
  type Untranslated,
} from "./relation-model.ts";
import { clip } from "../util/text-length.ts";
import { readSpiceDbSchema } from "./spicedb-schema.ts";
import { parseYamlFile, type YamlFile } from "./yaml-file.ts";

const lines = z.array(z.string()).nullish();
const validationFile = z.object({
  schema: z.string().optional(),
  schemaFile: z.string().optional(),
  relationships: z.string().nullish(),
  assertions: z.object({ assertTrue: lines, assertCaveated: lines, assertFalse: lines }).nullish(),
  validation: z.record(z.string(), lines).nullish(),
});

/** The schema at `path`, which may be a validation file, and the relationships of the further files. Throws ImportError. */
export function readSpiceDb(
  path: string,
  relationshipPaths: readonly string[],
  read: (path: string) => string,
): RelationSource {
  const text = read(path);
  const extra = relationshipPaths.flatMap((each) => {
    const content = read(each);
    const isValidationFile = /\.ya?ml$/.test(each) && /^relationships\s*:/m.test(content);
    return isValidationFile
      ? readValidationFile(content, each, read, true).relationships
      : parseRelationships(content, each);
  });
  const source = /\.ya?ml$/.test(path)
    ? readValidationFile(text, path, read, false)
    : sourceOf(readSpiceDbSchema(text, path, read));
  return { ...source, relationships: [...source.relationships, ...extra] };
}

function readValidationFile(
  text: string,
  file: string,
  read: (path: string) => string,
  withoutSchema: boolean,
): RelationSource {
  const yaml = parseYamlFile(text, file);
  const found = validationFile.safeParse(yaml.value);
  if (!found.success)
    throw new ImportError({ file, line: 1 }, `this is not a validation file: ${z.prettifyError(found.error)}`);
  const { schema, schemaFile, relationships, assertions, validation } = found.data;
  const schemaPath = schemaFile === undefined ? file : join(dirname(file), schemaFile);
  const source = schema ?? (schemaFile === undefined ? undefined : read(schemaPath));
  if (source === undefined && !withoutSchema)
    throw new ImportError({ file, line: 1 }, "there is neither `schema` nor `schemaFile`");
  const firstLine = schema === undefined ? 1 : lineAfter(text, /^schema\s*:/);
  const model = withoutSchema
    ? { types: [], conditions: [] }
    : readSpiceDbSchema(source ?? "", schemaPath, read, firstLine);
  const listed: Untranslated[] = [];
  const expectations = [
    ...assertionsOf(assertions?.assertTrue, true, ["assertions", "assertTrue"], yaml),
    ...assertionsOf(assertions?.assertFalse, false, ["assertions", "assertFalse"], yaml),
    // What depends on a missing value is not allowed.
    ...assertionsOf(assertions?.assertCaveated, false, ["assertions", "assertCaveated"], yaml),
    ...expectedRelations(validation ?? {}, yaml, listed),
  ];
  const tests: ExpectationGroup[] =
    expectations.length === 0 ? [] : [{ name: "assertions", relationships: [], expectations }];
  return {
    ...sourceOf(model),
    relationships: parseRelationships(relationships ?? "", file, lineAfter(text, /^relationships\s*:/), text),
    tests,
    untranslated: listed,
  };
}

function sourceOf(model: RelationModel): RelationSource {
  return { model, conditionWord: "caveat", relationships: [], tests: [], untranslated: [] };
}

/** The line that follows the first one that matches. */
function lineAfter(text: string, pattern: RegExp): number {
  return text.split("\n").findIndex((line) => pattern.test(line)) + 2;
}

/**
 * Relationships, one per line. A folded block of YAML loses its line numbers, so `original` gives the text of the file,
 * in which they are looked up.
 */
function parseRelationships(text: string, file: string, firstLine = 1, original?: string): Relationship[] {
  const originalLines = original?.split("\n").map((line) => line.trim());
  let from = 0;
  return text.split("\n").flatMap((line, index) => {
    const written = line.trim();
    if (written === "" || written.startsWith("//")) return [];
    const found = originalLines?.indexOf(written, from) ?? -1;
    if (found !== -1) from = found + 1;
    const place = { file, line: found === -1 ? firstLine + index : found + 1 };
    return [parseRelationship(written, place)];
  });
}

const pattern =
  /^(?<type>[^:#@\s]+):(?<id>[^#@\s]+)#(?<relation>[^@\s]+)@(?<subjectType>[^:#\s]+):(?<subjectId>[^#[\s]+)(?:#(?<subjectRelation>[^[\s]+))?(?<traits>.*)$/s;

/** `document:readme#viewer@group:staff#member[caveat:{"a":1}][expiration:2027-01-01T00:00:00Z]` */
function parseRelationship(written: string, place: Place): Relationship {
  const {
    type,
    id,
    relation,
    subjectType,
    subjectId,
    subjectRelation,
    traits = "",
  } = pattern.exec(written)?.groups ?? {};
  if (!type || !id || !relation || !subjectType || !subjectId)
    throw new ImportError(place, `\`${written}\` is not a relationship, such as \`document:readme#viewer@user:anne\``);
  const [expiration = "", time] = /\[expiration:([^\]]+)\]\s*$/.exec(traits) ?? [];
  const end = time === undefined ? undefined : Math.floor(Date.parse(time) / 1000);
  if (Number.isNaN(end)) throw new ImportError(place, `\`${time}\` is not a time, such as \`2027-01-01T00:00:00Z\``);
  const rest = traits.slice(0, traits.length - expiration.length).trim();
  const [, caveat, stored] = /^\[([^\]:[]+)(?::(.*))?\]$/s.exec(rest) ?? [];
  const context = contextOf(stored);
  // A line with two relationships, such as one of a folded block, would lose the second.
  if (rest !== "" && (caveat === undefined || context === undefined))
    throw new ImportError(place, `\`${clip(rest, 80)}\` follows the relationship: write one relationship per line`);
  return {
    object: { type, id },
    relation,
    subject: {
      type: subjectType,
      id: subjectId,
      ...(subjectRelation && subjectRelation !== "..." ? { relation: subjectRelation } : {}),
    },
    ...(caveat === undefined ? {} : { condition: caveat, context: context ?? {} }),
    ...(end === undefined ? {} : { end }),
    place,
  };
}

/** Undefined if the text is no JSON object. */
function contextOf(text = "{}"): Context | undefined {
  try {
    const found = z.record(z.string(), z.unknown()).safeParse(JSON.parse(text));
    return found.data;
  } catch {
    return undefined;
  }
}

/** `document:readme#view@user:anne with {"day": "monday"}` */
function assertionsOf(
  written: readonly string[] | null | undefined,
  holds: boolean,
  path: readonly string[],
  yaml: YamlFile,
): Expectation[] {
  return (written ?? []).map((text, index): Expectation => {
    const place = yaml.place([...path, index]);
    const [, asked = "", given] = /^(.*?)(?:\swith\s+(.*))?$/s.exec(text.trim()) ?? [];
    const context = contextOf(given);
    if (context === undefined) throw new ImportError(place, `\`${given}\` is no JSON object`);
    const { subject, object, relation } = parseRelationship(asked.trim(), place);
    return { kind: "check", subject, object, relation, holds, ...(given === undefined ? {} : { context }), place };
  });
}

/** `document:readme#view: ["[user:anne] is <document:readme#viewer>"]`: each subject has the permission. */
function expectedRelations(
  validation: Readonly<Record<string, readonly string[] | null | undefined>>,
  yaml: YamlFile,
  untranslated: Untranslated[],
): Expectation[] {
  return Object.entries(validation).flatMap(([asked, subjects]) =>
    (subjects ?? []).flatMap((text, index): Expectation[] => {
      const place = yaml.place(["validation", asked, index]);
      const [, subject = ""] = /^\s*\[([^\]]+)\]/.exec(text) ?? [];
      if (subject === "") return [];
      const isConditional = subject.endsWith("[...");
      const one = isConditional ? subject.slice(0, -"[...".length) : subject;
      if (!/^[^:\s]+:[^#*\s]+$/.test(one)) {
        untranslated.push({
          place,
          message: `the expected subject \`${one}\` is left out: a test asks about one actor`,
        });
        return [];
      }
      const relationship = parseRelationship(`${asked}@${one}`, place);
      const { object, relation } = relationship;
      return [{ kind: "check", subject: relationship.subject, object, relation, holds: !isConditional, place }];
    }),
  );
}
