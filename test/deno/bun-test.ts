/**
 * `bun:test` for Deno: the part of it that the tests use, with the matchers of Jest. `run-tests.ts` runs what test files
 * register here.
 */
import { format } from "node:util";
import { expect as jestExpect } from "expect";
import { spyOn as jestSpyOn, fn } from "jest-mock";

type Body = (...parameters: never[]) => unknown;
type Options = number | { readonly timeout?: number };

export interface TestCase {
  readonly kind: "test";
  readonly name: string;
  readonly body: () => unknown;
  readonly isSkipped: boolean;
  readonly timeoutMs: number | undefined;
}

export interface Suite {
  readonly kind: "suite";
  readonly name: string;
  readonly isSkipped: boolean;
  readonly children: (TestCase | Suite)[];
  readonly beforeAll: Body[];
  readonly afterAll: Body[];
  readonly beforeEach: Body[];
  readonly afterEach: Body[];
}

export function newSuite(name: string, isSkipped = false): Suite {
  return { kind: "suite", name, isSkipped, children: [], beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] };
}

let current = newSuite("");
let bodiesOfSuites: (() => Promise<void>)[] = [];
let defaultTimeoutMs: number | undefined;

/** Collects what `register` registers: the tests of a file. */
export async function collect(register: () => Promise<unknown>): Promise<Suite> {
  const suite = newSuite("");
  current = suite;
  bodiesOfSuites = [];
  defaultTimeoutMs = undefined;
  await register();
  // A body can add further ones.
  for (const body of bodiesOfSuites) await body();
  return suite;
}

function addTest(isSkipped: boolean, name: string, body: Body, options?: Options): void {
  const timeoutMs = (typeof options === "number" ? options : options?.timeout) ?? defaultTimeoutMs;
  current.children.push({ kind: "test", name, body: body as () => unknown, isSkipped, timeoutMs });
}

function addSuite(isSkipped: boolean, name: string, body: Body): void {
  const suite = newSuite(name, isSkipped);
  current.children.push(suite);
  // Later, one after another, because a body may be asynchronous.
  bodiesOfSuites.push(async () => {
    current = suite;
    await (body as () => unknown)();
  });
}

type Add = (isSkipped: boolean, name: string, body: Body, options?: Options) => void;

/** The variants of `test` and `describe`. */
function withVariants(add: Add) {
  const variants = (isSkipped: boolean) =>
    Object.assign((name: string, body: Body, options?: Options): void => add(isSkipped, name, body, options), {
      each:
        (rows: readonly unknown[]) =>
        (name: string, body: Body, options?: Options): void =>
          rows.forEach((row, index) => {
            const parameters = Array.isArray(row) ? row : [row];
            add(isSkipped, titleOf(name, parameters, index), () => (body as Function)(...parameters), options);
          }),
    });
  return Object.assign(variants(false), {
    skip: variants(true),
    skipIf: (condition: unknown) => variants(Boolean(condition)),
    todo: variants(true),
    if: (condition: unknown) => variants(!condition),
  });
}

export const test = withVariants(addTest);
export const describe = withVariants(addSuite);

export const beforeAll = (body: Body): void => void current.beforeAll.push(body);
export const afterAll = (body: Body): void => void current.afterAll.push(body);
export const beforeEach = (body: Body): void => void current.beforeEach.push(body);
export const afterEach = (body: Body): void => void current.afterEach.push(body);

export function setDefaultTimeout(ms: number): void {
  defaultTimeoutMs = ms;
}

function titleOf(name: string, parameters: readonly unknown[], index: number): string {
  const [first] = parameters;
  const named = name
    .replaceAll("%#", String(index))
    .replaceAll(/\$(\w+)/g, (whole, member: string) =>
      typeof first === "object" && first !== null && member in first
        ? String((first as Record<string, unknown>)[member])
        : whole,
    )
    .replaceAll("%p", "%O");
  const count = named.match(/%[sdifjoO]/g)?.length ?? 0;
  return format(named, ...parameters.slice(0, count));
}

/** A spy that `using` restores. */
export function spyOn<T extends object>(object: T, method: keyof T) {
  const spy = jestSpyOn(object as Record<string, () => void>, String(method));
  return Object.assign(spy, { [Symbol.dispose]: () => spy.mockRestore() });
}

export const mock = fn;

jestExpect.extend({
  toStartWith: (received: string, start: string) => verdict(received.startsWith(start), received, "start", start),
  toEndWith: (received: string, end: string) => verdict(received.endsWith(end), received, "end", end),
  toBeOneOf: (received: unknown, values: readonly unknown[]) =>
    verdict(values.includes(received), received, "be one of", values),
  toBeWithin: (received: number, start: number, end: number) =>
    verdict(received >= start && received < end, received, "be within", [start, end]),
});

function verdict(pass: boolean, received: unknown, word: string, expected: unknown) {
  return { pass, message: () => format("expected %O %sto %s %O", received, pass ? "not " : "", word, expected) };
}

export const expect = jestExpect;
