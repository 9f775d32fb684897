/** The answer of the node to a question, and its explanation. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/node-api.ts";
import { randomText } from "../api/random-text.ts";
import { useRecovery } from "../state/recovery.ts";
import { call } from "../state/session.ts";
import type { Explanation } from "./explanation.ts";
import { type Question, requestOf, variablesOf } from "./question.ts";

/** A row of results: one id for each variable; `null` for every value. */
export type ResultRow = readonly (string | null)[];

export interface AnswerState {
  readonly isPending: boolean;
  /** When the last part of the answer came, by the wall clock; undefined without one. */
  readonly atMs?: number;
  /** Whether there are no more results. */
  readonly isComplete: boolean;
  readonly allowed?: boolean;
  readonly explanation?: Explanation;
  readonly rows?: readonly ResultRow[];
  /** Whether the actors cannot be listed, because also those are allowed that no fact names. */
  readonly isAnyone?: boolean;
  /** Why there may be no rows; an explanation has it too. */
  readonly hint?: string | undefined;
  /** Of the next page of a list. */
  readonly next?: string | null;
  readonly error?: unknown;
}

const listPageSize = 1000;

/** Asks now, and again on demand. */
export function useAnswer(question: Question) {
  const [state, setState] = useState<AnswerState>({ isPending: true, isComplete: false });
  const running = useRef<AbortController | undefined>(undefined);
  const isCancelled = useRef(false);
  const run = (body: (signal: AbortSignal) => Promise<void>): void => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    isCancelled.current = false;
    setState((before) => ({ ...before, isPending: true, error: undefined, hint: undefined }));
    body(controller.signal).then(
      () => !controller.signal.aborted && setState((before) => ({ ...before, isPending: false })),
      (error: unknown) => !controller.signal.aborted && setState((before) => ({ ...before, isPending: false, error })),
    );
  };
  const change = (signal: AbortSignal, part: Partial<AnswerState>): void => {
    if (!signal.aborted) setState((before) => ({ ...before, ...part, atMs: Date.now() }));
  };
  const askAgain = (): void => run((signal) => answer(question, signal, (part) => change(signal, part)));
  useEffect(() => {
    askAgain();
    return () => running.current?.abort();
  }, []);
  useRecovery(state.error, () => isCancelled.current || askAgain());
  return {
    state,
    askAgain,
    more: () => run((signal) => listPage(question, state, signal, (part) => change(signal, part))),
    cancel: () => {
      running.current?.abort();
      isCancelled.current = true;
      setState((before) => ({ ...before, isPending: false }));
    },
  };
}

type Show = (part: Partial<AnswerState>) => void;

async function answer(question: Question, signal: AbortSignal, show: Show): Promise<void> {
  if (question.kind === "list") return listPage(question, { isPending: true, isComplete: false }, signal, show);
  const { path, body } = requestOf(question);
  const onHint = (hint: string): void => show({ hint });
  const asked = call(path, { method: "POST", body, signal, onHint });
  if (question.kind === "who" && (await isForAnyone(question, asked, signal)))
    return show({ isAnyone: true, isComplete: true });
  if (question.kind === "authorize") {
    const explained = call("/api/explain", { method: "POST", body, signal }) as Promise<Explanation>;
    // It is awaited below, unless the question itself fails.
    explained.catch(() => {});
    show({ allowed: ((await asked) as { readonly allowed: boolean }).allowed });
    const explanation = await explained;
    show({ explanation, allowed: explanation.allowed, isComplete: true });
    return;
  }
  const { results } = (await asked) as {
    readonly results: readonly (string | Readonly<Record<string, string | null>>)[];
  };
  const columns = question.kind === "query" ? variablesOf(question.calls).map(({ name }) => name) : ["actor"];
  const rows = results.map((row) => (typeof row === "string" ? [row] : columns.map((name) => row[name] ?? null)));
  show({ rows: distinct(rows), isComplete: true });
}

/**
 * Whether the node cannot list the actors, and allows one that it has never heard of. Rules with `not` can exclude others.
 * Rejects as `asked` does for every other reason.
 */
async function isForAnyone(
  question: Extract<Question, { kind: "who" }>,
  asked: Promise<unknown>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await asked;
    return false;
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "query_not_enumerable") throw error;
    const stranger = { ...question, kind: "authorize", actor: { type: question.type, id: randomText() } } as const;
    const { path, body } = requestOf(stranger);
    const { allowed } = (await call(path, { method: "POST", body, signal })) as { readonly allowed: boolean };
    if (!allowed) throw error;
    return true;
  }
}

async function listPage(
  question: Question,
  { rows = [], next }: AnswerState,
  signal: AbortSignal,
  show: Show,
): Promise<void> {
  const { path, body } = requestOf(question);
  const page = { page_size: listPageSize, ...(typeof next === "string" && { page_token: next }) };
  const onHint = (hint: string): void => show({ hint });
  const answered = (await call(path, { method: "POST", body: { ...body, ...page }, signal, onHint })) as {
    readonly results: readonly string[];
    readonly next_page_token: string | null;
  };
  const { results, next_page_token: following } = answered;
  show({ rows: [...rows, ...results.map((id) => [id])], next: following, isComplete: following === null });
}

function distinct(rows: readonly ResultRow[]): readonly ResultRow[] {
  return [...new Map(rows.map((row) => [JSON.stringify(row), row])).values()];
}
