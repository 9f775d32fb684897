/**
 * The address of a screen: the fragment of the page's address, such as `#/overview?since=1`. The fragment works under
 * every path prefix, and neither the node nor a proxy sees or logs what somebody looks at.
 */
import { Store } from "../store.ts";

export interface Route {
  /** The first part of the path; empty for the start page. */
  readonly screen: string;
  /** The other parts, decoded. */
  readonly parts: readonly string[];
  readonly query: URLSearchParams;
}

/** Reads a fragment. Parts that are not percent-encoded UTF-8 are left as they are. */
export function parseRoute(fragment: string): Route {
  const [path = "", query = ""] = fragment.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const [screen = "", ...parts] = path.split("/").map(decoded);
  return { screen, parts, query: new URLSearchParams(query) };
}

/** The fragment for a screen, for links. */
export function routeTo(
  screen: string,
  parts: readonly string[] = [],
  query: Readonly<Record<string, string>> = {},
): string {
  const path = [screen, ...parts].map(encodeURIComponent).join("/");
  const search = new URLSearchParams(query).toString();
  return `#/${path}${search === "" ? "" : `?${search}`}`;
}

/** The fragment of one entry of the shown list, whose conditions stay in the address. */
export function besideList(screen: string, id: string): string {
  return routeTo(screen, [id], Object.fromEntries(currentRoute.value.query));
}

/** Shows the list again instead of the entry beside it, so that the way back does not open the entry again. */
export function closeEntry(screen: string, parts: readonly string[] = []): void {
  location.replace(routeTo(screen, parts, Object.fromEntries(currentRoute.value.query)));
}

export const currentRoute = new Store<Route>(parseRoute(""));

/** Follows the address of the page. */
export function watchRoute(): void {
  const read = (): void => currentRoute.set(parseRoute(location.hash));
  addEventListener("hashchange", read);
  read();
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
