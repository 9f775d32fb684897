/** HTTP tests as tables: the request, the expected response, and content that must not be in it. */
import { expect } from "bun:test";
import type { Api, CallOptions } from "./api.ts";

export interface Scenario extends CallOptions {
  readonly name: string;
  /** Method and path, such as `POST /api/batch`. */
  readonly request: string;
  readonly status: number;
  /** The response has exactly this body. */
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

export async function play(api: Api, scenario: Scenario): Promise<void> {
  const [method = "", path = ""] = scenario.request.split(" ");
  const answer = await api.call(method, path, scenario);
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: scenario.status });
  if ("json" in scenario) expect(answer.json).toEqual(scenario.json);
  for (const text of scenario.content ?? []) expect(answer.text).toContain(text);
  for (const text of [...never, ...(scenario.notContent ?? [])]) expect(answer.text).not.toContain(text);
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  expect(answer.headers.get("x-request-id")).toMatch(/./);
  expect(answer.headers.get("server-timing")).toMatch(/^oso;dur=\d+/);
  expect(answer.json).toBeDefined();
  for (const [name, text] of Object.entries(scenario.answerHeaders ?? {})) expect(answer.headers.get(name)).toBe(text);
}
