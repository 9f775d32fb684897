/** The objects whose pages were shown last, by environment. Ids can be personal data, so they are in memory only. */
import { currentRoute } from "../state/route.ts";
import { session } from "../state/session.ts";

interface RecentObject {
  readonly environment: string;
  readonly type: string;
  readonly id: string;
}

const recentMax = 10;
let recent: readonly RecentObject[] = [];

/** Notes each object whose page is shown, until the result is called. */
export function watchObjects(): () => void {
  note();
  return currentRoute.subscribe(note);
}

function note(): void {
  const { screen, parts } = currentRoute.value;
  const [type, id] = parts;
  const environment = session.value?.environment;
  if (screen !== "object" || !type || !id || environment === undefined) return;
  const others = recent.filter((one) => one.environment !== environment || one.type !== type || one.id !== id);
  recent = [{ environment, type, id }, ...others].slice(0, recentMax);
}

/** The newest first. */
export function recentObjects(environment: string): readonly RecentObject[] {
  return recent.filter((one) => one.environment === environment);
}
