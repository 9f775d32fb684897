/**
 * Who asks: the key in a request's `Authorization`. Those that were found valid at the node's present position are kept, since to look one up and to
 * hash its text costs a request 4 µs, and while no event has come in the answer is the same; with the next event, which may be a key's removal,
 * everything is forgotten.
 */
import { LRUCache } from "lru-cache";
import { authenticate } from "../../engine/authenticate.ts";
import type { ApiKey } from "../../engine/state/event.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";

/** Finds the valid key in the text of an `Authorization` header. Throws `unauthorized` where there is none in it. */
export function apiKeyFinder(node: Node): (authorization: string) => ApiKey | undefined {
  const valid = new LRUCache<string, ApiKey>({ max: keysMax });
  let validIn: ReturnType<Node["state"]>;
  return (authorization) => {
    // INVARIANT: the state is read before the copy is asked, so what is kept is never older than the state under which it is kept.
    const state = node.state();
    if (state !== validIn) {
      valid.clear();
      validIn = state;
    }
    const known = valid.get(authorization);
    if (known !== undefined) return known;
    const key = authenticate(node.engine(), bearerIn(authorization));
    if (key !== undefined && authorization.length <= keptLengthMax) valid.set(authorization, key);
    return key;
  };
}

/** The header's text. Throws `unauthorized` where it is missing. */
export function authorizationOf(request: Request): string {
  const header = request.headers.get("authorization");
  if (!header) throw new AppError("unauthorized", "no API key was sent, send it as `Authorization: Bearer <key>`");
  return header;
}

/** The text of the key. Throws `unauthorized` where the header is of another scheme. */
export function bearerIn(authorization: string): string {
  const space = authorization.indexOf(" ");
  if (authorization.slice(0, space).toLowerCase() !== "bearer") {
    throw new AppError("unauthorized", "the `Authorization` header must be `Bearer <key>`");
  }
  return authorization.slice(space + 1).trim();
}

const keysMax = 1000;
/** Any number of spaces may stand around a key. */
const keptLengthMax = 600;
