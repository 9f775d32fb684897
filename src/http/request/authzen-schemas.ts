/**
 * The requests of the AuthZEN Authorization API 1.0. Properties and context are free-form objects: they become flat
 * lists of attributes, bounded in size, so that only the thread that parses a large body handles its objects.
 */
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import { AppError } from "../../util/app-error.ts";
import { listOf } from "../../util/bounded-schema.ts";
import { clip, fitsInBytes } from "../../util/text-length.ts";
import { malformedToken, pageTokenCharactersMax } from "../pages/page-token.ts";
import { parserOf, validator } from "./schema-error.ts";

/** A single value in an object: `{"a": {"b": [1]}}` has the attribute `a.b`, an Integer. */
export interface Attribute {
  readonly name: string;
  readonly type: "String" | "Integer" | "Boolean";
  readonly id: string;
  /** Why no fact can hold the value: `id` and `name` are not complete then. */
  readonly problem?: string;
}

export interface AuthzenEntity {
  readonly type: string;
  readonly id: string;
  readonly properties: readonly Attribute[];
}

export interface AuthzenAction {
  readonly name: string;
  readonly properties: readonly Attribute[];
}

/** The searched entity has no id, and the searched action is absent. */
export interface Evaluation {
  readonly subject: AuthzenEntity;
  readonly action: AuthzenAction;
  readonly resource: AuthzenEntity;
  readonly context: readonly Attribute[];
}

export const evaluationSemantics = ["execute_all", "deny_on_first_deny", "permit_on_first_permit"] as const;

/** A part of an evaluation, which may lack members that the defaults of the request have. */
type Defaults = z.output<ReturnType<typeof partialSchema>>;

export interface Evaluations {
  readonly defaults: Defaults;
  /** `null` if the request is a single evaluation; a text is the problem of a malformed one. */
  readonly items: readonly (Defaults | string)[] | null;
  readonly semantic: (typeof evaluationSemantics)[number];
}

type Name = ReturnType<typeof nameSchema>;
type Attributes = ReturnType<AttributeReader["schema"]>;

export function authzenParsers(limits: Limits) {
  const name = nameSchema(limits);
  const reader = new AttributeReader(limits);
  const optional = reader.schema();
  const attributes = optional.transform((given) => given ?? []);
  const entity = z.object({ type: name, id: name, properties: attributes });
  const action = z.object({ name, properties: attributes });
  const anyOfType = z.object({ type: name });
  const page = z.object({ token: z.string().nullish(), limit: z.int().min(0).nullish() }).nullish();
  const asked = { context: attributes, page };
  const parser = <Schema extends z.ZodType>(schema: Schema) => {
    const parse = validator("body", schema);
    return parserOf(schema, (value): z.output<Schema> => {
      reader.begin();
      return parse(value);
    });
  };
  const searchParser = <Schema extends z.ZodType<{ page?: z.output<typeof page> }>>(schema: Schema) => {
    const parse = parser(schema);
    return parserOf(schema, (value): z.output<Schema> => {
      const search = parse(value);
      if ((search.page?.token ?? "").length > pageTokenCharactersMax) throw malformedToken();
      return search;
    });
  };
  const partial = partialSchema(name, optional);
  const parseItem = validator("body", partial);
  const batch = partial.extend({
    evaluations: listOf(z.unknown(), { max: limits.evaluationsMax }).nullish(),
    options: z.object({ evaluations_semantic: z.enum(evaluationSemantics).nullish() }).nullish(),
  });
  const parseBatch = parser(batch);
  return {
    evaluation: parser(z.object({ subject: entity, action, resource: entity, context: attributes })),
    evaluations: parserOf(batch, (value): Evaluations => {
      const { evaluations, options, ...defaults } = parseBatch(value);
      const semantic = options?.evaluations_semantic ?? "execute_all";
      if (!evaluations?.length) return { defaults, items: null, semantic };
      return { defaults, items: evaluations.map((item) => itemOf(item, parseItem)), semantic };
    }),
    searchSubject: searchParser(z.object({ subject: anyOfType, action, resource: entity, ...asked })),
    searchResource: searchParser(z.object({ subject: entity, action, resource: anyOfType, ...asked })),
    searchAction: searchParser(z.object({ subject: entity, resource: entity, ...asked })),
  };
}

function nameSchema({ identifierBytesMax }: Limits) {
  return z
    .string()
    .min(1)
    .refine((given) => fitsInBytes(given, identifierBytesMax), {
      error: `must not be longer than ${identifierBytesMax} bytes`,
    });
}

function partialSchema(name: Name, optional: Attributes) {
  const attributes = optional.transform((given) => given ?? []);
  const entity = z.object({ type: name.nullish(), id: name.nullish(), properties: attributes }).nullish();
  return z.object({
    subject: entity,
    action: z.object({ name: name.nullish(), properties: attributes }).nullish(),
    resource: entity,
    context: optional,
  });
}

/** A malformed evaluation is denied alone: the others are answered. */
function itemOf(item: unknown, parse: (item: unknown) => Defaults): Defaults | string {
  try {
    return parse(item);
  } catch (error) {
    if (error instanceof AppError && error.code === "invalid_request") return error.message;
    throw error;
  }
}

/**
 * The evaluation that an item stands for: each member of the item replaces that of the defaults as a whole, as the
 * specification says (section 7.1.1). Throws AppError `invalid_request` if something is missing then.
 */
export function evaluationOf(item: Defaults, defaults: Defaults): Evaluation {
  const entity = (place: "subject" | "resource"): AuthzenEntity => {
    const given = item[place] ?? defaults[place];
    if (!given) throw missing(place, "an object");
    const type = given.type ?? missingText(`${place}.type`);
    const id = given.id ?? missingText(`${place}.id`);
    return { type, id, properties: given.properties };
  };
  const action = item.action ?? defaults.action;
  const subject = entity("subject");
  if (!action) throw missing("action", "an object");
  const name = action.name ?? missingText("action.name");
  const context = item.context ?? defaults.context ?? [];
  return { subject, action: { name, properties: action.properties }, resource: entity("resource"), context };
}

function missingText(place: string): never {
  throw missing(place, "a text");
}

function missing(place: string, kind: string): AppError {
  return new AppError("invalid_request", `\`${place}\` in the body is missing, it must be ${kind}`);
}

const nestingMax = 20;

/** Reads the attributes of all objects of one request, and bounds their size. */
class AttributeReader {
  readonly #limits: Limits;
  #bytesLeft = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Has to be called before each request. */
  begin(): void {
    this.#bytesLeft = this.#limits.propertiesBytesMax;
  }

  /** `undefined` for an absent object and for `null`. */
  schema() {
    return z
      .unknown()
      .transform((value, context): Attribute[] | undefined => {
        if (value === undefined || value === null) return undefined;
        if (typeof value !== "object" || Array.isArray(value)) {
          context.addIssue({ code: "invalid_type", expected: "object", input: value });
          return z.NEVER;
        }
        const attributes: Attribute[] = [];
        this.#read("", value, attributes, 0);
        return attributes;
      })
      .optional()
      .meta({ type: ["object", "null"], description: "Free-form: each value becomes a fact of the request" });
  }

  #read(name: string, value: unknown, attributes: Attribute[], depth: number): void {
    if (value === null || value === "") return;
    if (depth > nestingMax)
      throw new AppError("invalid_request", "the properties or the context in the body are nested too deeply");
    if (typeof value !== "object") {
      const attribute = this.#attributeOf(name, value);
      this.#bytesLeft -= attributeBytes + attribute.name.length + attribute.id.length;
      const max = this.#limits.propertiesBytesMax;
      if (this.#bytesLeft < 0)
        throw new AppError(
          "too_large",
          `all properties and contexts in the body together are larger than ${max} bytes`,
        );
      attributes.push(attribute);
    } else if (Array.isArray(value)) {
      for (const element of value) this.#read(name, element, attributes, depth + 1);
    } else {
      for (const [key, inner] of Object.entries(value))
        this.#read(depth === 0 ? key : `${name}.${key}`, inner, attributes, depth + 1);
    }
  }

  #attributeOf(name: string, value: unknown): Attribute {
    const { identifierBytesMax } = this.#limits;
    const type = typeof value === "number" ? "Integer" : typeof value === "boolean" ? "Boolean" : "String";
    const refused = (problem: string): Attribute => ({ name: clip(name, shownCharactersMax), type, id: "", problem });
    if (name === "" || name === "*" || !fitsInBytes(name, identifierBytesMax))
      return refused(`must have a name of 1 to ${identifierBytesMax} bytes, other than \`*\``);
    if (type === "Integer" && !Number.isSafeInteger(value))
      return refused("must be a whole number of at most 15 digits, or a text");
    const id = String(value);
    if (id === "*") return refused("must not be `*`, which is reserved");
    if (!fitsInBytes(id, identifierBytesMax)) return refused(`must not be longer than ${identifierBytesMax} bytes`);
    return { name, type, id };
  }
}

const shownCharactersMax = 64;
/** The size of an attribute besides its strings. */
const attributeBytes = 64;
