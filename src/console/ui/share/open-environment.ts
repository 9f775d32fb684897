/** An environment for a shared question: a throw-away one of `ostiary dev`, or a hosted one. Nothing else is ever changed. */
import { ApiError, callNode, type Credential } from "../api/node-api.ts";
import { draftQuery } from "../ask/question.ts";
import { fillEnvironment } from "../start/fill.ts";
import { routeTo } from "../state/route.ts";
import { call, type Login, logIn, may } from "../state/session.ts";
import type { SharedEnvironmentKind } from "./environment-kind.ts";
import type { SharedQuestion } from "./shared-question.ts";

/** What this node offers to this login. */
export async function offeredKind(
  login: Login | undefined,
  signal: AbortSignal,
): Promise<SharedEnvironmentKind | undefined> {
  if (await isOffered(() => callNode(undefined, "/test_environment", { method: "OPTIONS", signal })))
    return "throw-away";
  const mayCreate = may(login, "admin") && (await isOffered(() => call("/api/environments", { signal })));
  return mayCreate ? "hosted" : undefined;
}

/** Whether the node neither lacks it nor refuses it. */
async function isOffered(request: () => Promise<unknown>): Promise<boolean> {
  try {
    await request();
    return true;
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}

export function newHostedId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return `open-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** Creates the environment, loads policy and facts, shows it, and asks the question there. `hosted` is its id. */
export async function openShared(
  { draft, policy, facts }: SharedQuestion,
  hosted: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const made =
    hosted === undefined
      ? await callNode(undefined, "/test_environment", { method: "POST", signal })
      : await call("/api/environments", { method: "POST", body: { id: hosted }, signal });
  const credential: Credential = { token: (made as { readonly token: string }).token };
  const own = { policy, facts, filename: "shared.polar" };
  await fillEnvironment((path, options) => callNode(credential, path, options), own, signal);
  await logIn(credential);
  location.hash = routeTo("ask", [draft.kind], draftQuery(draft));
}
