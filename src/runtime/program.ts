/** The files of this program, wherever it was started from. */
import { platform } from "#platform";

/** The URL of a file that `scripts/build` makes: beside the main module inside the compiled program, or in `dist/`. */
export function builtFileUrl(name: string): URL {
  return new URL(platform.isCompiled ? name : `../../dist/${name}`, import.meta.url);
}
