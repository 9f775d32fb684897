/**
 * Validation errors of requests as one sentence: the part that is wrong and the allowed values. The texts of Zod would
 * name types of JavaScript.
 */
import type { z } from "zod";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import { unknownMembers } from "../../util/unknown-members.ts";

export type RequestPart = "body" | "query";

/** A function that parses a value, with the schema that documents the values it accepts. */
export type Parser<Output> = ((value: unknown) => Output) & { readonly schema: z.ZodType };

/** Returns a function that parses a value with the schema. It throws AppError `invalid_request` or `too_large`. */
export function validator<Schema extends z.ZodType>(part: RequestPart, schema: Schema): Parser<z.output<Schema>> {
  return parserOf(schema, (value) => {
    const { data, error } = schema.safeParse(value);
    const issue = error?.issues[0];
    if (issue !== undefined) throw issueError(issue, part, value, schema);
    return data as z.output<Schema>;
  });
}

/** A parser that does more than its schema says. */
export function parserOf<Output>(schema: z.ZodType, parse: (value: unknown) => Output): Parser<Output> {
  return Object.assign(parse, { schema });
}

/**
 * A copy of the schema that throws our errors itself. Elysia's own error for failed validation first prints the whole
 * value with indentation: 100 kB of nested brackets became a gigabyte of text and blocked the node for ten seconds.
 */
export function validatingSchema<Schema extends z.ZodType>(part: RequestPart, schema: Schema): Schema {
  const parse = validator(part, schema);
  const validate = (value: unknown) => ({ value: parse(value) });
  return Object.assign(schema.clone(), { "~standard": { ...schema["~standard"], validate } });
}

/** A list that is too long is 413, as documented, and all else 400. The message has the first issue only. */
function issueError(issue: z.core.$ZodIssue, part: RequestPart, value: unknown, schema: z.core.$ZodType): AppError {
  // The client chooses the names in the path, which can be as long as the body.
  const path = clip(issue.path.map((key) => clip(String(key), keyCharactersMax)).join("."), pathCharactersMax);
  const whole = `the ${part}`;
  const subject = path === "" ? whole : `\`${path}\` in ${whole}`;
  const missing = path !== "" && valueAt(value, issue.path) === undefined;
  const code = issue.code === "too_big" && issue.origin === "array" ? "too_large" : "invalid_request";
  const requirement =
    issue.code === "unrecognized_keys" ? `must not have ${unknownMembers(issue, schema)}` : requirementOf(issue);
  return new AppError(code, `${subject} ${missing ? "is missing, it " : ""}${requirement}`);
}

function requirementOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case "too_small":
      if (issue.origin === "string") return "must not be empty";
      return issue.origin === "array"
        ? `must have at least ${issue.minimum} entries`
        : `must be at least ${issue.minimum}`;
    case "too_big":
      if (issue.origin === "string") return `must not be longer than ${issue.maximum} characters`;
      return issue.origin === "array"
        ? `must have at most ${issue.maximum} entries`
        : `must be at most ${issue.maximum}`;
    case "invalid_value":
      return `must be ${issue.values.map((value) => `\`${String(value)}\``).join(" or ")}`;
    default:
      // Our own checks have a sentence as their message.
      return issue.message;
  }
}

/** Limits for the parts of a request that a message repeats. */
const [keyCharactersMax, pathCharactersMax] = [64, 200] as const;

const typeNames: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "`true` or `false`",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
};

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (at === null || typeof at !== "object") return undefined;
    at = Object.getOwnPropertyDescriptor(at, key)?.value;
  }
  return at;
}
