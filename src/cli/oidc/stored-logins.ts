/**
 * The logins of this user: one for each node, in a file that only the user may open. A token is sent only to the node
 * for which the user logged in.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { writeFileAtomically } from "../../runtime/atomic-file.ts";
import { lockFile } from "../../runtime/file-lock.ts";
import { AppError } from "../../util/app-error.ts";
import { sleep, systemClock } from "../../util/clock.ts";
import { printable } from "../../util/printable.ts";

const login = z.object({
  issuer: z.string(),
  clientId: z.string(),
  /** The token needs one of these values in `aud`. */
  audience: z.array(z.string()),
  token: z.string(),
  /** When the token expires, in ms since 1970. */
  expiresMs: z.number(),
  refreshToken: z.string().optional(),
});
export type Login = z.infer<typeof login>;

const file = z.object({ version: z.literal(1), logins: z.record(z.string(), login) });
type Logins = Readonly<Record<string, Login>>;

/** `$XDG_CONFIG_HOME/ostiary/logins.json`, by default in `~/.config`; on Windows in the folder of application data. */
export function loginsPath(): string {
  const { XDG_CONFIG_HOME: xdg, APPDATA: windows, HOME: home = homedir() } = process.env;
  const directory = xdg || (process.platform === "win32" && windows) || join(home, ".config");
  return join(directory, "ostiary", "logins.json");
}

/** The logins by the URL of the node. AppError if the file is damaged. */
export function readLogins(): Logins {
  const path = loginsPath();
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
  const { data } = file.safeParse(jsonIn(text));
  if (data === undefined)
    throw new AppError("invalid_request", `\`${printable(path)}\` is damaged: remove it, and log in again`);
  return data.logins;
}

/** Stores the login of a node, or removes it. */
export function writeLogin(url: string, changed: Login | undefined): void {
  const { [url]: _earlier, ...others } = readLogins();
  const logins = changed === undefined ? others : { ...others, [url]: changed };
  const path = loginsPath();
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileAtomically(path, `${JSON.stringify({ version: 1, logins }, null, 2)}\n`);
}

const lockTries = 200;
const lockPauseMs = 100;

/** Runs `body` while no other process changes the logins. Rejects if another one does not end. */
export async function withLockedLogins<T>(body: () => Promise<T>): Promise<T> {
  const path = `${loginsPath()}.lock`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  for (let tries = 1; ; tries++) {
    try {
      const lock = lockFile(path);
      try {
        return await body();
      } finally {
        lock.release();
      }
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "SQLITE_BUSY" || tries === lockTries) throw error;
      await sleep(systemClock, lockPauseMs);
    }
  }
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
