/** The paths that need no API key. They give the same answers in all environments, so the default one gives them. */
import { consolePath } from "../http/console.ts";
import { healthPaths } from "./health/handle.ts";

const discoveryPath = "/.well-known/authzen-configuration";

const openPaths: ReadonlySet<string> = new Set([
  ...healthPaths,
  "/openapi.json",
  "/api/login",
  "/api/login/token",
  "/api/login/code",
  discoveryPath,
  consolePath,
]);

export function isOpenPath(path: string): boolean {
  return (
    openPaths.has(path.replace(/\/$/, "")) || path.startsWith(`${consolePath}/`) || path.startsWith(`${discoveryPath}/`)
  );
}
