/** What a program needs of its process: the signals that ask it to stop, its input, its two output streams and its exit. */
import { printableLines } from "../util/printable.ts";
import { damageCodes, storageFailureIn } from "../util/storage-failure.ts";

/** Resolves at the first SIGTERM or SIGINT, with its name. A second one ends the process at once, for whoever can't wait. */
export function stopSignal(): Promise<"SIGTERM" | "SIGINT"> {
  return new Promise((resolve) => {
    let asked = false;
    const listen = (signal: "SIGTERM" | "SIGINT", exitStatus: number): void => {
      process.on(signal, () => {
        if (asked) process.exit(exitStatus);
        asked = true;
        resolve(signal);
      });
    };
    listen("SIGTERM", 143);
    listen("SIGINT", 130);
  });
}

/**
 * Hears of errors that no code caught. A rejected promise that nobody waited for must not take a node's answers away, and neither must a failure of the
 * system, such as a full disk or too many open files, or a page of a database that cannot be read: the process goes on. After any other uncaught
 * exception the state is unknown, so the process ends (`isFatal`).
 */
export function onUnhandledError(report: (error: unknown, isFatal: boolean) => void): void {
  process.on("unhandledRejection", (error) => report(error, false));
  process.on("uncaughtException", (error) => {
    const isFatal = !isSystemError(error) && !isUnreadable(error);
    report(error, isFatal);
    if (isFatal) process.exit(1);
  });
}

/** What the system answers that is no mistake of the caller: it could not do something now. */
const systemErrors: ReadonlySet<unknown> = new Set(
  `EMFILE ENFILE ENOSPC EDQUOT EIO EROFS ENXIO ENODEV ESTALE EUCLEAN ENOMEM ENOBUFS EAGAIN EACCES EPERM ENOENT EPIPE ECONNRESET ECONNABORTED
  ECONNREFUSED ENOTCONN ETIMEDOUT EHOSTUNREACH EHOSTDOWN ENETUNREACH ENETDOWN ENETRESET EADDRNOTAVAIL`.split(/\s+/),
);

/** Whether the system, or SQLite on behalf of it, failed at something. */
export function isSystemError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return systemErrors.has(code) || storageFailureIn(error) !== undefined;
}

/** Whether a page of a database is damaged or cannot be read. */
function isUnreadable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return (code !== undefined && damageCodes.test(code)) || isUnreadable(error.cause);
}

/**
 * Writes and waits until it is out, so that an exit right after cuts nothing off. Control characters but line breaks and tabs are escaped, whoever put
 * them there; JSON means the same afterwards. What comes from elsewhere and shall stay on its line goes through `printable` before.
 */
export async function print(text: string): Promise<void> {
  await write(process.stdout, printableLines(text));
}

/** The same for what goes on for ever: false when nobody reads any more. */
export function printUntilClosed(text: string): Promise<boolean> {
  return write(process.stdout, printableLines(text));
}

export async function printError(text: string): Promise<void> {
  await write(process.stderr, printableLines(text));
}

/** As it is, for text that has colours of ours and nothing else that is not printable. */
export async function printColored(stream: "stdout" | "stderr", text: string): Promise<void> {
  await write(process[stream], text);
}

/** A file's content for another program, byte for byte; escaped only where a person is looking. */
export async function printContent(text: string): Promise<void> {
  await write(process.stdout, isTerminal("stdout") ? printableLines(text) : text);
}

/** Files that this process and its children make from now on are for their owner alone. */
export function keepFilesPrivate(): void {
  process.umask(0o077);
}

/** All of standard input. */
export async function readInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Colours only for people: on a terminal, or where FORCE_COLOR asks for them (`0` and `false` do not), and never where NO_COLOR is set. */
export function wantsColor(stream: "stdout" | "stderr"): boolean {
  const { NO_COLOR: none = "", FORCE_COLOR: forced = "", TERM: terminal } = process.env;
  if (none !== "") return false;
  if (forced !== "") return !/^(?:0|false)$/i.test(forced);
  return isTerminal(stream) && terminal !== "dumb";
}

/** Whether a person is looking at what is written there. */
export function isTerminal(stream: "stdout" | "stderr"): boolean {
  return process[stream].isTTY === true;
}

function write(stream: NodeJS.WriteStream, text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (!error) resolve(true);
      // Whoever reads us may stop early (`ostiary config | head -1`); that is no failure of ours.
      else if ((error as NodeJS.ErrnoException).code === "EPIPE") resolve(false);
      else reject(error);
    });
  });
}
