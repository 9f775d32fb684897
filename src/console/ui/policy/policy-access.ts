/** Whether somebody can change the policy at this node. */
import type { Health, Whoami } from "../api/responses.ts";
import { useLoaded } from "../state/loaded.ts";
import { call, type Login, may } from "../state/session.ts";

/** Undefined until it is known. The node decides; this hides controls that it would refuse. */
export function useMayWrite(login: Login): boolean | undefined {
  const { who } = login;
  const health = useLoaded(
    who.environment,
    (signal) => call("/healthcheck", { signal, acceptsNotReady: true }) as Promise<Health>,
  );
  const isFallback = health.data?.role === "fallback";
  if (!may(login, "write") || isLimited(who)) return false;
  return health.data === undefined && health.error === undefined ? undefined : !isFallback;
}

/** A key that may change only some facts cannot load a policy. */
function isLimited({ only_predicates: predicates, only_types: types }: Whoami): boolean {
  return predicates !== undefined || types !== undefined;
}
