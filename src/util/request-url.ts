/**
 * The parts of the URL of an incoming request, found by position. `new URL` is no help here: it throws on a malformed `Host` header, which every
 * client can send, and a request whose host is unusable has a URL that is only a path.
 */

/** Where the path begins: behind the scheme and the host. 0 where the URL is only a path. */
export function pathStart(url: string): number {
  if (url.startsWith("/")) return 0;
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start === -1 ? url.length : start;
}

/** The path, without the query. */
export function pathOf(url: string): string {
  const query = queryStart(url);
  return url.slice(pathStart(url), query);
}

/** The path and the query, as they came in. */
export function pathAndQueryOf(url: string): string {
  return url.slice(pathStart(url));
}

export function queryOf(url: string): URLSearchParams {
  return new URLSearchParams(url.slice(queryStart(url)));
}

function queryStart(url: string): number {
  const query = url.indexOf("?", pathStart(url));
  return query === -1 ? url.length : query;
}
