/**
 * Authentication by the API key in the `Authorization` header of a request. Valid keys are cached at the present
 * position of the node's database, because hashing and finding a key costs a request 4 µs. The next event, which can be
 * the removal of a key, clears the cache.
 */
import { LRUCache } from "lru-cache";
import { authenticate } from "../../engine/authenticate.ts";
import type { ApiKey } from "../../engine/state/event.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";

/**
 * Returns a function that finds the valid API key of an `Authorization` header. It throws `unauthorized` if the header
 * has no key.
 */
export function apiKeyFinder(node: Node): (authorization: string) => ApiKey | undefined {
  const valid = new LRUCache<string, ApiKey>({ max: keysMax });
  let validAt: ReturnType<Node["state"]>;
  return (authorization) => {
    // INVARIANT: the state is read before the database, so a cached key is never older than the state under which it is
    // cached.
    const state = node.state();
    if (state !== validAt) {
      valid.clear();
      validAt = state;
    }
    const known = valid.get(authorization);
    if (known !== undefined) return known;
    const key = authenticate(node.engine(), bearerIn(authorization));
    if (key !== undefined && authorization.length <= cachedLengthMax) valid.set(authorization, key);
    return key;
  };
}

/** Returns the header. Throws `unauthorized` if it is missing. */
export function authorizationOf(request: Request): string {
  const header = request.headers.get("authorization");
  if (!header) throw new AppError("unauthorized", "no API key was sent, send it as `Authorization: Bearer <key>`");
  return header;
}

/** Returns the API key in the header. Throws `unauthorized` if the header has another scheme. */
export function bearerIn(authorization: string): string {
  const space = authorization.indexOf(" ");
  if (authorization.slice(0, space).toLowerCase() !== "bearer") {
    throw new AppError("unauthorized", "the `Authorization` header must be `Bearer <key>`");
  }
  return authorization.slice(space + 1).trim();
}

const keysMax = 1000;
/** A header can have any number of spaces around the key. */
const cachedLengthMax = 600;
