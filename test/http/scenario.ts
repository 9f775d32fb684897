/** HTTP tests as tables: the request, the expected response, and content that must not be in it. */
import { expect } from "bun:test";
import { errorCatalogue } from "../../src/http/middleware/error-catalogue.ts";
import type { Answer, Api, CallOptions } from "./api.ts";

export interface Scenario extends CallOptions {
  readonly name: string;
  /** Method and path, such as `POST /api/batch`. */
  readonly request: string;
  readonly status: number;
  /** The response has exactly this body; an error also has the code of its status. */
  readonly json?: unknown;
  /** The text of the response contains each of these. */
  readonly content?: readonly string[];
  readonly notContent?: readonly string[];
  readonly answerHeaders?: Readonly<Record<string, string>>;
}

/** Content that no response may have: stacks, paths of the source, names of classes and of the database. */
const never = [
  "    at ",
  "/src/",
  ".ts:",
  "node_modules",
  "SQLite",
  "AppError",
  "ZodError",
  "broken assumption",
  "undefined",
  "[object",
];

/** The first content of a response that it may not have; undefined if there is none. */
export const internalsIn = (text: string): string | undefined => never.find((content) => text.includes(content));

export async function play(api: Api, scenario: Scenario): Promise<void> {
  const [method = "", path = ""] = scenario.request.split(" ");
  const answer = await api.call(method, path, scenario);
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: scenario.status });
  if ("json" in scenario) expect(scenario.status < 400 ? answer.json : withoutCode(answer)).toEqual(scenario.json);
  for (const text of scenario.content ?? []) expect(answer.text).toContain(text);
  for (const text of scenario.notContent ?? []) expect(answer.text).not.toContain(text);
  expect(internalsIn(answer.text)).toBeUndefined();
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  expect(answer.headers.get("x-request-id")).toMatch(/./);
  expect(answer.headers.get("server-timing")).toMatch(/^oso;dur=\d+/);
  expect(answer.json).toBeDefined();
  for (const [name, text] of Object.entries(scenario.answerHeaders ?? {})) expect(answer.headers.get(name)).toBe(text);
}

/** The body of an error without its code, which has to be one of its status. */
export function withoutCode({ status, json }: Answer): object {
  const { code, ...body } = json as { readonly code: keyof typeof errorCatalogue };
  expect(errorCatalogue[code].status).toBe(status);
  return body;
}
